import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FillSchema, OrderSchema } from '../../protocol/trading.ts';
import {
  accept,
  createOrderRig,
  engineFill,
  expectOrdersSound,
  fundsOf,
  limitOrder,
  marketOrder,
  NO_KEY,
  place,
  placeAccepted,
  refOf,
  valueOf,
} from '../../testing/orders.ts';
import type { OrderRig } from '../../testing/orders.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestPostgres } from '../../testing/postgres.ts';

let server: TestPostgres;
let rig: OrderRig;

beforeAll(async () => {
  server = await startTestPostgres();
  const at = await server.createDatabase();
  rig = await createOrderRig(await at.open());
});
afterAll(async () => {
  await expectOrdersSound(rig.database);
  await server.stop();
});

describe('an order', () => {
  it('holds its price, is filled, pays its fee and gives the rest back', async () => {
    const user = await rig.createUser();
    const placed = await place(rig, user, limitOrder({ quantity: '2', price: '100' }));
    expect(OrderSchema.parse(placed)).toMatchObject({
      status: 'submitted',
      hold: { asset: 'PAPER:USDT', amount: '200' },
      remainingQuantity: '2',
      version: 1,
    });
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('9800/200');
    const accepted = await accept(rig, placed);
    const part = valueOf(await rig.orders.execution.fill(refOf(accepted), engineFill({ price: '90' })));
    expect(part.order).toMatchObject({ status: 'partially_filled', filledQuantity: '1', averagePrice: '90' });
    const done = valueOf(await rig.orders.execution.fill(refOf(part), engineFill({ price: '95', liquidity: 'maker' })));
    expect(OrderSchema.parse(done.order)).toMatchObject({
      status: 'filled',
      filledQuote: '185',
      averagePrice: '92.5',
      hold: null,
      fees: [{ asset: 'PAPER:BTC', amount: '0.002' }],
    });
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('9815/0');
    expect(await fundsOf(rig, user, 'PAPER:BTC')).toBe('11.998/0');
    const fills = await rig.orders.desk.fills(user.userId, { limit: 10 });
    expect(fills.map((fill) => FillSchema.parse(fill).liquidity)).toEqual(['maker', 'taker']);
  });

  it('by market holds up to its protection price and gives back what was better', async () => {
    const user = await rig.createUser();
    const placed = await place(rig, user, marketOrder({ quantity: '2' }));
    expect(placed).toMatchObject({ timeInForce: 'IOC', protectionPrice: '101.1', hold: { amount: '202.2' } });
    const walk = [engineFill({ price: '100.01', quantity: '1' }), engineFill({ price: '100.10', quantity: '0.5' })];
    const part = valueOf(await rig.orders.execution.fillAll(refOf(placed), walk));
    const reason = { code: 'ioc', message: 'the rest cannot be filled at once' };
    const done = valueOf(await rig.orders.execution.finish(refOf(part), 'expired', reason));
    expect(done.order).toMatchObject({ status: 'expired', filledQuantity: '1.5', reason, hold: null });
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('9849.94/0');
  });

  it('sold pays its fee out of what it brings', async () => {
    const user = await rig.createUser();
    const accepted = await placeAccepted(rig, user, limitOrder({ side: 'sell', quantity: '0.5' }));
    expect(await fundsOf(rig, user, 'PAPER:BTC')).toBe('9.5/0.5');
    const fill = engineFill({ price: '101', quantity: '0.5' });
    valueOf(await rig.orders.execution.fill(refOf(accepted), fill));
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('10050.4495/0');
    expect(await fundsOf(rig, user, 'PAPER:BTC')).toBe('9.5/0');
  });

  it('that is cancelled waits for its engine and then gives everything back', async () => {
    const user = await rig.createUser();
    const accepted = await placeAccepted(rig, user, limitOrder());
    const asked = valueOf(await rig.orders.desk.cancel(user, accepted.order.id));
    expect(asked.status).toBe('pending_cancel');
    expect(valueOf(await rig.orders.desk.cancel(user, accepted.order.id)).version).toBe(asked.version);
    const reason = { code: 'canceled_by_user', message: 'canceled as asked' };
    valueOf(await rig.orders.execution.finish(refOf(asked), 'canceled', reason));
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('10000/0');
    const again = valueOf(await rig.orders.desk.cancel(user, accepted.order.id));
    expect(again.status).toBe('canceled');
  });

  it('without the money is refused, changes nothing and leaves its key free', async () => {
    const user = await rig.createUser({ 'PAPER:USDT': '99.99' });
    const order = limitOrder({ clientOrderId: 'mine' });
    const refusal = await rig.orders.desk.place(user, order, { idempotencyKey: 'k1' });
    expect(refusal).toMatchObject({
      ok: false,
      code: 'insufficient_funds',
      message: '100 PAPER:USDT is needed and 99.99 is available',
    });
    expect(await rig.orders.desk.orders(user.userId, { limit: 10 })).toEqual([]);
    const smaller = { ...order, price: '99' };
    expect(await rig.orders.desk.place(user, smaller, { idempotencyKey: 'k1' })).toMatchObject({ ok: true });
  });

  it('asked for twice with one key is placed once', async () => {
    const user = await rig.createUser();
    const key = { idempotencyKey: 'once' };
    const first = valueOf(await rig.orders.desk.place(user, limitOrder(), key));
    const again = valueOf(await rig.orders.desk.place(user, limitOrder(), key));
    expect(again).toEqual({ value: first.value, repeated: true });
    expect(await rig.orders.desk.place(user, limitOrder({ price: '99' }), key)).toMatchObject({ code: 'key_reused' });
    expect(await rig.orders.desk.orders(user.userId, { limit: 10 })).toHaveLength(1);
  });

  it('of somebody else does not exist', async () => {
    const [one, other] = [await rig.createUser(), await rig.createUser()];
    const { id } = await place(rig, one, limitOrder());
    expect(await rig.orders.desk.order(other.userId, id)).toBeNull();
    expect(await rig.orders.desk.cancel(other, id)).toMatchObject({ code: 'not_found' });
    expect(await rig.orders.desk.amend(other, id, { price: '99' }, NO_KEY)).toMatchObject({ code: 'not_found' });
  });

  it('is told in the order in which it happened, numbered without a gap', async () => {
    const user = await rig.createUser();
    const accepted = await placeAccepted(rig, user, limitOrder());
    valueOf(await rig.orders.execution.fill(refOf(accepted), engineFill()));
    const { events } = await rig.ledger.eventsSince({ userId: user.userId, since: 2, limit: 50 });
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 3));
    // Positions are the portfolio's to tell.
    const own = events.filter(({ type }) => type !== 'position');
    expect(own.map(({ type }) => type)).toEqual(['balance', 'order', 'order', 'balance', 'balance', 'fill', 'order']);
    const told = rig.told.filter((event) => event.userId === user.userId && event.seq > 2);
    expect(told.map(({ seq, type, payload }) => ({ seq, type, payload }))).toEqual(
      own.map(({ seq, type, payload }) => ({ seq, type, payload })),
    );
  });
});
