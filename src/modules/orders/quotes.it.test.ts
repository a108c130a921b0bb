import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QuoteSchema } from '../../protocol/trading.ts';
import type { Quote, QuoteRequest } from '../../protocol/trading.ts';
import {
  bookOf,
  BTC_USDT,
  createOrderRig,
  engineFill,
  expectOrdersSound,
  FINE_MARKET,
  fundsOf,
  limitOrder,
  marketOrder,
  NO_KEY,
  place,
  refOf,
  valueOf,
} from '../../testing/orders.ts';
import type { OrderRig } from '../../testing/orders.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestPostgres } from '../../testing/postgres.ts';
import type { Caller } from './desk.ts';

let server: TestPostgres;
let rig: OrderRig;
let user: Caller;
const UNEVEN = bookOf({
  asks: [
    ['100.000000000000000007', '0.333333333333333333'],
    ['100.100000000000000001', '0.777777777777777777'],
    ['103', '50'],
  ],
  bids: [
    ['99.899999999999999999', '0.123456789012345678'],
    ['98.7', '50'],
  ],
});

beforeAll(async () => {
  server = await startTestPostgres();
  const at = await server.createDatabase();
  rig = await createOrderRig(await at.open());
  user = await rig.createUser({ 'PAPER:USDT': '10000', 'PAPER:BTC': '10', 'PAPER:FINE': '10' });
});
afterAll(async () => {
  await expectOrdersSound(rig.database);
  await server.stop();
});

async function quote(order: QuoteRequest): Promise<Quote> {
  return QuoteSchema.parse(valueOf(await rig.orders.desk.quote(user, order)));
}

async function code(order: QuoteRequest): Promise<string> {
  const outcome = await rig.orders.desk.quote(user, order);
  return outcome.ok ? (outcome.value.problem?.code ?? 'none') : `refused ${outcome.code}`;
}

describe('a quote', () => {
  it.each<[string, Partial<QuoteRequest>]>([
    ['buying a quantity', { side: 'buy', quantity: '1.111111111111111111' }],
    ['selling a quantity', { side: 'sell', quantity: '1.111111111111111111' }],
    ['spending a budget', { side: 'buy', quoteQuantity: '123.456789' }],
  ])('of %s is what placing and filling it then comes to, to the last unit', async (_name, wish) => {
    rig.setBook(UNEVEN);
    const market = { venue: 'binance', symbol: FINE_MARKET.symbol };
    const rule = { group: null, market, maker: '0.0007', taker: '0.0013', flat: '0.3' };
    await rig.orders.settings.setFeeRule(rule, 'admin');
    const { quantity: _one, ...fields } = marketOrder({ symbol: FINE_MARKET.symbol });
    const order = { ...fields, ...wish };
    const told = await quote(order);
    const before = await rig.ledger.balances(user.userId);
    const placed = await place(rig, user, order);
    expect(placed.hold).toEqual(told.hold);
    expect(placed.protectionPrice).toBe(told.protectionPrice);
    const fills = told.matches.map((match) => engineFill(match));
    const done = valueOf(await rig.orders.execution.fillAll(refOf(placed), fills));
    // A budget too, although this market has no lots that its rest could be less than.
    expect(done.order).toMatchObject({ status: 'filled', hold: null });
    expect(done.order.averagePrice).toBe(told.averagePrice);
    const after = await rig.ledger.balances(user.userId);
    const change = (asset: string) => {
      const of = (list: typeof after) => list.find((each) => each.asset === asset)!.posted;
      return of(after) - of(before);
    };
    const units = (text: string) => BigInt(text.split('.')[0]! + (text.split('.')[1] ?? '').padEnd(18, '0'));
    expect(change(told.pay.asset)).toBe(-units(told.pay.amount));
    expect(change(told.receive.asset)).toBe(units(told.receive.amount));
    rig.setBook(bookOf());
  });

  it('says what is worst, what is dust and which book it was made from', async () => {
    expect(await quote(marketOrder({ quantity: '2' }))).toMatchObject({
      quantity: '2',
      complete: true,
      pay: { asset: 'PAPER:USDT', amount: '200.11' },
      receive: { asset: 'PAPER:BTC', amount: '1.998' },
      fee: { asset: 'PAPER:BTC', amount: '0.002' },
      averagePrice: '100.055',
      worstPrice: '100.1',
      protectionPrice: '101.1',
      hold: { asset: 'PAPER:USDT', amount: '202.2' },
      dust: '0',
      book: { seq: 7, epoch: 'e1' },
      problem: null,
    });
    expect((await quote(marketOrder({ quantity: '0.12345' }))).dust).toBe('0.00000655');
    expect(await quote(limitOrder({ price: '100.05', quantity: '2' }))).toMatchObject({
      quantity: '1',
      complete: false,
      protectionPrice: null,
      hold: { amount: '200.1' },
    });
    const resting = await quote(limitOrder({ price: '99' }));
    expect(resting).toMatchObject({ quantity: '0', averagePrice: null, worstPrice: null, matches: [] });
  });

  it('names the refusal that placing would meet', async () => {
    expect(await code(limitOrder({ price: '100.005' }))).toBe('price_off_tick');
    expect(await code(limitOrder({ quantity: '10000' }))).toBe('insufficient_funds');
    expect(await code(limitOrder({ quantity: '0.00001' }))).toBe('below_minimum');
    expect(await code(limitOrder({ timeInForce: 'GTD' }))).toBe('refused invalid_order');
    expect(await code(limitOrder({ symbol: 'NO/SUCH' }))).toBe('refused unknown_symbol');
    expect(await code(limitOrder({ venue: 'nowhere' }))).toBe('refused unknown_venue');
    rig.setMarket({ ...BTC_USDT, active: false });
    expect(await code(limitOrder())).toBe('market_closed');
    rig.setMarket(BTC_USDT);
    await rig.orders.settings.setSwitch({ venue: null, state: 'halted', reason: '' }, 'admin');
    expect(await code(limitOrder())).toBe('trading_halted');
    await rig.orders.settings.setSwitch({ venue: null, state: 'active', reason: '' }, 'admin');
    expect(await code(limitOrder())).toBe('none');
  });

  it.each([
    ['no book', null],
    ['a stale one', bookOf({ status: 'stale' })],
    ['an old one', bookOf({ ageMs: 30_001 })],
  ])('and a market order are refused with %s, a limit order is taken', async (_name, book) => {
    rig.setBook(book);
    expect(await code(limitOrder())).toBe('refused market_data_stale');
    const market = await rig.orders.desk.place(user, marketOrder(), NO_KEY);
    expect(market).toMatchObject({ ok: false, code: 'market_data_stale' });
    const limit = await place(rig, user, limitOrder());
    rig.setBook(bookOf());
    const reason = { code: 'end', message: 'of the test' };
    valueOf(await rig.orders.execution.finish(refOf(limit), 'canceled', reason));
  });

  it('of more than can be kept is refused, not broken', async () => {
    const huge = '99999999999999999999';
    for (const order of [
      marketOrder({ quantity: '1000000000', protectionPrice: huge }),
      marketOrder({ quantity: huge }),
      limitOrder({ symbol: FINE_MARKET.symbol, quantity: '99999999999999999', price: '499' }),
      limitOrder({ side: 'sell', quantity: huge }),
    ]) {
      expect(await rig.orders.desk.place(user, order, NO_KEY)).toMatchObject({ ok: false, code: 'above_maximum' });
    }
  });

  it('of an empty side is not fillable', async () => {
    rig.setBook(bookOf({ asks: [] }));
    expect(await code(marketOrder())).toBe('refused not_fillable');
    rig.setBook(bookOf());
  });
});

describe('a request that was answered', () => {
  it('is answered the same when the market has gone since', async () => {
    const key = { idempotencyKey: 'before-the-storm' };
    const order = marketOrder();
    const first = valueOf(await rig.orders.desk.place(user, order, key));
    rig.setBook(null);
    expect(valueOf(await rig.orders.desk.place(user, order, key))).toEqual({ value: first.value, repeated: true });
    const changed = await rig.orders.desk.place(user, { ...order, quantity: '2' }, key);
    expect(changed).toMatchObject({ ok: false, code: 'key_reused' });
    rig.setBook(bookOf());
    const reason = { code: 'end', message: 'of the test' };
    valueOf(await rig.orders.execution.finish(refOf(first.value), 'canceled', reason));
    expect((await fundsOf(rig, user, 'PAPER:USDT')).split('/')[1]).toBe('0');
  });

  it('with a key that no header could carry is refused, not broken', async () => {
    for (const idempotencyKey of ['', 'a b', 'x'.repeat(201), 'nul\u0000', 'ü']) {
      expect(await rig.orders.desk.place(user, limitOrder(), { idempotencyKey })).toMatchObject({
        code: 'bad_request',
      });
    }
  });
});
