import { sql } from 'drizzle-orm';
import type { Database } from '../../platform/postgres.ts';
import { standingBreaches } from './standing-checks.ts';
import type { TraderLine, TraderRecord, Wish } from './trader-diary.ts';

export type Tally = Readonly<{
  operations: number;
  ok: number;
  /** Of these, answered as a repetition of what an earlier try had done. */
  repeated: number;
  fail: number;
  unknown: number;
  unknownButDone: number;
  orders: number;
  fills: number;
}>;
export type Judgement = Readonly<{ breaches: readonly string[]; tally: Tally }>;

const DETAILS_LIMIT = 20;
const STATEMENT_LIMIT_MS = 120_000;
type MutableTally = { -readonly [K in keyof Tally]: number };
type Outcome = Exclude<TraderLine, { type: 'wrong' | 'intent' }>;
type Kept = Readonly<{
  /** Of requests by kind and key: ids of the orders that their answers name. */
  requests: ReadonlyMap<string, readonly string[]>;
  orders: ReadonlyMap<
    string,
    Readonly<{ clientOrderId: string | null; ended: boolean; side: string; canceled: boolean }>
  >;
  /** Journals of paper funds by their key. */
  funds: ReadonlyMap<string, string>;
}>;

/** Compares what traders were told with what the database holds. Nobody may be trading. */
export async function judge(database: Database, records: ReadonlyMap<string, TraderRecord>): Promise<Judgement> {
  const breaches = await standingBreaches(database);
  const tally: MutableTally = {
    operations: 0,
    ok: 0,
    repeated: 0,
    fail: 0,
    unknown: 0,
    unknownButDone: 0,
    orders: 0,
    fills: 0,
  };
  for (const [name, record] of records) {
    breaches.push(...judgeTrader(name, record.lines, await readKept(database, record.userId), tally));
  }
  const [counts] = await database.read('chaos.counts', (queries) =>
    queries.execute<{ orders: string; fills: string }>(
      sql`select (select count(*) from orders.orders) as orders, (select count(*) from orders.fills) as fills`,
    ),
  );
  return {
    breaches: breaches.slice(0, DETAILS_LIMIT),
    tally: { ...tally, orders: Number(counts?.orders), fills: Number(counts?.fills) },
  };
}

async function readKept(database: Database, userId: string): Promise<Kept> {
  const options = { name: 'chaos.kept', mode: 'snapshot', statementLimitMs: STATEMENT_LIMIT_MS } as const;
  return database.transaction(options, async (queries) => {
    const requests = await queries.execute<{ name: string; ids: string }>(sql`
      select kind || ' ' || key as name, coalesce((select string_agg(item ->> 'id', ',')
        from jsonb_array_elements(coalesce(answer -> 'orders', jsonb_build_array(answer))) as item), '') as ids
      from orders.requests where user_id = ${userId}::uuid`);
    const orders = await queries.execute<{
      id: string;
      client_order_id: string | null;
      ended: boolean;
      side: string;
      canceled: boolean;
    }>(sql`select id, client_order_id, ended, side, exists (select from orders.order_events e
        where e.order_id = o.id and e.event in ('request_cancel', 'cancel')) as canceled
      from orders.orders o where user_id = ${userId}::uuid`);
    const funds = await queries.execute<{ key: string; id: string }>(sql`
      select substr(key, 13) as key, id from ledger.journals where scope = ${userId} and key like 'paper funds %'`);
    return {
      requests: new Map(requests.map(({ name, ids }) => [name, ids.split(',')])),
      orders: new Map(
        orders.map(({ id, client_order_id: clientOrderId, ...rest }) => [id, { clientOrderId, ...rest }]),
      ),
      funds: new Map(funds.map(({ key, id }) => [key, id])),
    };
  });
}

/** I5: acknowledged is there once, refused is absent, unknown is there at most once, and nothing is there that nobody sent. */
function judgeTrader(name: string, lines: readonly TraderLine[], kept: Kept, tally: MutableTally): string[] {
  const breaches: string[] = [];
  const wishes = new Map<number, Wish>();
  const outcomes = new Map<number, Outcome>();
  for (const line of lines) {
    if (line.type === 'wrong') breaches.push(`${name} saw: ${line.what}`);
    else if (line.type === 'intent') wishes.set(line.number, line.wish);
    else outcomes.set(line.number, line);
  }
  const explained = new Set<string>();
  const sent = new Set<string>();
  for (const [number, wish] of wishes) {
    tally.operations += 1;
    for (const request of requestsOf(wish)) sent.add(request);
    const outcome = outcomes.get(number) ?? { type: 'unknown', number };
    if (outcome.type === 'ok' && outcome.repeated) tally.repeated += 1;
    tally[outcome.type] += 1;
    const ids = doneBy(wish, kept);
    if (outcome.type === 'unknown' && ids !== null) tally.unknownButDone += 1;
    if (wish.act === 'place' || wish.act === 'place_list') for (const id of ids ?? []) explained.add(id);
    breaches.push(...judgeOutcome(`${name}-${number} (${wish.act})`, wish, outcome, ids, kept));
  }
  for (const request of kept.requests.keys())
    if (!sent.has(request)) breaches.push(`I5 ${name}: ${request} was never sent`);
  for (const key of kept.funds.keys())
    if (!sent.has(`funds ${key}`)) breaches.push(`I5 ${name}: funds ${key} were never asked for`);
  for (const id of kept.orders.keys()) {
    if (!explained.has(id)) breaches.push(`I5 DOUBLED: ${name} has order ${id}, which no request was answered with`);
  }
  return breaches;
}

function requestsOf({ act, key, body }: Wish): string[] {
  if (act === 'funds') return [`funds ${key}`];
  const clientOrderId = body?.clientOrderId;
  return [
    ...(key === undefined ? [] : [`key ${key}`]),
    ...(typeof clientOrderId === 'string' ? [`${act === 'place_list' ? 'list' : 'order'} ${clientOrderId}`] : []),
  ];
}

/** Ids of what is there because of it; null: it did not happen. What has no key cannot be told by it. */
function doneBy(wish: Wish, kept: Kept): readonly string[] | null {
  if (wish.act === 'funds') {
    const journal = kept.funds.get(wish.key!);
    return journal === undefined ? null : [journal];
  }
  for (const request of requestsOf(wish)) {
    const ids = kept.requests.get(request);
    if (ids !== undefined) return ids;
  }
  return null;
}

function judgeOutcome(name: string, wish: Wish, outcome: Outcome, ids: readonly string[] | null, kept: Kept): string[] {
  if (outcome.type === 'unknown') return [];
  if (outcome.type === 'fail') {
    return ids === null ? [] : [`I5 ${name} was refused (${outcome.code}) and is there as ${ids.join()}`];
  }
  if (wish.act === 'cancel' || wish.act === 'cancel_all') return judgeCancel(name, wish, outcome.told.orderIds, kept);
  const told = outcome.told.journalId === undefined ? outcome.told.orderIds : [outcome.told.journalId];
  if (ids === null) return [`I5 LOST: ${name} was acknowledged as ${told.join()}`];
  if (told.toSorted().join() !== ids.toSorted().join()) return [`I5 ${name}: told ${told.join()}, kept ${ids.join()}`];
  const missing = wish.act === 'funds' ? [] : told.filter((id) => !kept.orders.has(id));
  const all = requestsOf(wish).filter((request) => wish.act !== 'funds' && !kept.requests.has(request));
  return [
    ...missing.map((id) => `I5 LOST: ${name}: order ${id} is gone`),
    ...all.map((request) => `I5 LOST: ${name} did not keep ${request}`),
  ];
}

/** Everybody has cancelled everything by now: what counts is that the acknowledged cancellation left its trace. */
function judgeCancel(name: string, wish: Wish, told: readonly string[], kept: Kept): string[] {
  return [...told, ...(wish.orderId === undefined ? [] : [wish.orderId])].flatMap((id) => {
    const order = kept.orders.get(id);
    if (order === undefined) return [`I5 LOST: ${name}: order ${id} is gone`];
    if (!order.ended) return [`I5 LOST: ${name}: order ${id} goes on after its cancellation was acknowledged`];
    return order.canceled || !told.includes(id) ? [] : [`I5 LOST: ${name}: no trace of it at order ${id}`];
  });
}
