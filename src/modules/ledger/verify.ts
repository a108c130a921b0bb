import { sql } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';
import type { Database, Queries } from '../../platform/postgres.ts';
import { CHECKS } from './verify-checks.ts';
import type { Check } from './verify-checks.ts';

/** One broken promise: how often, and the first cases. */
export type Breach = Readonly<{ invariant: string; promise: string; count: number; details: readonly string[] }>;
export type Verification = Readonly<{
  ok: boolean;
  breaches: readonly Breach[];
  /** What was looked at. */
  counts: Readonly<{
    checks: number;
    accounts: number;
    journals: number;
    transfers: number;
    holds: number;
    events: number;
  }>;
}>;

const DETAILS_LIMIT = 20;
/** For one check over the whole ledger. */
const CHECK_LIMIT_MS = 600_000;

/**
 * One snapshot for all checks. Whatever statistics say, tables are joined by hash or by order and each is read a fixed number of
 * times: a ledger is verified when it is young, has just grown or was just restored, and a plan for a few rows would take hours.
 */
export function inVerification<T>(database: Database, work: (queries: Queries) => Promise<T>): Promise<T> {
  const options = { name: 'ledger.verify', mode: 'snapshot', statementLimitMs: CHECK_LIMIT_MS } as const;
  return database.transaction(options, async (queries) => {
    await queries.execute(sql`set local enable_nestloop = off`);
    return work(queries);
  });
}

/** The first breaches of one promise, each with the number of all of them as `total`. */
export function breachesOf({ breaches }: Check): SQL {
  return sql`select detail, count(*) over () as total from (${breaches}) as breach limit ${sql.raw(`${DETAILS_LIMIT}`)}`;
}

/** Recomputes the whole ledger from its rows, all checks at one instant; blocks nobody. */
export function verifyLedger(database: Database): Promise<Verification> {
  return inVerification(database, async (queries) => {
    const breaches: Breach[] = [];
    for (const check of CHECKS) {
      const rows = await queries.execute<{ detail: string; total: string }>(breachesOf(check));
      if (rows.length === 0) continue;
      const { invariant, promise } = check;
      breaches.push({ invariant, promise, count: Number(rows[0]!.total), details: rows.map((row) => row.detail) });
    }
    const [found] = await queries.execute<Record<string, string>>(sql`select
      (select count(*) from ledger.accounts) as accounts, (select count(*) from ledger.journals) as journals,
      (select count(*) from ledger.transfers) as transfers, (select count(*) from ledger.holds) as holds,
      (select count(*) from ledger.user_events) as events`);
    const count = (name: string) => Number(found![name]);
    return {
      ok: breaches.length === 0,
      breaches,
      counts: {
        checks: CHECKS.length,
        accounts: count('accounts'),
        journals: count('journals'),
        transfers: count('transfers'),
        holds: count('holds'),
        events: count('events'),
      },
    };
  });
}
