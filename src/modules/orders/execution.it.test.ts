import { createMemorySignals } from '../../platform/signals-memory.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  accept,
  createOrderRig,
  engineFill,
  expectOrdersSound,
  FINE_MARKET,
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
import { startTestPostgres, surroundings } from '../../testing/postgres.ts';
import type { TestDatabase, TestPostgres } from '../../testing/postgres.ts';
import { budgetOf, holdOwner } from './explanations.ts';

let server: TestPostgres;
let at: TestDatabase;
let rig: OrderRig;

beforeAll(async () => {
  server = await startTestPostgres();
  at = await server.createDatabase();
  rig = await createOrderRig(await at.open());
});
afterAll(async () => {
  await expectOrdersSound(rig.database);
  await server.stop();
});

describe('an engine', () => {
  it('that reports a trade twice fills it once, however stale its version', async () => {
    const user = await rig.createUser();
    const working = await placeAccepted(rig, user, limitOrder({ quantity: '2' }));
    const fill = engineFill();
    const first = valueOf(await rig.orders.execution.fill(refOf(working), fill));
    expect(valueOf(await rig.orders.execution.fill(refOf(working), fill))).toEqual(first);
    expect(valueOf(await rig.orders.execution.fillAll(refOf(first), [fill, engineFill()])).order.status).toBe('filled');
    expect(await rig.orders.desk.fills(user.userId, { limit: 10 })).toHaveLength(2);
  });

  it('cannot give the trade of one order to another', async () => {
    const user = await rig.createUser();
    const [one, other] = [await placeAccepted(rig, user, limitOrder()), await placeAccepted(rig, user, limitOrder())];
    const fill = engineFill({ quantity: '0.5' });
    valueOf(await rig.orders.execution.fill(refOf(one), fill));
    expect(await rig.orders.execution.fill(refOf(other), fill)).toMatchObject({ ok: false, code: 'conflict' });
  });

  it('cannot fill more than is open, or beyond the price, or what is stale or over', async () => {
    const user = await rig.createUser();
    const working = await placeAccepted(rig, user, limitOrder());
    const fills = [engineFill({ quantity: '1.00001' }), engineFill({ price: '100.01' })];
    for (const fill of fills) {
      expect(await rig.orders.execution.fill(refOf(working), fill)).toMatchObject({ ok: false, code: 'conflict' });
    }
    const stale = { ...refOf(working), version: 1 };
    expect(await rig.orders.execution.fill(stale, engineFill())).toMatchObject({ ok: false, code: 'conflict' });
    const done = valueOf(await rig.orders.execution.fill(refOf(working), engineFill()));
    expect(await rig.orders.execution.accept(refOf(done))).toMatchObject({ ok: false, code: 'order_closed' });
    const reason = { code: 'x', message: 'y' };
    expect(await rig.orders.execution.finish(refOf(done), 'canceled', reason)).toMatchObject({ code: 'order_closed' });
    const unknown = { orderId: '00000000-0000-7000-8000-000000000000', version: 1 };
    expect(await rig.orders.execution.accept(unknown)).toMatchObject({ code: 'not_found' });
  });

  it('that prevents a self-trade takes it from what is open, and the last of it ends the order', async () => {
    const user = await rig.createUser();
    const working = await placeAccepted(rig, user, limitOrder());
    const part = valueOf(await rig.orders.execution.prevent(refOf(working), '0.4'));
    expect(part.order).toMatchObject({ status: 'accepted', preventedQuantity: '0.4', remainingQuantity: '0.6' });
    expect(await rig.orders.execution.prevent(refOf(part), '0.7')).toMatchObject({ code: 'conflict' });
    const end = valueOf(await rig.orders.execution.prevent(refOf(part), '0.6'));
    expect(end.order).toMatchObject({ status: 'expired_in_match', reason: { code: 'self_trade' }, hold: null });
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('10000/0');
  });

  it('that says why it waits tells the user, and a fill clears it', async () => {
    const user = await rig.createUser();
    const working = await placeAccepted(rig, user, limitOrder());
    const waiting = valueOf(await rig.orders.execution.wait(refOf(working), 'market_data'));
    expect(waiting.order.waiting).toBe('market_data');
    const done = valueOf(await rig.orders.execution.fill(refOf(waiting), engineFill({ quantity: '0.5' })));
    expect(done.order.waiting).toBeNull();
  });

  it('learns of a late fill after the end: it is paid from what is available, or refused', async () => {
    const user = await rig.createUser({ 'PAPER:USDT': '150' });
    const working = await placeAccepted(rig, user, limitOrder());
    const reason = { code: 'canceled_by_user', message: 'canceled as asked' };
    const ended = valueOf(await rig.orders.execution.finish(refOf(working), 'canceled', reason));
    const late = valueOf(await rig.orders.execution.fill(refOf(ended), engineFill({ quantity: '0.5' })));
    expect(late.order).toMatchObject({ status: 'canceled', filledQuantity: '0.5' });
    const other = await placeAccepted(rig, user, limitOrder({ price: '99.99' }));
    const refusal = await rig.orders.execution.fill(refOf(late), engineFill({ quantity: '0.5' }));
    expect(refusal).toMatchObject({ ok: false, code: 'insufficient_funds' });
    valueOf(await rig.orders.execution.finish(refOf(other), 'canceled', reason));
    const full = valueOf(await rig.orders.execution.fill(refOf(late), engineFill({ quantity: '0.5' })));
    expect(full.order.status).toBe('filled');
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('50/0');
  });

  it('spends a budget to the last lot and gives back what buys none', async () => {
    const user = await rig.createUser();
    const { quantity: _none, ...fields } = marketOrder({ quoteQuantity: '50' });
    const placed = await place(rig, user, fields);
    expect(placed).toMatchObject({ quantity: null, quoteQuantity: '50', hold: { amount: '50' } });
    const fill = engineFill({ price: '100.01', quantity: '0.49995' });
    const done = valueOf(await rig.orders.execution.fill(refOf(placed), fill));
    expect(budgetOf(done.order)).toBe('0.0000005');
    expect(done.order).toMatchObject({ status: 'filled', filledQuantity: '0.49995', hold: null });
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('9950.0000005/0');
  });

  it('is repeated by the driver without doing anything twice', async () => {
    const user = await rig.createUser();
    const placed = await place(rig, user, limitOrder());
    const call = `select orders.advance('{"orderId": "${placed.id}", "version": 1, "actor": "test", "event": "accept",
      "token": "00000000-0000-4000-8000-000000000001"}') as answer`;
    const [one] = await at.admin.unsafe(call);
    const [other] = await at.admin.unsafe(call);
    expect([one!.answer.status, other!.answer.status]).toEqual(['done', 'unchanged']);
    expect(other!.answer.works).toEqual(one!.answer.works);
  });
});

describe('fees', () => {
  it('follow the most specific rule, and stay what they were when the order was placed', async () => {
    const user = await rig.createUser();
    const market = { venue: 'binance', symbol: 'BTC/USDT' };
    const rates = async () => (await place(rig, user, limitOrder())).feeRates;
    const rule = (maker: string, scope: object) =>
      rig.orders.settings.setFeeRule(
        { group: null, market: null, ...scope, maker, taker: '0.002', flat: '0' },
        'admin',
      );
    const usual = await placeAccepted(rig, user, limitOrder());
    await rule('0.0005', { market });
    expect((await rates()).maker).toBe('0.0005');
    await rule('0.0004', { group: 'vip' });
    expect((await rates()).maker).toBe('0.0005');
    await rig.orders.settings.setFeeGroup(user.userId, 'vip');
    expect((await rates()).maker).toBe('0.0004');
    await rule('0.0003', { group: 'vip', market });
    expect((await rates()).maker).toBe('0.0003');
    const done = valueOf(await rig.orders.execution.fill(refOf(usual), engineFill({ liquidity: 'maker' })));
    expect(done.order.fees).toEqual([{ asset: 'PAPER:BTC', amount: '0.001' }]);
    await rig.orders.settings.removeFeeRule({ group: 'vip', market }, 'admin');
    await rig.orders.settings.removeFeeRule({ group: null, market }, 'admin');
    await rig.orders.settings.removeFeeRule({ group: 'vip', market: null }, 'admin');
    expect(await rig.orders.settings.feeRules()).toHaveLength(1);
  });

  it('with a flat part are held on top, taken once by a buyer and out of the proceeds by a seller', async () => {
    const market = { venue: 'binance', symbol: FINE_MARKET.symbol };
    const rule = { group: null, market, maker: '0', taker: '0', flat: '5' };
    await rig.orders.settings.setFeeRule(rule, 'admin');
    const user = await rig.createUser({ 'PAPER:USDT': '1000', 'PAPER:FINE': '10' });
    const bought = await placeAccepted(rig, user, limitOrder({ symbol: FINE_MARKET.symbol, quantity: '2' }));
    expect(bought.order.hold).toEqual({ asset: 'PAPER:USDT', amount: '205' });
    const fills = [engineFill({ price: '90' }), engineFill({ price: '90' })];
    valueOf(await rig.orders.execution.fillAll(refOf(bought), fills));
    const [second, first] = await rig.orders.desk.fills(user.userId, { limit: 2 });
    expect([first!.flatFee, second!.flatFee]).toEqual([{ asset: 'PAPER:USDT', amount: '5' }, null]);
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('815/0');
    const sold = await placeAccepted(
      rig,
      user,
      limitOrder({ symbol: FINE_MARKET.symbol, side: 'sell', quantity: '1' }),
    );
    const small = valueOf(await rig.orders.execution.fill(refOf(sold), engineFill({ quantity: '0.03' })));
    expect(small.order.fees).toEqual([{ asset: 'PAPER:USDT', amount: '3' }]);
    const done = valueOf(await rig.orders.execution.fill(refOf(small), engineFill({ quantity: '0.97' })));
    expect(done.order.fees).toEqual([{ asset: 'PAPER:USDT', amount: '5' }]);
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('910/0');
  });
});

describe('limits', () => {
  it('count open orders of a user in all and in one market, whoever asks at the same time', async () => {
    const small = await createOrderRig(rig.database, { limits: { user: 5, market: 3 } });
    const user = await small.createUser({ 'PAPER:USDT': '10000' });
    const place20 = async (symbol: string) => {
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, () => small.orders.desk.place(user, limitOrder({ symbol }), NO_KEY)),
      );
      const codes = outcomes.map((outcome) => (outcome.ok ? 'placed' : outcome.code));
      expect(new Set(codes)).toEqual(new Set(['placed', 'too_many_orders']));
      return codes.filter((code) => code === 'placed').length;
    };
    expect(await place20('BTC/USDT')).toBe(3);
    expect(await place20(FINE_MARKET.symbol)).toBe(2);
    expect(await small.orders.desk.cancelAll(user, { symbol: 'BTC/USDT' })).toHaveLength(3);
  });
});

describe('what is held', () => {
  it('is explained by the order that it is held for, also after the hold had to grow', async () => {
    const user = await rig.createUser();
    const working = await placeAccepted(rig, user, limitOrder());
    valueOf(await rig.orders.desk.amend(user, working.order.id, { price: '110' }, NO_KEY));
    const [hold] = await rig.ledger.openHolds(user.userId);
    expect(holdOwner({ purpose: hold!.purpose, reference: hold!.reference })).toBe(working.order.id);
    expect(holdOwner({ purpose: 'order', reference: 'whatever' })).toBeNull();
  });
});

describe('housekeeping', () => {
  it('cancels everything of a user whose dead-man switch has run out, and nobody else', async () => {
    const [dead, alive] = [await rig.createUser(), await rig.createUser()];
    const orders = [await placeAccepted(rig, dead, limitOrder()), await placeAccepted(rig, alive, limitOrder())];
    expect(await rig.orders.desk.cancelAfter(alive, 10)).toMatchObject({ ok: false, code: 'bad_request' });
    const { triggerAt } = valueOf(await rig.orders.desk.cancelAfter(alive, 60_000));
    expect(triggerAt).toBeGreaterThan(Date.now() + 50_000);
    valueOf(await rig.orders.desk.cancelAfter(dead, 60_000));
    await at.runScript(`begin; set local tidewire.orders = 'test';
      update orders.traders set dead_man_at_ms = 1 where user_id = '${dead.userId}'; commit`);
    expect(await rig.orders.expireDeadMen(10)).toBe(1);
    expect(await rig.orders.expireDeadMen(10)).toBe(0);
    const [one, other] = await Promise.all([
      rig.orders.desk.order(dead.userId, orders[0]!.order.id),
      rig.orders.desk.order(alive.userId, orders[1]!.order.id),
    ]);
    expect([one!.status, other!.status]).toEqual(['pending_cancel', 'accepted']);
    expect(valueOf(await rig.orders.desk.cancelAfter(alive, 0))).toEqual({ triggerAt: null });
  });

  it('that fails for one user is done for all others, and says that it failed', async () => {
    const copy = await server.createDatabase();
    const own = await createOrderRig(await copy.open());
    const users = [await own.createUser(), await own.createUser(), await own.createUser()];
    const gtd = limitOrder({ timeInForce: 'GTD', expireAt: Date.now() + 60_000 });
    const dead = await Promise.all(users.map((user) => placeAccepted(own, user, limitOrder())));
    const overdue = await Promise.all(users.map((user) => placeAccepted(own, user, gtd)));
    for (const user of users) valueOf(await own.orders.desk.cancelAfter(user, 60_000));
    await copy.runScript(`begin; set local tidewire.orders = 'test'; update orders.traders set dead_man_at_ms = 1;
      update orders.orders set expire_at_ms = 1, version = version + 1 where expire_at_ms is not null; commit`);
    await copy.runScript(`create function public.fail() returns trigger language plpgsql as
      $$ begin raise exception 'damaged'; end $$;
      create trigger fail before update on orders.orders for each row when (old.user_id = '${users[1]!.userId}')
      execute function public.fail()`);
    const statuses = (works: typeof dead) =>
      Promise.all(
        works.map(async ({ order }, index) => (await own.orders.desk.order(users[index]!.userId, order.id))!.status),
      );
    await expect(own.orders.expireOverdue(10)).rejects.toThrow('1 of 3 failed');
    expect(await statuses(overdue)).toEqual(['expired', 'accepted', 'expired']);
    await expect(own.orders.expireDeadMen(10)).rejects.toThrow('1 of 3 failed');
    expect(await statuses(dead)).toEqual(['pending_cancel', 'accepted', 'pending_cancel']);
  });

  it('leaves a user alone who renewed the switch after the job had looked', async () => {
    const user = await rig.createUser();
    const working = await placeAccepted(rig, user, limitOrder());
    valueOf(await rig.orders.desk.cancelAfter(user, 60_000));
    const request = JSON.stringify({ ...user, deadMan: true });
    const [row] = await at.admin`select orders.cancel(${request}::text::jsonb) as answer`;
    expect(row!.answer).toEqual({ status: 'unchanged', works: [] });
    expect((await rig.orders.desk.order(user.userId, working.order.id))!.status).toBe('accepted');
  });

  it('ends what should have expired long ago', async () => {
    const user = await rig.createUser();
    const order = limitOrder({ timeInForce: 'GTD', expireAt: Date.now() + 60_000 });
    const working = await placeAccepted(rig, user, order);
    expect(await rig.orders.expireOverdue(10)).toBe(0);
    await at.runScript(`begin; set local tidewire.orders = 'test'; update orders.orders set expire_at_ms = 1,
      version = version + 1 where id = '${working.order.id}'; commit`);
    expect(await rig.orders.expireOverdue(10)).toBe(1);
    expect((await rig.orders.desk.order(user.userId, working.order.id))!.status).toBe('expired');
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('10000/0');
  });
});

describe('commands', () => {
  it('are listed from a cursor on, each order once as it is now, and none behind a cursor', async () => {
    const user = await rig.createUser();
    const start = (await rig.orders.execution.commandsSince(null, 100)).cursor;
    const placed = [];
    for (let count = 0; count < 5; count++) placed.push(await place(rig, user, limitOrder()));
    await accept(rig, placed[0]!);
    valueOf(await rig.orders.desk.cancel(user, placed[0]!.id));
    const seen: string[] = [];
    let cursor = start;
    for (;;) {
      const page = await rig.orders.execution.commandsSince(cursor, 2);
      seen.push(...page.orders.map((work) => `${work.order.id} ${work.order.status}`));
      if (page.orders.length < 2) break;
      cursor = page.cursor;
    }
    const [first, ...others] = placed.map((order) => order.id);
    expect(seen).toEqual([...others.map((id) => `${id} submitted`), `${first} pending_cancel`]);
  });

  it('of a transaction that commits late are not skipped', async () => {
    const user = await rig.createUser();
    const { cursor } = await rig.orders.execution.commandsSince(null, 10);
    const slow = await at.admin.reserve();
    await slow.unsafe('begin; select pg_current_xact_id()');
    const placed = await place(rig, user, limitOrder());
    const early = await rig.orders.execution.commandsSince(cursor, 10);
    expect(early.orders).toEqual([]);
    await slow.unsafe('commit');
    slow.release();
    const late = await rig.orders.execution.commandsSince(early.cursor, 10);
    expect(late.orders.map((work) => work.order.id)).toEqual([placed.id]);
  });

  it('wake engines in this process and in others', async () => {
    const { log, metrics } = surroundings();
    const signals = createMemorySignals({ log, metrics });
    const here = await createOrderRig(rig.database, { signals });
    const there = await createOrderRig(rig.database, { signals });
    const user = await here.createUser();
    const placed = await place(here, user, limitOrder());
    expect(here.woken.map((work) => work.order)).toEqual([placed]);
    await expect.poll(() => there.woken.map((work) => work.order)).toEqual([placed]);
    there.orders.stop();
    await place(here, user, limitOrder());
    expect(there.woken).toHaveLength(1);
  });

  it('come back after a restart with all that is open', async () => {
    const fresh = await createOrderRig(rig.database);
    const user = await fresh.createUser();
    const placed = await place(fresh, user, limitOrder());
    // By budget it has no quantity, which every condition on one has to bear.
    const { quantity: _, ...byBudget } = marketOrder({ quoteQuantity: '100' });
    const spent = await place(fresh, user, byBudget);
    const market = { venue: 'binance', symbol: 'BTC/USDT' };
    expect(await fresh.orders.execution.workingMarkets()).toContainEqual(market);
    const working = await fresh.orders.execution.workingOrders(market);
    const mine = working.filter(({ userId }) => userId === user.userId).map(({ order }) => order);
    expect(mine).toEqual(expect.arrayContaining([placed, spent]));
    expect(mine).toHaveLength(2);
    const times = working.map((work) => work.commandedAtMs);
    expect(times).toEqual(times.toSorted((one, other) => one - other));
  });
});
