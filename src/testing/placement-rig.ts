import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import postgres from 'postgres';
import { runCallers } from '../../load-tests/lib/callers.ts';
import type { CpuMeter, Load, PassFigures, Work } from '../../load-tests/lib/callers.ts';
import { childrenMs, mainThreadMs } from '../../load-tests/lib/cpu-time.ts';
import { createLedger } from '../modules/ledger/index.ts';
import { createIds } from '../modules/orders/ids.ts';
import { createOrders } from '../modules/orders/index.ts';
import type { Caller, EngineFill, WorkingOrder } from '../modules/orders/index.ts';
import { columnsOf } from '../modules/orders/placement.ts';
import { hashOf } from '../modules/orders/store.ts';
import { tellUserEvents } from '../modules/portfolio/index.ts';
import { createMemorySignals } from '../platform/signals-memory.ts';
import type { PlaceOrder } from '../protocol/trading.ts';
import { BTC_USDT, bookOf, fund, limitOrder } from './orders.ts';
import { startTestPostgres, surroundings } from './postgres.ts';

/**
 * The part of `npm run bench:orders` that needs the product's insides: a Postgres with one database for the server under test
 * and one of its own, in which orders are placed and filled by the bare SQL functions through postgres.js and through the
 * command layer. Commands are lines of JSON on stdin, answers lines of JSON on stdout; it ends with stdin.
 */
type RigCommand =
  | Readonly<{ op: 'place' | 'fill'; way: 'bare' | 'layer'; load: Load }>
  /** Of the server's database. */
  | Readonly<{ op: 'census' }>;
type Census = Readonly<{ open: number; fills: number }>;

/** As the product's pool. */
const CONNECTIONS = 10;
/** Well below what one market may have open, so that counting a user's orders costs what it costs in real life. */
const ORDERS_PER_USER = 40;
const LIMITS = { user: 200, market: 100 };
/** Placements a second to prepare users for before a pass has shown what the machine does. */
const FIRST_RATE = 3_000;
const RESTING: PlaceOrder = limitOrder({ quantity: '0.1', price: '60' });
const ENDLESS: PlaceOrder = limitOrder({ quantity: '100000', price: '100' });
const FILL_QUANTITY = '0.01';

const server = await startTestPostgres();
const [own, served] = [await server.createDatabase(), await server.createDatabase()];
const around = surroundings();
const database = await own.open({ size: CONNECTIONS, ...around });
const signals = createMemorySignals(around);
const tell = tellUserEvents(signals);
const ledger = createLedger({ database, tell });
const markets = { venues: () => [], markets: () => [BTC_USDT], loaded: () => Promise.resolve(), stop: () => {} };
const orders = createOrders({
  ...around,
  database,
  ledger,
  signals,
  tell,
  limits: LIMITS,
  directory: { ...markets, find: () => ({ found: 'market', market: BTC_USDT }) },
  books: { book: () => bookOf() },
});
const unpipelined = { max_pipeline: 0 };
const bare = postgres(own.appUrl, {
  ...unpipelined,
  max: CONNECTIONS,
  fetch_types: false,
  connection: { synchronous_commit: 'on' },
});
const newId = createIds(around.clock);
const hash = hashOf('place', RESTING);
for (const code of ['PAPER:USDT', 'PAPER:BTC']) await ledger.defineAsset({ code, scale: 18 });

const postmasterPid = server.server().pid;
const meter: CpuMeter = () => ({ postgres: childrenMs(postmasterPid), process: mainThreadMs(process.pid) });
let keys = 0;
const nextKey = (): string => `bench-${(keys += 1)}`;
/** What the pass before reached, so that the next one has as many users as it needs and hardly more. */
const reached = new Map<number, number>();

async function newUsers(count: number, amount: string): Promise<Caller[]> {
  const users: Caller[] = [];
  for (let index = 0; index < count; index++) {
    const userId = randomUUID();
    await fund(ledger, userId, 'PAPER:USDT', amount);
    users.push({ userId, actor: `user ${userId}`, requestId: randomUUID() });
  }
  return users;
}

async function callBare(name: 'place' | 'fill', request: object): Promise<Record<string, unknown>> {
  const statement = `select orders.${name}($1::text::jsonb) as answer`;
  const [row] = await bare.unsafe(statement, [JSON.stringify(request)], { prepare: true });
  const answer = row!.answer as Record<string, unknown>;
  if (answer.status !== 'placed' && answer.status !== 'done') throw new Error(JSON.stringify(answer));
  return answer;
}

const PLACING: Readonly<Record<'bare' | 'layer', (caller: Caller, order: PlaceOrder) => Promise<void>>> = {
  async bare(caller, order) {
    const columns = columnsOf({ newId, modelVersion: null }, order, BTC_USDT, null);
    const own = [{ kind: 'key', key: nextKey() }];
    await callBare('place', { ...caller, keys: own, hash, orders: [columns], limits: LIMITS });
  },
  async layer(caller, order) {
    const done = await orders.desk.place(caller, order, { idempotencyKey: nextKey() });
    if (!done.ok) throw new Error(`${done.code}: ${done.message}`);
  },
};

/** Fresh users for each pass, with one open order each, so that nothing is written for the first time while it is measured. */
async function measurePlacing(way: 'bare' | 'layer', load: Load): Promise<PassFigures> {
  const rate = load.offered ?? (reached.get(load.callers) ?? FIRST_RATE) * 1.5;
  const share = Math.ceil((rate * load.seconds) / ORDERS_PER_USER / load.callers) + 1;
  const users = await newUsers(share * load.callers, '1000');
  for (const user of users) await PLACING.layer(user, RESTING);
  // Plans are kept, so they must not be made for tables that were empty.
  if (reached.size === 0) await own.runScript('analyze');
  const turns = Array.from({ length: load.callers }, () => 0);
  const place: Work = (caller) => {
    const turn = turns[caller]!++;
    return PLACING[way](users[(turn % share) * load.callers + caller]!, RESTING);
  };
  const figures = await runCallers(load, place, meter);
  if (load.offered === undefined) reached.set(load.callers, figures.perSecond);
  return figures;
}

function nextFill(): EngineFill {
  const book = { stream: 'book:binance:BTC/USDT:100:100ms', epoch: 'e1', seq: 7, exchangeSeq: 700, ageMs: 20 };
  const market = { ...book, latencyMs: 0, tradeId: null };
  return { tradeId: nextKey(), liquidity: 'maker', price: '100', quantity: FILL_QUANTITY, market, ts: Date.now() };
}

const FILLING: Readonly<Record<'bare' | 'layer', (work: WorkingOrder) => Promise<WorkingOrder>>> = {
  async bare({ order }) {
    const ref = { orderId: order.id, version: order.version, token: randomUUID(), actor: 'bench' };
    const answer = await callBare('fill', { ...ref, fills: [nextFill()] });
    return (answer.works as WorkingOrder[])[0]!;
  },
  async layer({ order }) {
    const done = await orders.execution.fill({ orderId: order.id, version: order.version }, nextFill());
    if (!done.ok) throw new Error(`${done.code}: ${done.message}`);
    return done.value;
  },
};

/** One order without end for each caller, filled bit by bit: money, fee, order, position and events each time. */
async function measureFilling(way: 'bare' | 'layer', load: Load): Promise<PassFigures> {
  const working: WorkingOrder[] = [];
  for (const user of await newUsers(load.callers, '100000000')) {
    const placed = await orders.desk.place(user, ENDLESS, { idempotencyKey: nextKey() });
    if (!placed.ok) throw new Error(placed.message);
    const { id, version } = placed.value.value;
    const taken = await orders.execution.accept({ orderId: id, version });
    if (!taken.ok) throw new Error(taken.code);
    working.push(taken.value);
  }
  const fill: Work = async (caller) => {
    working[caller] = await FILLING[way](working[caller]!);
  };
  return runCallers(load, fill, meter);
}

async function takeCensus(): Promise<Census> {
  const [row] = await served.admin<Census[]>`select
    (select count(*)::int from orders.orders where not ended) as open,
    (select count(*)::int from orders.fills) as fills`;
  return row!;
}

async function obey(command: RigCommand): Promise<PassFigures | Census> {
  if (command.op === 'census') return takeCensus();
  const measure = command.op === 'place' ? measurePlacing : measureFilling;
  return measure(command.way, command.load);
}

const [settings] = await own.admin`select 'Postgres ' || current_setting('server_version')
  || ', fsync ' || current_setting('fsync') as postgres`;
console.log(JSON.stringify({ databaseUrl: served.adminUrl, postmasterPid, ...settings }));
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  void obey(JSON.parse(line) as RigCommand).then(
    (answer) => console.log(JSON.stringify(answer)),
    (error: unknown) => {
      console.error(error);
      process.exitCode = 1;
      lines.close();
    },
  );
});
await once(lines, 'close');
orders.stop();
await signals.stop();
await bare.end();
await server.stop();
