import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Outcome } from '../../kernel/outcome.ts';
import type { Database } from '../../platform/postgres.ts';
import type { Order } from '../../protocol/trading.ts';
import {
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
import type { Caller } from './desk.ts';

let server: TestPostgres;
let rig: OrderRig;
const ROUNDS = Number(process.env.ORDER_RACE_ROUNDS ?? 6);
const INTERLEAVINGS = Number(process.env.ORDER_INTERLEAVINGS ?? 40);

beforeAll(async () => {
  server = await startTestPostgres();
  const at = await server.createDatabase();
  rig = await createOrderRig(await at.open());
});
afterAll(async () => {
  await expectOrdersSound(rig.database);
  await server.stop();
});

function times<T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => work(index)));
}

function tally(outcomes: readonly Readonly<{ ok: boolean; code?: string }>[]): Record<string, number> {
  const codes: Record<string, number> = {};
  for (const outcome of outcomes) {
    const code = outcome.ok ? 'done' : outcome.code!;
    codes[code] = (codes[code] ?? 0) + 1;
  }
  return codes;
}

describe.each([20, 100])('%i requests at a time', (count) => {
  it('cannot hold one balance twice', async () => {
    const user = await rig.createUser({ 'PAPER:USDT': '1000' });
    const order = limitOrder({ quantity: '3' });
    const outcomes = await times(count, () => rig.orders.desk.place(user, order, NO_KEY));
    expect(tally(outcomes)).toEqual({ done: 3, insufficient_funds: count - 3 });
    expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe('100/900');
  });

  it('of orders and debits together never take more than there is', async () => {
    const user = await rig.createUser({ 'PAPER:USDT': '1000' });
    const outcomes = await times<Outcome<unknown>>(count, (index) =>
      index % 2 === 0
        ? rig.orders.desk.place(user, limitOrder({ quantity: '3' }), NO_KEY)
        : rig.ledger.debit({
            key: { scope: user.userId, key: randomUUID() },
            actor: 'test',
            owner: user.userId,
            asset: 'PAPER:USDT',
            amount: 300n * 10n ** 18n,
            to: { house: 'equity' },
          }),
    );
    expect(tally(outcomes)).toEqual({ done: 3, insufficient_funds: count - 3 });
  });

  it('with one key have one effect and one answer', async () => {
    const user = await rig.createUser();
    const key = { idempotencyKey: randomUUID() };
    const order = limitOrder({ clientOrderId: 'mine' });
    const outcomes = (await times(count, () => rig.orders.desk.place(user, order, key))).map(valueOf);
    expect(outcomes.filter((outcome) => !outcome.repeated)).toHaveLength(1);
    expect(new Set(outcomes.map((outcome) => JSON.stringify(outcome.value))).size).toBe(1);
    expect(await rig.orders.desk.orders(user.userId, { limit: 10 })).toHaveLength(1);
  });

  it('with one key and different bodies have the effect of one of them', async () => {
    const user = await rig.createUser();
    const other = await rig.createUser();
    const key = { idempotencyKey: randomUUID() };
    const outcomes = await times(count, (index) =>
      rig.orders.desk.place(user, limitOrder({ price: `${90 + (index % 10)}` }), key),
    );
    const winners = new Set(outcomes.flatMap((outcome) => (outcome.ok ? [outcome.value.value.id] : [])));
    expect(winners.size).toBe(1);
    expect(tally(outcomes)).toEqual({ done: count / 10, key_reused: count - count / 10 });
    expect(valueOf(await rig.orders.desk.place(other, limitOrder(), key)).repeated).toBe(false);
  });

  it('with one client order id have one effect, whatever keys they have', async () => {
    const user = await rig.createUser();
    const order = limitOrder({ clientOrderId: 'mine' });
    const outcomes = await times(count, () => rig.orders.desk.place(user, order, { idempotencyKey: randomUUID() }));
    expect(new Set(outcomes.map((outcome) => valueOf(outcome).value.id)).size).toBe(1);
  });

  it('with one trade fill once', async () => {
    const user = await rig.createUser();
    const working = await placeAccepted(rig, user, limitOrder({ quantity: '2' }));
    const fill = engineFill();
    const outcomes = await times(count, () => rig.orders.execution.fill(refOf(working), fill));
    expect(tally(outcomes)).toEqual({ done: count });
    expect((await rig.orders.desk.order(user.userId, working.order.id))!.filledQuantity).toBe('1');
  });

  it('of a cancellation, amendments and fills leave filled and given back to be what was held', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const user = await rig.createUser({ 'PAPER:USDT': '1000' });
      const working = await placeAccepted(rig, user, limitOrder({ quantity: '5' }));
      await times(count, (index) => oneOf(user, working.order.id, index));
      const end = await settled(user, working.order.id);
      expect(end.hold).toBeNull();
      const paid = Number(end.filledQuote);
      expect(await fundsOf(rig, user, 'PAPER:USDT')).toBe(`${1000 - paid}/0`);
    }
  });
});

/** What users and an engine would do at any moment, each with what it knows of the order just then. */
async function oneOf(user: Caller, orderId: string, index: number, using: OrderRig = rig): Promise<void> {
  const { desk, execution } = using.orders;
  if (index % 7 === 0) return void (await desk.cancel(user, orderId));
  if (index % 5 === 0) return void (await desk.amend(user, orderId, { price: `${95 + (index % 10)}` }, NO_KEY));
  if (index % 3 === 0) return void (await desk.amend(user, orderId, { quantity: `${1 + (index % 8)}` }, NO_KEY));
  const order = (await desk.order(user.userId, orderId))!;
  if (order.status === 'pending_update') return void (await execution.amend(refOf(order), null));
  if (order.status === 'pending_cancel' && index % 2 === 0) {
    return void (await execution.finish(refOf(order), 'canceled', { code: 'canceled', message: 'as asked' }));
  }
  await execution.fill(refOf(order), engineFill({ price: '95', quantity: '0.25' }));
}

/** An engine that carries on until the order is over. */
async function settled(user: Caller, orderId: string, using: OrderRig = rig): Promise<Order> {
  const { desk, execution } = using.orders;
  for (let step = 0; step < 20; step++) {
    const order = (await desk.order(user.userId, orderId))!;
    if (['filled', 'canceled'].includes(order.status)) return order;
    if (order.status === 'pending_update') valueOf(await execution.amend(refOf(order), null));
    else valueOf(await execution.finish(refOf(order), 'canceled', { code: 'end', message: 'of the test' }));
  }
  throw new Error('the order never ends');
}

describe('every interleaving', () => {
  it('of placing, cancelling, amending and filling ends with the money where it belongs', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(fc.nat(200), { minLength: 2, maxLength: 6 }), async (s, acts) => {
        const { database } = rig;
        const scheduled: Database = {
          ...database,
          runCommand: s.scheduleFunction((command) => database.runCommand(command)),
          read: (name, work) => s.schedule(Promise.resolve(name)).then(() => database.read(name, work)),
        };
        const slow = await createOrderRig(database);
        const raced = await createOrderRig(database, { database: scheduled });
        const user = await slow.createUser({ 'PAPER:USDT': '10000' });
        const [one, other] = [await place(slow, user, marketOrder()), await placeAccepted(slow, user, limitOrder())];
        const work = acts.flatMap((act) => [
          oneOf(user, one.id, act, raced),
          oneOf(user, other.order.id, act + 1, raced),
        ]);
        work.push(raced.orders.desk.place(user, limitOrder({ clientOrderId: 'late' }), NO_KEY).then(() => {}));
        work.push(raced.orders.desk.place(user, limitOrder({ clientOrderId: 'late' }), NO_KEY).then(() => {}));
        await s.waitFor(Promise.all(work));
        const all = await slow.orders.desk.orders(user.userId, { limit: 10 });
        expect(all).toHaveLength(3);
        let paid = 0;
        for (const order of all) paid += Number((await settled(user, order.id, slow)).filledQuote);
        expect(await fundsOf(slow, user, 'PAPER:USDT')).toBe(`${10_000 - paid}/0`);
      }),
      { numRuns: INTERLEAVINGS },
    );
    await expectOrdersSound(rig.database);
  }, 120_000);
});
