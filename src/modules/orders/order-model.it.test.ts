import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Fill, Order } from '../../protocol/trading.ts';
import { FillSchema, OrderSchema } from '../../protocol/trading.ts';
import {
  bookOf,
  createOrderRig,
  engineFill,
  expectOrdersSound,
  expectUserSound,
  FINE_MARKET,
  NO_KEY,
  refOf,
  VENUE,
} from '../../testing/orders.ts';
import type { OrderRig } from '../../testing/orders.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestPostgres } from '../../testing/postgres.ts';
import type { Caller } from './desk.ts';
import { applyFill, emptyTally, holdUnits } from './fill-math.ts';
import type { Rates } from './fill-math.ts';
import { coarse, fixed, plain } from './fixed.ts';
import { ENDED } from './machine.ts';

/** More with `ORDER_MODEL_RUNS=500`. */
const RUNS = Number(process.env.ORDER_MODEL_RUNS ?? 25);
const MARKET = { account: 'paper', venue: VENUE, symbol: FINE_MARKET.symbol } as const;
const RATES: Rates = { maker: 7n, makerScale: 4, taker: 13n, takerScale: 4, flat: fixed('0.3') };

let server: TestPostgres;
let rig: OrderRig;

beforeAll(async () => {
  server = await startTestPostgres();
  const at = await server.createDatabase();
  rig = await createOrderRig(await at.open());
  const market = { venue: VENUE, symbol: FINE_MARKET.symbol };
  await rig.orders.settings.setFeeRule({ group: null, market, maker: '0.0007', taker: '0.0013', flat: '0.3' }, 'admin');
  rig.setBook(bookOf({ asks: [['100.3', '1000']], bids: [['99.7', '1000']] }));
});
afterAll(() => server.stop());

/** Prices around 100 and quantities with digits down to the last unit, so that nothing comes out even. */
const price = fc.bigInt({ min: 90n * 10n ** 18n, max: 110n * 10n ** 18n }).map(plain);
const quantity = fc.bigInt({ min: 10n ** 16n, max: 3n * 10n ** 18n }).map(plain);
const side = fc.constantFrom('buy' as const, 'sell' as const);
const pick = fc.nat(1_000);

const placements = fc.oneof(
  fc.record({ act: fc.constant('limit' as const), side, quantity, price }),
  fc.record({ act: fc.constant('market' as const), side, quantity }),
  fc.record({ act: fc.constant('budget' as const), quantity }),
  fc.record({ act: fc.constant('stop' as const), side, quantity, price }),
  fc.record({ act: fc.constant('oco' as const), side, quantity }),
  fc.record({ act: fc.constant('bracket' as const), side, quantity }),
);
const steps = fc.oneof(
  fc.record({ act: fc.constant('accept' as const), pick }),
  fc.record({
    act: fc.constant('fill' as const),
    pick,
    price,
    share: fc.integer({ min: 1, max: 12 }),
    liquidity: fc.constantFrom('maker' as const, 'taker' as const),
  }),
  fc.record({ act: fc.constant('trigger' as const), pick }),
  fc.record({ act: fc.constant('cancel' as const), pick }),
  fc.record({ act: fc.constant('amendPrice' as const), pick, price }),
  fc.record({ act: fc.constant('amendQuantity' as const), pick, quantity }),
  fc.record({ act: fc.constant('decide' as const), pick, refuse: fc.boolean() }),
  fc.record({ act: fc.constant('prevent' as const), pick, share: fc.integer({ min: 1, max: 4 }) }),
  fc.record({
    act: fc.constant('finish' as const),
    pick,
    status: fc.constantFrom('canceled' as const, 'expired' as const, 'rejected' as const),
  }),
);
const script = fc.array(fc.oneof({ arbitrary: placements, weight: 1 }, { arbitrary: steps, weight: 4 }), {
  minLength: 5,
  maxLength: 30,
});
type Act = (typeof script extends fc.Arbitrary<infer T> ? T : never)[number];

async function perform(user: Caller, act: Act): Promise<void> {
  const { desk } = rig.orders;
  switch (act.act) {
    case 'limit':
      return void (await desk.place(
        user,
        { ...MARKET, type: 'limit', ...only(act, 'side', 'quantity', 'price') },
        NO_KEY,
      ));
    case 'market':
      return void (await desk.place(user, { ...MARKET, type: 'market', ...only(act, 'side', 'quantity') }, NO_KEY));
    case 'budget':
      return void (await desk.place(
        user,
        { ...MARKET, type: 'market', side: 'buy', quoteQuantity: plain(fixed(act.quantity) * 50n) },
        NO_KEY,
      ));
    case 'stop':
      return void (await desk.place(
        user,
        { ...MARKET, type: 'stop', stopPrice: act.price, ...only(act, 'side', 'quantity') },
        NO_KEY,
      ));
    case 'oco': {
      const [limit, stop] = act.side === 'sell' ? ['107.3', '93.1'] : ['93.1', '107.3'];
      const legs = { limit: { price: limit! }, stop: { stopPrice: stop! } };
      return void (await desk.placeList(
        user,
        { ...MARKET, kind: 'oco', ...only(act, 'side', 'quantity'), ...legs },
        NO_KEY,
      ));
    }
    case 'bracket': {
      const [profit, stop] = act.side === 'buy' ? ['107.3', '93.1'] : ['93.1', '107.3'];
      const legs = {
        entry: { type: 'limit' as const, price: '100.1' },
        takeProfit: { price: profit! },
        stopLoss: { stopPrice: stop! },
      };
      return void (await desk.placeList(
        user,
        { ...MARKET, kind: 'bracket', ...only(act, 'side', 'quantity'), ...legs },
        NO_KEY,
      ));
    }
    default:
      return performStep(user, act);
  }
}

async function performStep(user: Caller, act: Extract<Act, { pick: number }>): Promise<void> {
  const { desk, execution } = rig.orders;
  const all = await desk.orders(user.userId, { limit: 100 });
  // Ended ones too, now and then: what comes late must be harmless.
  const open = all.filter((order) => !ENDED.has(order.status));
  const from = open.length > 0 && act.pick % 8 !== 0 ? open : all;
  const order = from[act.pick % Math.max(1, from.length)];
  if (order === undefined) return;
  const reason = { code: 'test', message: 'of the test' };
  if (act.act === 'accept') await execution.accept(refOf(order));
  else if (act.act === 'trigger')
    await execution.trigger(refOf(order), { price: '100', source: 'last', seq: 1, epoch: 'e' });
  else if (act.act === 'cancel') await desk.cancel(user, order.id);
  else if (act.act === 'amendPrice') await desk.amend(user, order.id, { price: act.price }, NO_KEY);
  else if (act.act === 'amendQuantity') await desk.amend(user, order.id, { quantity: act.quantity }, NO_KEY);
  else if (act.act === 'decide') await execution.amend(refOf(order), act.refuse ? reason : null);
  else if (act.act === 'finish') await execution.finish(refOf(order), act.status, reason);
  else if (act.act === 'prevent') await prevent(order, act.share);
  else await fillPart(order, act);
}

async function prevent(order: Order, share: number): Promise<void> {
  const open = fixed(order.remainingQuantity ?? '0') / BigInt(share);
  if (open > 0n) await rig.orders.execution.prevent(refOf(order), plain(open));
}

async function fillPart(order: Order, act: Extract<Act, { act: 'fill' }>): Promise<void> {
  const limit = order.price ?? order.protectionPrice ?? act.price;
  const better = order.side === 'buy' ? fixed(act.price) < fixed(limit) : fixed(act.price) > fixed(limit);
  const at = better ? act.price : limit;
  const whole = order.remainingQuantity ?? plain((coarse(order.quoteQuantity!) - coarse(order.filledQuote)) / 120n);
  const part = fixed(whole) / BigInt(act.share);
  if (part <= 0n) return;
  const outcome = await rig.orders.execution.fill(
    refOf(order),
    engineFill({ price: at, quantity: plain(part), liquidity: act.liquidity }),
  );
  // Whatever an open order is asked within its terms, its hold pays.
  if (!outcome.ok && !ENDED.has(order.status)) expect(outcome.code, outcome.message).toBe('order_closed');
}

function only<T extends object, K extends keyof T>(from: T, ...names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Pick<T, K>;
}

/** The database's fills and totals are what the code computes from the same prices. */
function expectBooked(order: Order, fills: readonly Fill[]): void {
  let tally = emptyTally(order.side, RATES);
  for (const fill of fills) {
    const { price: at, quantity: amount, liquidity } = fill;
    const next = applyFill(tally, { price: fixed(at), quantity: fixed(amount), liquidity }, RATES);
    tally = next.tally;
    expect({ quote: fill.quote, fee: fill.fee.amount, flat: fill.flatFee?.amount ?? '0' }).toEqual({
      quote: plain(next.amounts.quote),
      fee: plain(next.amounts.fee),
      flat: plain(next.amounts.flatFee),
    });
  }
  const fees = [tally.feeBase, tally.feeQuote].filter((units) => units > 0n).map(plain);
  expect(order.fees.map((fee) => fee.amount)).toEqual(fees);
  expect(order.filledQuantity).toBe(plain(tally.filled));
}

/** An order that nothing has happened to holds exactly what the code says that it would. */
function expectHold(order: Order): void {
  if (order.version !== 1 || order.listId !== null || order.status !== 'submitted') return;
  const text = (value: string | null) => (value === null ? null : fixed(value));
  const [amount, budget] = [text(order.quantity), text(order.quoteQuantity)];
  const limit = text(order.price ?? order.protectionPrice);
  const hold = holdUnits({ side: order.side, quantity: amount, quoteQuantity: budget, limit }, RATES.flat);
  expect(order.hold?.amount).toBe(plain(hold));
}

describe('whatever users and an engine do', () => {
  it(
    'money is conserved, holds are explained, and the rounding is the same everywhere',
    async () => {
      await fc.assert(
        fc.asyncProperty(script, async (acts) => {
          const user = await rig.createUser({ 'PAPER:USDT': '1000', 'PAPER:FINE': '10' });
          for (const act of acts) await perform(user, act);
          const all = await rig.orders.desk.orders(user.userId, { limit: 100 });
          const fills = await rig.orders.desk.fills(user.userId, { limit: 500 });
          for (const order of all) {
            OrderSchema.parse(order);
            expectHold(order);
            const own = fills.filter((fill) => fill.orderId === order.id).toReversed();
            expectBooked(
              order,
              own.map((fill) => FillSchema.parse(fill)),
            );
          }
          await expectUserSound(rig.database, user.userId);
        }),
        { numRuns: RUNS },
      );
      await expectOrdersSound(rig.database);
    },
    60_000 + RUNS * 3_000,
  );
});
