import { sql } from 'drizzle-orm';
import type { Database, Queries } from '../../platform/postgres.ts';
import type { Position } from '../../protocol/trading.ts';

/** Markets that one user has ever traded in; a hostile one with more sees the first of them. */
const POSITIONS_LIMIT = 1_000;
/** For one pass over all fills. */
const RECOMPUTE_LIMIT_MS = 600_000;
const DIFFERENCES_LIMIT = 20;

/** Also those that were sold out: their realised profit stays. Part of whatever else is read with `queries`. */
export async function selectPositions(queries: Queries, userId: string): Promise<Position[]> {
  const rows = await queries.execute<{ position: Position | string }>(sql`
    select portfolio.position_json(p) as position from portfolio.positions p
    where p.user_id = ${userId}::uuid order by p.account, p.base, p.quote limit ${POSITIONS_LIMIT}`);
  return rows.map(({ position }) => (typeof position === 'string' ? (JSON.parse(position) as Position) : position));
}

export type PositionDifference = Readonly<{ userId: string; stored: Position | null; recomputed: Position | null }>;

/**
 * Makes all positions anew from the fills and compares: at one instant, changing nothing. Empty when they agree; else the first
 * differences.
 */
export function recomputePositions(database: Database): Promise<readonly PositionDifference[]> {
  const options = { name: 'portfolio.recompute', mode: 'snapshot', statementLimitMs: RECOMPUTE_LIMIT_MS } as const;
  return database.transaction(options, async (queries) => {
    const rows = await queries.execute<{ user_id: string; stored: Position | null; recomputed: Position | null }>(sql`
      select coalesce(s.user_id, r.user_id) as user_id,
        case when s.user_id is not null then portfolio.position_json(s) end as stored,
        case when r.user_id is not null then portfolio.position_json(r) end as recomputed
      from portfolio.positions s full join portfolio.recompute() r
        on (r.user_id, r.account, r.base, r.quote) = (s.user_id, s.account, s.base, s.quote)
      where s is distinct from r limit ${DIFFERENCES_LIMIT}`);
    return rows.map(({ user_id: userId, stored, recomputed }) => ({ userId, stored, recomputed }));
  });
}
