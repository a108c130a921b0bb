import { afterAll, beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../../kernel/random.ts';
import type { Random } from '../../kernel/random.ts';
import { createMemorySignals } from '../../platform/signals-memory.ts';
import { OrdersSnapshotData, PortfolioSnapshotData, SyncEventSchema } from '../../protocol/trading.ts';
import type { Order } from '../../protocol/trading.ts';
import { ClientState } from '../../testing/log-client.ts';
import {
  accept,
  createOrderRig,
  engineFill,
  expectOrdersSound,
  limitOrder,
  NO_KEY,
  refOf,
  valueOf,
} from '../../testing/orders.ts';
import type { OrderRig } from '../../testing/orders.ts';
import { decimalUnits } from '../../testing/position-model.ts';
import { startTestPostgres, surroundings } from '../../testing/postgres.ts';
import type { TestPostgres } from '../../testing/postgres.ts';
import { selectOpenOrders } from '../orders/index.ts';
import type { Caller } from '../orders/index.ts';
import { createPortfolioDesk, createUserLog, recomputePositions } from './index.ts';
import type { UserLog } from './index.ts';

const TRADERS = 24;
const ORDERS_EACH = 12;
const FUNDS = '10000';

let server: TestPostgres;
let rig: OrderRig;
let log: UserLog;

beforeAll(async () => {
  server = await startTestPostgres();
  const database = await (await server.createDatabase()).open();
  rig = await createOrderRig(database);
  const around = surroundings();
  const signals = createMemorySignals(around);
  log = await createUserLog({ ...around, database, ledger: rig.ledger, signals, openOrders: selectOpenOrders });
});
afterAll(async () => {
  await log.stop();
  await server.stop();
});

/** Buys and sells through real orders, never more than was bought; some are filled in steps, some cancelled. */
async function tradeAtRandom(random: Random, user: Caller): Promise<void> {
  let bought = 0;
  for (let count = 0; count < ORDERS_EACH; count++) {
    const selling = bought > 0 && random() < 0.45;
    const parts = 1 + Math.floor(random() * 3);
    const each = 1 + Math.floor(random() * 50_000);
    const size = selling ? Math.min(each * parts, bought) : each * parts;
    const text = (units: number) => (units / 100_000).toFixed(5);
    const price = (90 + random() * 20).toFixed(2);
    const order = limitOrder({ side: selling ? 'sell' : 'buy', quantity: text(size), price, type: 'limit' });
    const placed = await rig.orders.desk.place(user, order, NO_KEY);
    // Too small, too far from the book, or what it would sell is held by another order.
    if (!placed.ok) continue;
    let working = await accept(rig, placed.value.value);
    const fills = Math.floor(random() * (parts + 1));
    const pieces = Array.from({ length: fills }, (_, index) => {
      const last = index === parts - 1;
      return last ? size - Math.floor(size / parts) * (parts - 1) : Math.floor(size / parts);
    }).filter((piece) => piece > 0);
    if (pieces.length > 0) {
      const made = pieces.map((piece) => engineFill({ quantity: text(piece), price }));
      working = valueOf(await rig.orders.execution.fillAll(refOf(working), made));
      const sum = pieces.reduce((total, piece) => total + piece, 0);
      // The fee leaves less than was bought.
      bought += selling ? -sum : Math.floor(sum * 0.998);
    }
    if (!working.order.status.endsWith('filled') && random() < 0.5)
      await rig.orders.desk.cancel(user, working.order.id);
    if (working.order.status === 'partially_filled' && random() < 0.3) {
      await rig.orders.desk.amend(user, working.order.id, { quantity: text(size + 1) }, NO_KEY);
    }
  }
}

it('what is told of real orders is what the protocol says, and adds up to what the queries report', async () => {
  const random = seededRandom(3);
  const users = await Promise.all(Array.from({ length: TRADERS }, () => rig.createUser({ 'PAPER:USDT': FUNDS })));
  await Promise.all(users.map((user, index) => tradeAtRandom(seededRandom(index), user)));
  expect(await recomputePositions(rig.database)).toEqual([]);
  await expectOrdersSound(rig.database);
  let traded = 0;
  for (const { userId } of users) {
    const state = new ClientState();
    for (let since = 0; ;) {
      const { events, head } = await log.since(userId, since, 1 + Math.floor(random() * 50));
      for (const event of events) {
        expect(SyncEventSchema.parse(event)).toEqual(event);
        state.take(event);
        since = event.seq;
      }
      if (since >= head) break;
    }
    const orders = OrdersSnapshotData.parse((await log.snapshot(userId, 'orders')).data);
    const portfolio = PortfolioSnapshotData.parse((await log.snapshot(userId, 'portfolio')).data);
    expect(state.violations).toEqual([]);
    const byId = (one: Order, other: Order) => (one.id < other.id ? -1 : 1);
    expect(([...state.orders.values()] as Order[]).toSorted(byId)).toEqual(orders.orders.toSorted(byId));
    expect(Object.fromEntries(state.balances)).toEqual(
      Object.fromEntries(portfolio.balances.map((balance) => [balance.asset, balance])),
    );
    expect([...state.positions.values()]).toEqual(portfolio.positions);
    const [position] = portfolio.positions;
    if (!position) continue;
    traded += 1;
    const total = (asset: string) =>
      decimalUnits(portfolio.balances.find((balance) => balance.asset === asset)?.total ?? '0');
    // All base there is was bought; all quote that is missing is in the position or was lost.
    expect(decimalUnits(position.quantity)).toBe(total('PAPER:BTC'));
    expect(total('PAPER:USDT')).toBe(
      decimalUnits(FUNDS) - decimalUnits(position.cost) + decimalUnits(position.realizedPnl),
    );
  }
  expect(traded).toBeGreaterThan(TRADERS / 2);
});

it('statistics and portfolio agree with what the orders module reports', async () => {
  const user = await rig.createUser({ 'PAPER:USDT': FUNDS });
  await tradeAtRandom(seededRandom(99), user);
  const clock = { now: () => Date.now(), monotonic: () => performance.now() };
  const prices = { price: () => null, warm: async () => {} };
  const desk = createPortfolioDesk({ database: rig.database, ledger: rig.ledger, prices, clock });
  const fills = await rig.orders.desk.fills(user.userId, { limit: 500 });
  const orders = await rig.orders.desk.orders(user.userId, { limit: 500 });
  const statistics = await desk.statistics(user.userId, { fromMs: 0, toMs: Date.now() + 60_000 });
  const [position] = await desk.positions(user.userId);
  expect(statistics).toMatchObject({ orders: orders.length, fills: fills.length, realizedPnl: position!.realizedPnl });
  expect(statistics.feesPaid).toBe(position!.feesPaid);
  const volume = fills.reduce((sum, fill) => sum + decimalUnits(fill.quote), 0n);
  expect(decimalUnits(statistics.volume)).toBe(volume);
});
