import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OrderListSchema } from '../../protocol/trading.ts';
import type { Order, OrderList, PlaceList } from '../../protocol/trading.ts';
import {
  accept,
  createOrderRig,
  engineFill,
  expectOrdersSound,
  fundsOf,
  NO_KEY,
  placeList,
  refOf,
  valueOf,
  VENUE,
} from '../../testing/orders.ts';
import type { OrderRig } from '../../testing/orders.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestPostgres } from '../../testing/postgres.ts';
import type { Caller } from './desk.ts';

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

function oco(side: 'buy' | 'sell', overrides: Partial<PlaceList> = {}): PlaceList {
  const [limit, stop] = side === 'sell' ? ['110', '90'] : ['90', '110'];
  const fields = { limit: { price: limit }, stop: { stopPrice: stop }, quantity: '1' };
  return {
    kind: 'oco',
    account: 'paper',
    venue: VENUE,
    symbol: 'BTC/USDT',
    side,
    ...fields,
    ...overrides,
  } as PlaceList;
}

function bracket(side: 'buy' | 'sell', overrides: Partial<PlaceList> = {}): PlaceList {
  const [profit, stop] = side === 'buy' ? ['110', '90'] : ['90', '110'];
  return {
    kind: 'bracket',
    account: 'paper',
    venue: VENUE,
    symbol: 'BTC/USDT',
    side,
    quantity: '2',
    entry: { type: 'limit', price: '100' },
    takeProfit: { price: profit },
    stopLoss: { stopPrice: stop },
    ...overrides,
  } as PlaceList;
}

async function read(user: Caller, list: OrderList): Promise<Record<string, Order>> {
  const found = await rig.orders.desk.orderList(user.userId, list.id);
  return Object.fromEntries(OrderListSchema.parse(found).orders.map((order) => [order.role, order]));
}

async function fill(order: Order, price: string, quantity: string): Promise<Order> {
  return valueOf(await rig.orders.execution.fill(refOf(order), engineFill({ price, quantity }))).order;
}

describe('one cancels the other', () => {
  it('holds what one of both needs, and a partial execution of one ends the other', async () => {
    const user = await rig.createUser();
    const list = await placeList(rig, user, oco('sell'));
    expect(await fundsOf(rig, user, 'PAPER:BTC')).toBe('9/1');
    const [limit, stop] = list.orders as [Order, Order];
    const working = await accept(rig, limit);
    const held = await accept(rig, stop);
    expect([working.order.status, held.order.status]).toEqual(['accepted', 'held']);
    await fill(working.order, '110', '0.4');
    const after = await read(user, list);
    expect(after.limit).toMatchObject({ status: 'partially_filled', hold: { amount: '0.6' } });
    expect(after.stop).toMatchObject({ status: 'canceled', reason: { code: 'other_leg_filled' }, hold: null });
    expect(await fundsOf(rig, user, 'PAPER:BTC')).toBe('9/0.6');
    await fill(after.limit!, '110', '0.6');
    expect(await fundsOf(rig, user, 'PAPER:BTC')).toBe('9/0');
  });

  it('lets the leg that does not carry the hold be filled from it', async () => {
    const user = await rig.createUser();
    const list = await placeList(rig, user, oco('buy'));
    // The stop buys up to five percent beyond its trigger, and two legs round: one unit more.
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('9884.499999999999999999/115.500000000000000001');
    const [, stop] = list.orders as [Order, Order];
    const held = await accept(rig, stop);
    const evidence = { price: '110', source: 'last', seq: 1, epoch: 'e1' };
    const triggered = valueOf(await rig.orders.execution.trigger(refOf(held), evidence));
    expect(triggered.order.status).toBe('triggered');
    await fill(triggered.order, '101', '0.5');
    const after = await read(user, list);
    expect(after.limit).toMatchObject({ status: 'canceled', hold: null });
    expect(after.stop!.hold).not.toBeNull();
    await fill(after.stop!, '101', '0.5');
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('9899/0');
  });

  it('hands the hold on when one leg ends without an execution, and cancels both at a time', async () => {
    const user = await rig.createUser();
    const list = await placeList(rig, user, oco('buy'));
    const [limit] = list.orders as [Order, Order];
    const reason = { code: 'rejected', message: 'not today' };
    valueOf(await rig.orders.execution.finish(refOf(limit), 'rejected', reason));
    const stop = (await read(user, list)).stop!;
    expect(stop).toMatchObject({ status: 'submitted', hold: { amount: '115.500000000000000001' } });
    await accept(rig, stop);
    const closed = valueOf(await rig.orders.desk.cancelList(user, list.id));
    expect(closed).toMatchObject({ status: 'closed' });
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('10000/0');
  });

  it('is refused when the market is not between its legs', async () => {
    const user = await rig.createUser();
    const wrong = oco('sell', { limit: { price: '99' } } as Partial<PlaceList>);
    expect(await rig.orders.desk.placeList(user, wrong, NO_KEY)).toMatchObject({ code: 'invalid_order' });
  });
});

describe('a bracket', () => {
  it('protects each fill of its entry at once, and its exits make each other smaller', async () => {
    const user = await rig.createUser({ 'PAPER:USDT': '1000' });
    const list = await placeList(rig, user, bracket('buy'));
    expect(list.orders.map(({ role, status, quantity }) => [role, status, quantity])).toEqual([
      ['entry', 'submitted', '2'],
      ['take_profit', 'held', '0'],
      ['stop_loss', 'held', '0'],
    ]);
    const market = { venue: VENUE, symbol: 'BTC/USDT' };
    const mine = (await rig.orders.execution.workingOrders(market)).filter((work) => work.userId === user.userId);
    expect(mine.map((work) => work.order.role)).toEqual(['entry']);
    const entry = await accept(rig, list.orders[0]!);
    const part = await fill(entry.order, '100', '1');
    let now = await read(user, list);
    expect(now.take_profit).toMatchObject({ status: 'submitted', quantity: '0.999', hold: { amount: '0.999' } });
    expect(now.stop_loss).toMatchObject({ status: 'submitted', quantity: '0.999', hold: null });
    expect(await fundsOf(rig, user, 'PAPER:BTC')).toBe('0/0.999');
    await accept(rig, now.take_profit!);
    await accept(rig, now.stop_loss!);
    await fill(part, '100', '1');
    now = await read(user, list);
    expect(now.take_profit).toMatchObject({ status: 'accepted', quantity: '1.998', hold: { amount: '1.998' } });
    await fill(now.take_profit!, '110', '0.5');
    now = await read(user, list);
    expect(now.stop_loss).toMatchObject({ status: 'held', quantity: '1.498' });
    await fill(now.take_profit!, '110', '1.498');
    now = await read(user, list);
    expect([now.take_profit!.status, now.stop_loss!.status]).toEqual(['filled', 'canceled']);
    expect(await fundsOf(rig, user, 'PAPER:BTC')).toBe('0/0');
    // 1000 - 200 + 1.998 * 110 less 0.1 %
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('1019.56022/0');
  });

  it('keeps dust below a lot free, and ends exits that nothing armed', async () => {
    const user = await rig.createUser({ 'PAPER:USDT': '1000' });
    const list = await placeList(rig, user, bracket('buy'));
    const entry = await accept(rig, list.orders[0]!);
    const part = await fill(entry.order, '100', '0.01005');
    const now = await read(user, list);
    expect(now.take_profit).toMatchObject({ quantity: '0.01003' });
    expect(await fundsOf(rig, user, 'PAPER:BTC')).toBe('0.00000995/0.01003');
    const asked = valueOf(await rig.orders.desk.cancel(user, part.id));
    expect(asked.status).toBe('pending_cancel');

    const empty = await placeList(rig, user, bracket('buy'));
    const reason = { code: 'expired', message: 'too late' };
    valueOf(await rig.orders.execution.finish(refOf(empty.orders[0]!), 'expired', reason));
    const ended = await read(user, empty);
    expect(ended.stop_loss).toMatchObject({ status: 'canceled', reason: { code: 'entry_ended' } });
    expect(valueOf({ ok: true, value: await rig.orders.desk.orderList(user.userId, empty.id) })).toMatchObject({
      status: 'closed',
    });
  });

  it('that sells first holds what buying back may cost, and gives back what its entry did not need', async () => {
    const user = await rig.createUser();
    const list = await placeList(rig, user, bracket('sell'));
    // Two at the stop's 110 and five percent beyond, and one unit.
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('9768.999999999999999999/231.000000000000000001');
    expect(await fundsOf(rig, user, 'PAPER:BTC')).toBe('8/2');
    const entry = await accept(rig, list.orders[0]!);
    const part = await fill(entry.order, '100', '0.5');
    const reason = { code: 'expired', message: 'too late' };
    valueOf(await rig.orders.execution.finish(refOf(part), 'expired', reason));
    let now = await read(user, list);
    expect(now.take_profit).toMatchObject({ quantity: '0.5', hold: { amount: '57.750000000000000001' } });
    const held = await accept(rig, now.stop_loss!);
    const evidence = { price: '110', source: 'last', seq: 1, epoch: 'e1' };
    const triggered = valueOf(await rig.orders.execution.trigger(refOf(held), evidence));
    await fill(triggered.order, '101', '0.5');
    now = await read(user, list);
    expect([now.take_profit!.status, now.stop_loss!.status]).toEqual(['canceled', 'filled']);
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('9999.45/0');
  });

  it('stops enlarging its position once an exit is executed', async () => {
    const user = await rig.createUser();
    const list = await placeList(rig, user, bracket('buy'));
    const entry = await accept(rig, list.orders[0]!);
    await fill(entry.order, '100', '1');
    const now = await read(user, list);
    await fill(now.take_profit!, '110', '0.4');
    const after = await read(user, list);
    expect(after.entry).toMatchObject({ status: 'canceled', reason: { code: 'exit_filled' }, hold: null });
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('9943.956/0');
    // A fill of the entry that comes too late is the user's own: the exits are at work.
    await fill(after.entry!, '100', '0.5');
    const late = await read(user, list);
    expect([late.take_profit!.quantity, late.stop_loss!.quantity]).toEqual(['0.999', '0.599']);
    expect(await fundsOf(rig, user, 'PAPER:BTC')).toBe('10.4995/0.599');
  });

  it('is cancelled as a whole', async () => {
    const user = await rig.createUser();
    const list = await placeList(rig, user, bracket('buy'));
    const entry = await accept(rig, list.orders[0]!);
    await fill(entry.order, '100', '1');
    const now = await read(user, list);
    await accept(rig, now.stop_loss!);
    await rig.orders.desk.cancel(user, now.take_profit!.id);
    const after = await read(user, list);
    expect(['entry', 'take_profit', 'stop_loss'].map((role) => after[role]!.status)).toEqual([
      'pending_cancel',
      'pending_cancel',
      'canceled',
    ]);
  });
});
