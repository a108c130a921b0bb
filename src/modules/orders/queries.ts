import { sql } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';
import type { Database } from '../../platform/postgres.ts';
import type { Fill, Order, OrderList } from '../../protocol/trading.ts';
import type { FillFilter, OrderFilter, WorkingOrder } from './desk.ts';
import { isOrderId } from './ids.ts';
import { ENDED } from './machine.ts';
import { answerOf } from './store.ts';

/** No page is longer, whatever was asked. */
const PAGE_LIMIT = 500;
const FILL_ID = /^[1-9][0-9]{0,17}$/;
/** Markets that one process could ever look after. */
const MARKETS_LIMIT = 10_000;
/** Orders of one market that are read at a start. */
const WORKING_LIMIT = 100_000;

/** All of them answer rows with one column `answer`, made by the projections of migration 0009. */
export async function readAnswers<T>(database: Database, name: string, query: SQL): Promise<T[]> {
  const rows = await database.read(`orders.${name}`, async (queries) => await queries.execute(query));
  return rows.map((row) => answerOf([row]) as T);
}

export async function readOrder(database: Database, userId: string, orderId: string): Promise<Order | null> {
  if (!isOrderId(orderId)) return null;
  const query = sql`select orders.project(o) as answer from orders.orders o where id = ${orderId}::uuid
    and user_id = ${userId}::uuid`;
  return (await readAnswers<Order>(database, 'order', query))[0] ?? null;
}

export async function readWorking(database: Database, orderIds: readonly string[]): Promise<WorkingOrder[]> {
  const ids = `{${orderIds.filter(isOrderId).join(',')}}`;
  const query = sql`select orders.work(o) as answer from orders.orders o where id = any(${ids}::uuid[]) order by id`;
  return readAnswers<WorkingOrder>(database, 'working', query);
}

export async function readOrderList(database: Database, userId: string, listId: string): Promise<OrderList | null> {
  if (!isOrderId(listId)) return null;
  const query = sql`select orders.read_list(${userId}::uuid, ${listId}::uuid) as answer`;
  return (await readAnswers<OrderList | null>(database, 'order_list', query))[0] ?? null;
}

export async function readOrders(database: Database, userId: string, filter: OrderFilter): Promise<Order[]> {
  if (filter.before !== undefined && !isOrderId(filter.before)) return [];
  const statuses = filter.statuses && `{${filter.statuses.join(',')}}`;
  const conditions = [
    sql`user_id = ${userId}::uuid`,
    ...(filter.venue === undefined ? [] : [sql`venue = ${filter.venue}`]),
    ...(filter.symbol === undefined ? [] : [sql`symbol = ${filter.symbol}`]),
    ...(statuses === undefined ? [] : [sql`status = any(${statuses}::text[])`]),
    // Has an index of its own, so that looking for open orders does not read a long history.
    ...(filter.statuses?.some((status) => ENDED.has(status)) === false ? [sql`not ended`] : []),
    ...(filter.clientOrderId === undefined ? [] : [sql`client_order_id = ${filter.clientOrderId}`]),
    ...(filter.before === undefined ? [] : [sql`id < ${filter.before}::uuid`]),
  ];
  const query = sql`select orders.project(o) as answer from orders.orders o
    where ${sql.join(conditions, sql` and `)} order by id desc limit ${pageOf(filter.limit)}`;
  return readAnswers<Order>(database, 'orders', query);
}

export async function readFills(database: Database, userId: string, filter: FillFilter): Promise<Fill[]> {
  if (filter.before !== undefined && !FILL_ID.test(filter.before)) return [];
  if (filter.orderId !== undefined && !isOrderId(filter.orderId)) return [];
  const conditions = [
    sql`f.user_id = ${userId}::uuid`,
    ...(filter.orderId === undefined ? [] : [sql`f.order_id = ${filter.orderId}::uuid`]),
    ...(filter.venue === undefined ? [] : [sql`f.venue = ${filter.venue}`]),
    ...(filter.symbol === undefined ? [] : [sql`f.symbol = ${filter.symbol}`]),
    ...(filter.before === undefined ? [] : [sql`f.id < ${filter.before}::bigint`]),
  ];
  const query = sql`select orders.project_fill(f, o.client_order_id) as answer
    from orders.fills f join orders.orders o on o.id = f.order_id
    where ${sql.join(conditions, sql` and `)} order by f.id desc limit ${pageOf(filter.limit)}`;
  return readAnswers<Fill>(database, 'fills', query);
}

/**
 * Exits of a bracket whose entry has not been filled are nobody's work yet. `is not true`: of an order by budget both sides are
 * null, and it must be found all the same.
 */
const AT_WORK = sql`not o.ended and (o.role in ('take_profit', 'stop_loss') and o.quantity = 0) is not true`;

export function readWorkingOrders(
  database: Database,
  market: Readonly<{ venue: string; symbol: string }>,
): Promise<WorkingOrder[]> {
  const query = sql`select orders.work(o) as answer from orders.orders o
    where venue = ${market.venue} and symbol = ${market.symbol} and ${AT_WORK}
    order by commanded_at_ms, id limit ${WORKING_LIMIT}`;
  return readAnswers<WorkingOrder>(database, 'working_orders', query);
}

export function readWorkingMarkets(database: Database): Promise<Readonly<{ venue: string; symbol: string }>[]> {
  const query = sql`select distinct jsonb_build_object('venue', venue, 'symbol', symbol) as answer
    from orders.orders o where not ended limit ${MARKETS_LIMIT}`;
  return readAnswers(database, 'working_markets', query);
}

function pageOf(limit: number): number {
  return Math.max(1, Math.min(PAGE_LIMIT, Math.floor(limit)));
}
