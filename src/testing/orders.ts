import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { expect } from 'vitest';
import type { Outcome } from '../kernel/outcome.ts';
import { createLedger, parseAmount } from '../modules/ledger/index.ts';
import type { Ledger, UserEvent } from '../modules/ledger/index.ts';
import type { MarketDirectory } from '../modules/market/index.ts';
import { createOrders } from '../modules/orders/index.ts';
import type { BookView, Caller, EngineFill, Orders, OrdersDeps, WorkingOrder } from '../modules/orders/index.ts';
import type { Database } from '../platform/postgres.ts';
import { createMemorySignals } from '../platform/signals-memory.ts';
import type { Market } from '../protocol/market.ts';
import type { Order, OrderList, PlaceList, PlaceOrder } from '../protocol/trading.ts';
import { expectSound } from './ledger.ts';
import { surroundings } from './postgres.ts';

export const VENUE = 'binance';
export const BTC_USDT: Market = {
  venue: VENUE,
  symbol: 'BTC/USDT',
  exchangeSymbol: 'BTCUSDT',
  base: 'BTC',
  quote: 'USDT',
  type: 'spot',
  active: true,
  priceDecimals: 2,
  sizeDecimals: 5,
  tickSize: '0.01',
  lotSize: '0.00001',
  minSize: '0.00001',
  minNotional: '5',
};
/** Nothing divides evenly here, so every rounding shows. */
export const FINE_MARKET: Market = {
  ...BTC_USDT,
  symbol: 'FINE/USDT',
  base: 'FINE',
  tickSize: null,
  lotSize: null,
  minSize: null,
  minNotional: null,
};

export function bookOf(overrides: Partial<BookView> = {}): BookView {
  return {
    stream: 'book:binance:BTC/USDT:100:100ms',
    epoch: 'e1',
    seq: 7,
    exchangeSeq: 700,
    ageMs: 20,
    status: 'live',
    bids: [
      ['99.99', '1'],
      ['99.90', '2'],
    ],
    asks: [
      ['100.01', '1'],
      ['100.10', '2'],
    ],
    last: '100.00',
    ...overrides,
  };
}

export type OrderRig = Readonly<{
  orders: Orders;
  ledger: Ledger;
  database: Database;
  told: UserEvent[];
  woken: WorkingOrder[];
  /** Replaces the live book; null: there is none. */
  setBook(book: BookView | null): void;
  setMarket(market: Market): void;
  /** A user with these paper funds, in whole units. */
  createUser(funds?: Readonly<Record<string, string>>): Promise<Caller>;
}>;

export async function createOrderRig(database: Database, given: Partial<OrdersDeps> = {}): Promise<OrderRig> {
  const told: UserEvent[] = [];
  const woken: WorkingOrder[] = [];
  const tell = (events: readonly UserEvent[]) => void told.push(...events);
  const ledger = createLedger({ database, tell });
  const markets = new Map([BTC_USDT, FINE_MARKET].map((market) => [market.symbol, market]));
  let book: BookView | null = bookOf();
  const { log, metrics, clock } = surroundings();
  const orders = createOrders({
    database,
    ledger,
    directory: directoryOf(markets),
    books: { book: () => book },
    signals: createMemorySignals({ log, metrics }),
    clock,
    log,
    tell,
    ...given,
  });
  orders.execution.onCommand((work) => void woken.push(work));
  for (const code of ['PAPER:USDT', 'PAPER:BTC', 'PAPER:FINE']) await ledger.defineAsset({ code, scale: 18 });
  return {
    orders,
    ledger,
    database,
    told,
    woken,
    setBook(next) {
      book = next;
    },
    setMarket: (market) => void markets.set(market.symbol, market),
    async createUser(funds = { 'PAPER:USDT': '10000', 'PAPER:BTC': '10' }) {
      const userId = randomUUID();
      for (const [asset, amount] of Object.entries(funds)) await fund(ledger, userId, asset, amount);
      return { userId, actor: `user:${userId}`, requestId: null };
    },
  };
}

function directoryOf(markets: ReadonlyMap<string, Market>): MarketDirectory {
  return {
    venues: () => [],
    markets: () => [...markets.values()],
    find(venue, symbol) {
      if (venue !== VENUE) return { found: 'unknown_venue' };
      const market = markets.get(symbol);
      return market === undefined ? { found: 'unknown_symbol' } : { found: 'market', market };
    },
    loaded: () => Promise.resolve(),
    stop: () => {},
  };
}

export async function fund(ledger: Ledger, owner: string, asset: string, amount: string): Promise<void> {
  const units = parseAmount(amount, 18);
  if (!units.ok) throw new Error(units.message);
  const key = { scope: 'test', key: randomUUID() };
  const done = await ledger.credit({
    key,
    actor: 'test',
    owner,
    asset,
    amount: units.value,
    from: { house: 'equity' },
  });
  expect(done).toMatchObject({ ok: true });
}

export function limitOrder(overrides: Partial<PlaceOrder> = {}): PlaceOrder {
  return {
    account: 'paper',
    venue: VENUE,
    symbol: 'BTC/USDT',
    side: 'buy',
    type: 'limit',
    quantity: '1',
    price: '100',
    ...overrides,
  };
}

export function marketOrder(overrides: Partial<PlaceOrder> = {}): PlaceOrder {
  return {
    account: 'paper',
    venue: VENUE,
    symbol: 'BTC/USDT',
    side: 'buy',
    type: 'market',
    quantity: '1',
    ...overrides,
  };
}

export const NO_KEY = { idempotencyKey: null };

export async function place(rig: OrderRig, caller: Caller, order: PlaceOrder): Promise<Order> {
  return valueOf(await rig.orders.desk.place(caller, order, NO_KEY)).value;
}

export async function placeList(rig: OrderRig, caller: Caller, list: PlaceList): Promise<OrderList> {
  return valueOf(await rig.orders.desk.placeList(caller, list, NO_KEY)).value;
}

/** As the engine has it after its first look. */
export async function placeAccepted(rig: OrderRig, caller: Caller, order: PlaceOrder): Promise<WorkingOrder> {
  return accept(rig, await place(rig, caller, order));
}

export async function accept(rig: OrderRig, order: Order): Promise<WorkingOrder> {
  return valueOf(await rig.orders.execution.accept(refOf(order)));
}

export function refOf(order: Order | WorkingOrder): { orderId: string; version: number } {
  const { id, version } = 'order' in order ? order.order : order;
  return { orderId: id, version };
}

export function engineFill(overrides: Partial<EngineFill> = {}): EngineFill {
  return {
    tradeId: randomUUID(),
    liquidity: 'taker',
    price: '100',
    quantity: '1',
    ts: 1_700_000_000_000,
    market: {
      stream: 'book:binance:BTC/USDT:100:100ms',
      epoch: 'e1',
      seq: 7,
      exchangeSeq: 700,
      ageMs: 20,
      latencyMs: 30,
      tradeId: null,
    },
    ...overrides,
  };
}

export function valueOf<T>(outcome: Outcome<T>): T {
  expect(outcome).toMatchObject({ ok: true });
  if (!outcome.ok) throw new Error(`${outcome.code}: ${outcome.message}`);
  return outcome.value;
}

/** `available/held`, in whole units. */
export async function fundsOf(rig: OrderRig, caller: Caller, asset: string): Promise<string> {
  const balance = (await rig.ledger.balances(caller.userId)).find((each) => each.asset === asset);
  const text = (units: bigint) => {
    const digits = units.toString().padStart(19, '0');
    return `${digits.slice(0, -18)}.${digits.slice(-18)}`.replace(/\.?0+$/, '');
  };
  return balance ? `${text(balance.available)}/${text(balance.held)}` : 'none';
}

/** What must hold after anything: the ledger adds up, and what is held is what the open orders hold, each for its reason. */
export async function expectOrdersSound(database: Database): Promise<void> {
  await expectSound(database);
  const rows = await database.read('test.users', (queries) =>
    queries.execute(sql`select user_id::text as id from orders.traders union
      select a.owner_id::text from ledger.holds h join ledger.accounts a on a.id = h.account_id
      where h.purpose = 'order' and h.captured + h.released < h.amount`),
  );
  for (const { id } of rows) await expectUserSound(database, String(id));
}

/** The same for the orders of one user. */
export async function expectUserSound(database: Database, userId: string): Promise<void> {
  const breaches = await database.read('test.breaches', (queries) =>
    queries.execute(sql`
      with own as materialized (select * from orders.orders where user_id = ${userId}::uuid), kept as (
        select a.asset, h.reference_id, h.amount - h.captured - h.released as open
        from ledger.holds h join ledger.accounts a on a.id = h.account_id
        where a.owner_id = ${userId}::uuid and h.purpose = 'order' and h.captured + h.released < h.amount
      )
      select 'hold' as what, coalesce(hold_reference, reference_id) as which
      from (select * from own where hold_units > 0) as placed
      full join kept on hold_reference = reference_id and hold_asset = asset
      where hold_units is distinct from open
      union all
      select 'open orders', user_id::text from orders.traders
      where user_id = ${userId}::uuid and open_orders <> (select count(*) from own where not ended)
      union all
      select 'fills', o.id::text from own o
      where (o.filled_quantity, o.filled_quote) <> (select coalesce(sum(quantity), 0), coalesce(sum(price * quantity), 0)
        from orders.fills f where f.order_id = o.id)
      union all
      select 'status', o.id::text from own o
      where o.status <> (select to_status from orders.order_events e where e.order_id = o.id order by seq desc limit 1)`),
  );
  expect(breaches).toEqual([]);
}
