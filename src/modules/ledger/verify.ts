import { sql } from 'drizzle-orm';
import type { Database } from '../../platform/postgres.ts';
import { CHECKS } from './verify-checks.ts';

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

/** Recomputes the whole ledger from its rows, all checks at one instant; blocks nobody. */
export function verifyLedger(database: Database): Promise<Verification> {
  const options = { name: 'ledger.verify', mode: 'snapshot', statementLimitMs: CHECK_LIMIT_MS } as const;
  return database.transaction(options, async (queries) => {
    const breaches: Breach[] = [];
    for (const { invariant, promise, breaches: statement } of CHECKS) {
      const rows = await queries.execute<{ detail: string; total: string }>(
        sql`select detail, count(*) over () as total from (${statement}) as breach limit ${DETAILS_LIMIT}`,
      );
      if (rows.length === 0) continue;
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
