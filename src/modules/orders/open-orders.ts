import { sql } from 'drizzle-orm';
import type { Queries } from '../../platform/postgres.ts';
import type { Order } from '../../protocol/trading.ts';
import { answerOf } from './store.ts';

/** More than a user may have open at once. */
const OPEN_LIMIT = 1_000;

/** The user's orders that are not over, newest first, as these queries' instant has them. */
export async function selectOpenOrders(queries: Queries, userId: string): Promise<Order[]> {
  const rows = await queries.execute(sql`select orders.project(o) as answer from orders.orders o
    where user_id = ${userId}::uuid and not ended order by id desc limit ${OPEN_LIMIT}`);
  return rows.map((row) => answerOf([row]) as Order);
}
