import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Order } from '../../protocol/trading.ts';
import {
  accept,
  bookOf,
  BTC_USDT,
  createOrderRig,
  engineFill,
  expectOrdersSound,
  fundsOf,
  limitOrder,
  NO_KEY,
  place,
  placeAccepted,
  refOf,
  valueOf,
} from '../../testing/orders.ts';
import type { OrderRig } from '../../testing/orders.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestPostgres } from '../../testing/postgres.ts';
import type { PlaceOrder } from '../../protocol/trading.ts';
import type { Caller, WorkingOrder } from './desk.ts';

let server: TestPostgres;
let rig: OrderRig;
const EVIDENCE = { price: '110', source: 'last', seq: 1, epoch: 'e1' };

beforeAll(async () => {
  server = await startTestPostgres();
  const at = await server.createDatabase();
  rig = await createOrderRig(await at.open());
});
afterAll(async () => {
  await expectOrdersSound(rig.database);
  await server.stop();
});

function stop(overrides: Partial<PlaceOrder> = {}): PlaceOrder {
  const { price: _price, ...rest } = limitOrder();
  return { ...rest, type: 'stop', stopPrice: '110', ...overrides };
}

async function held(user: Caller, order: PlaceOrder): Promise<WorkingOrder> {
  const waiting = await placeAccepted(rig, user, order);
  expect(waiting.order.status).toBe('held');
  return waiting;
}

describe('a stop', () => {
  it('holds up to five percent beyond its trigger and is protected by the book when it is triggered', async () => {
    const user = await rig.createUser();
    const waiting = await held(user, stop());
    expect(waiting.order).toMatchObject({ protectionPrice: '115.5', hold: { amount: '115.5' }, trigger: 'last' });
    const triggered = valueOf(await rig.orders.execution.trigger(refOf(waiting), EVIDENCE, { memo: { at: 1 } }));
    expect(triggered).toMatchObject({ memo: { at: 1 }, order: { status: 'triggered', protectionPrice: '101.01' } });
    valueOf(await rig.orders.execution.fill(refOf(triggered), engineFill({ price: '100.01' })));
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('9899.99/0');
  });

  it('never asks for more than its hold when the market has run away', async () => {
    const user = await rig.createUser();
    const waiting = await held(user, stop());
    rig.setBook(bookOf({ asks: [['200', '5']], last: '200' }));
    const triggered = valueOf(await rig.orders.execution.trigger(refOf(waiting), EVIDENCE));
    rig.setBook(bookOf());
    expect(triggered.order.protectionPrice).toBe('115.5');
    const refusal = await rig.orders.execution.fill(refOf(triggered), engineFill({ price: '200' }));
    expect(refusal).toMatchObject({ ok: false, code: 'conflict' });
    const reason = { code: 'ioc', message: 'nothing at this price' };
    valueOf(await rig.orders.execution.finish(refOf(triggered), 'expired', reason));
  });

  it('near the highest price there is, is protected there instead of failing in the database', async () => {
    const user = await rig.createUser();
    const fields = { symbol: 'FINE/USDT', quantity: '0.000000000000000001' };
    rig.setBook(null);
    const { protectionPrice } = await place(rig, user, stop({ ...fields, stopPrice: '99000000000000000000' }));
    rig.setBook(bookOf());
    expect(protectionPrice).toBe('99999999999999999999.999999999999999999');
  });

  it('to sell follows a falling book down, so that it gets out', async () => {
    const user = await rig.createUser();
    const waiting = await held(user, stop({ side: 'sell', stopPrice: '90' }));
    expect(waiting.order.protectionPrice).toBe('85.5');
    rig.setBook(bookOf({ bids: [['70', '5']], asks: [['71', '1']], last: '70' }));
    const triggered = valueOf(await rig.orders.execution.trigger(refOf(waiting), EVIDENCE));
    rig.setBook(bookOf());
    expect(triggered.order.protectionPrice).toBe('69.3');
    valueOf(await rig.orders.execution.fill(refOf(triggered), engineFill({ price: '70' })));
  });

  it('keeps the protection that its user named', async () => {
    const user = await rig.createUser();
    const waiting = await held(user, stop({ protectionPrice: '111' }));
    const triggered = valueOf(await rig.orders.execution.trigger(refOf(waiting), EVIDENCE));
    expect(triggered.order.protectionPrice).toBe('111');
    const moved = await rig.orders.desk.amend(user, triggered.order.id, { stopPrice: '112' }, NO_KEY);
    expect(moved).toMatchObject({ ok: false, code: 'invalid_order' });
    const reason = { code: 'ioc', message: 'nothing at this price' };
    valueOf(await rig.orders.execution.finish(refOf(triggered), 'expired', reason));
  });

  it('ends as denied, with its money back, when trading is halted at its trigger', async () => {
    const user = await rig.createUser();
    const [one, other] = [await held(user, stop()), await held(user, stop({ side: 'sell', stopPrice: '90' }))];
    const halt = { venue: 'binance', reason: 'maintenance' } as const;
    await rig.orders.settings.setSwitch({ ...halt, state: 'reducing' }, 'admin');
    const denied = valueOf(await rig.orders.execution.trigger(refOf(one), EVIDENCE));
    expect(denied.order).toMatchObject({ status: 'denied', reason: { code: 'trading_halted' }, hold: null });
    expect((await rig.orders.desk.place(user, limitOrder(), NO_KEY)).ok).toBe(false);
    expect(valueOf(await rig.orders.execution.trigger(refOf(other), EVIDENCE)).order.status).toBe('triggered');
    await rig.orders.settings.setSwitch({ ...halt, state: 'halted' }, 'admin');
    const sale = limitOrder({ side: 'sell' });
    const refusal = await rig.orders.desk.place(user, sale, NO_KEY);
    expect(refusal).toMatchObject({ code: 'trading_halted', message: 'trading is halted: maintenance' });
    expect((await rig.orders.desk.cancel(user, other.order.id)).ok).toBe(true);
    await rig.orders.settings.setSwitch({ ...halt, state: 'active' }, 'admin');
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('10000/0');
  });

  it('ends as denied when its market was closed meanwhile', async () => {
    const user = await rig.createUser();
    const waiting = await held(user, stop());
    rig.setMarket({ ...BTC_USDT, active: false });
    const denied = valueOf(await rig.orders.execution.trigger(refOf(waiting), EVIDENCE));
    rig.setMarket(BTC_USDT);
    expect(denied.order).toMatchObject({ status: 'denied', reason: { code: 'market_closed' } });
  });

  it('that trails is held for where it starts from, and its place is kept without telling each move', async () => {
    const user = await rig.createUser();
    const { stopPrice: _none, ...fields } = stop({ type: 'trailing_stop', trailingDelta: 100 });
    const waiting = await held(user, fields);
    // 100, one percent above it, and five percent beyond that.
    expect(waiting.order).toMatchObject({ stopPrice: null, hold: { amount: '106.05' } });
    const before = (await rig.ledger.eventHeads([user.userId])).get(user.userId);
    const kept = valueOf(await rig.orders.execution.remember(refOf(waiting), { extreme: '95' }, '95.95'));
    expect(kept).toMatchObject({ memo: { extreme: '95' }, order: { stopPrice: '95.95', status: 'held' } });
    expect((await rig.ledger.eventHeads([user.userId])).get(user.userId)).toBe(before);
    expect(await rig.orders.execution.remember(refOf(waiting), {}, null)).toMatchObject({ code: 'conflict' });
  });

  it('that waits here is cancelled at once', async () => {
    const user = await rig.createUser();
    const waiting = await held(user, stop());
    expect(valueOf(await rig.orders.desk.cancel(user, waiting.order.id)).status).toBe('canceled');
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('10000/0');
  });
});

describe('an amendment', () => {
  it('of what waits here happens at once, with the hold that it needs', async () => {
    const user = await rig.createUser();
    const { order } = await held(user, stop());
    const larger = valueOf(await rig.orders.desk.amend(user, order.id, { stopPrice: '120', quantity: '2' }, NO_KEY));
    expect(larger.value).toMatchObject({ status: 'held', protectionPrice: '126', hold: { amount: '252' } });
    const smaller = valueOf(await rig.orders.desk.amend(user, order.id, { quantity: '1' }, NO_KEY));
    expect(smaller.value).toMatchObject({ hold: { amount: '126' } });
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('9874/126');
    const tooMuch = await rig.orders.desk.amend(user, order.id, { quantity: '100' }, NO_KEY);
    expect(tooMuch).toMatchObject({ code: 'insufficient_funds' });
    expect((await rig.orders.desk.order(user.userId, order.id))!.hold).toEqual(smaller.value.hold);
  });

  it('of what works at the engine holds enough for both until the engine has decided', async () => {
    const user = await rig.createUser();
    const { order } = await placeAccepted(rig, user, limitOrder());
    const asked = valueOf(await rig.orders.desk.amend(user, order.id, { price: '110' }, NO_KEY)).value;
    expect(asked).toMatchObject({ status: 'pending_update', price: '100', hold: { amount: '110' } });
    const woken = rig.woken.at(-1)!;
    expect(woken).toMatchObject({ amendment: { price: '110' }, before: 'accepted', order: { id: order.id } });
    const part = valueOf(await rig.orders.execution.fill(refOf(asked), engineFill({ quantity: '0.25' })));
    expect(part).toMatchObject({ before: 'partially_filled', order: { status: 'pending_update' } });
    const done = valueOf(await rig.orders.execution.amend(refOf(part), null));
    expect(done.order).toMatchObject({ status: 'partially_filled', price: '110', hold: { amount: '82.5' } });
    const down = valueOf(await rig.orders.desk.amend(user, order.id, { price: '90' }, NO_KEY)).value;
    expect(down.hold).toEqual({ asset: 'PAPER:USDT', amount: '82.5' });
    const refused = valueOf(await rig.orders.execution.amend(refOf(down), { code: 'no', message: 'not now' }));
    expect(refused.order).toMatchObject({ status: 'partially_filled', price: '110', hold: { amount: '82.5' } });
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('9892.5/82.5');
  });

  it('to less than was filled meanwhile is refused, not carried out', async () => {
    const user = await rig.createUser();
    const { order } = await placeAccepted(rig, user, limitOrder());
    const asked = valueOf(await rig.orders.desk.amend(user, order.id, { quantity: '0.5' }, NO_KEY)).value;
    const part = valueOf(await rig.orders.execution.fill(refOf(asked), engineFill({ quantity: '0.6' })));
    const done = valueOf(await rig.orders.execution.amend(refOf(part), null));
    expect(done.order).toMatchObject({ status: 'partially_filled', quantity: '1', remainingQuantity: '0.4' });
  });

  it('is overtaken by a cancellation', async () => {
    const user = await rig.createUser();
    const { order } = await placeAccepted(rig, user, limitOrder());
    valueOf(await rig.orders.desk.amend(user, order.id, { price: '110' }, NO_KEY));
    const asked = valueOf(await rig.orders.desk.cancel(user, order.id));
    expect(asked.status).toBe('pending_cancel');
    expect(rig.woken.at(-1)).toMatchObject({ amendment: null, before: 'accepted' });
    const reason = { code: 'canceled_by_user', message: 'canceled as asked' };
    valueOf(await rig.orders.execution.finish(refOf(asked), 'canceled', reason));
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('10000/0');
  });

  it('asked for twice with one key happens once, and is answered as it was', async () => {
    const user = await rig.createUser();
    const { order } = await placeAccepted(rig, user, limitOrder());
    const key = { idempotencyKey: 'amend-1' };
    const first = valueOf(await rig.orders.desk.amend(user, order.id, { price: '99' }, key));
    expect(valueOf(await rig.orders.desk.amend(user, order.id, { price: '99' }, key))).toEqual({
      value: first.value,
      repeated: true,
    });
    expect(await rig.orders.desk.amend(user, order.id, { price: '98' }, key)).toMatchObject({ code: 'key_reused' });
    expect(await rig.orders.desk.place(user, limitOrder(), key)).toMatchObject({ code: 'key_reused' });
  });

  it.each([
    [{}, 'invalid_order'],
    [{ quantity: '0.000001' }, 'quantity_off_lot'],
    [{ price: '99.999' }, 'price_off_tick'],
    [{ price: '19.99' }, 'price_out_of_band'],
    [{ stopPrice: '90' }, 'invalid_order'],
    [{ trailingDelta: 100 }, 'invalid_order'],
    [{ expireAt: Date.now() + 60_000 }, 'invalid_order'],
    [{ quantity: '0.00001' }, 'below_minimum'],
  ])('to %j is refused as %s', async (change, code) => {
    const user = await rig.createUser();
    const { order } = await placeAccepted(rig, user, limitOrder());
    expect(await rig.orders.desk.amend(user, order.id, change, NO_KEY)).toMatchObject({ ok: false, code });
  });

  it('of an order on its way is a conflict that passes, of one that is over an end', async () => {
    const user = await rig.createUser();
    const order: Order = await place(rig, user, limitOrder());
    expect(await rig.orders.desk.amend(user, order.id, { price: '99' }, NO_KEY)).toMatchObject({ code: 'conflict' });
    const working = await accept(rig, order);
    valueOf(await rig.orders.execution.fill(refOf(working), engineFill()));
    expect(await rig.orders.desk.amend(user, order.id, { price: '99' }, NO_KEY)).toMatchObject({
      code: 'order_closed',
    });
    expect(await rig.orders.desk.cancel(user, order.id)).toMatchObject({ code: 'order_closed' });
  });
});
