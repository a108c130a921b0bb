import { sql } from 'drizzle-orm';
import type { Database } from '../../platform/postgres.ts';
import type { EquityPoint } from '../../protocol/trading.ts';

/** One balance of a user whose point is due: whole units; `outside` is what came from elsewhere since the point before. */
export type DueBalance = Readonly<{ asset: string; version: string; total: string; outside: string }>;
export type DueUser = Readonly<{ userId: string; balances: readonly DueBalance[] }>;
export type NewPoint = Readonly<{
  userId: string;
  atMs: number;
  equity: string;
  flow: string;
  complete: boolean;
  versions: Readonly<Record<string, string>>;
}>;

/** Users whose last point is no younger than `beforeMs`, or who have none. */
export function readDueEquity(database: Database, beforeMs: number, limit: number): Promise<DueUser[]> {
  return database.read('portfolio.due_equity', async (queries) => {
    type Row = { user_id: string; asset: string | null; version: string; posted: string; outside: string };
    const rows = await queries.execute<Row>(sql`select user_id, asset, version, trim_scale(posted)::text as posted,
      trim_scale(outside)::text as outside from portfolio.due_equity(${beforeMs}::bigint, ${limit}::integer)`);
    const users = new Map<string, DueBalance[]>();
    for (const { user_id: userId, asset, version, posted: total, outside } of rows) {
      const balances = users.get(userId) ?? [];
      users.set(userId, balances);
      if (asset !== null) balances.push({ asset, version, total, outside });
    }
    return [...users].map(([userId, balances]) => ({ userId, balances }));
  });
}

/** Answers how many were stored: none for whom another process was faster. */
export async function addEquity(database: Database, points: readonly NewPoint[], beforeMs: number): Promise<number> {
  const statement = sql`select portfolio.add_equity(${JSON.stringify(points)}::text::jsonb, ${beforeMs}::bigint) as answer`;
  const rows = await database.runCommand({ name: 'portfolio.add_equity', statement, repeatable: true });
  return Number(rows[0]?.answer);
}

/** The last point of each of `limit` equal parts of the time from the first point on, oldest first. */
export function readEquityHistory(
  database: Database,
  range: Readonly<{ userId: string; fromMs: number; toMs: number; limit: number }>,
): Promise<EquityPoint[]> {
  const { userId, fromMs, toMs, limit } = range;
  return database.read('portfolio.equity_history', async (queries) => {
    const rows = await queries.execute<{ at_ms: string; equity: string; complete: boolean }>(sql`
      select distinct on (part) at_ms, trim_scale(equity)::text as equity, complete from (
        select *, (at_ms - min(at_ms) over ()) * ${limit}::bigint / (${toMs}::bigint - min(at_ms) over () + 1) as part
        from portfolio.equity_history where user_id = ${userId}::uuid and account = 'paper'
          and at_ms between ${fromMs}::bigint and ${toMs}::bigint
      ) as point order by part, at_ms desc`);
    return rows.map(({ at_ms: at, equity, complete }) => ({ at: Number(at), equity, complete }));
  });
}
