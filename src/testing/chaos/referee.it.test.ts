import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Caller } from '../../modules/orders/index.ts';
import { createOrderRig, engineFill, limitOrder, placeAccepted, refOf, valueOf } from '../orders.ts';
import type { OrderRig } from '../orders.ts';
import { startTestPostgres } from '../postgres.ts';
import type { TestDatabase, TestPostgres } from '../postgres.ts';
import { judge } from './referee.ts';
import type { TraderLine, Wish } from './trader-diary.ts';

let server: TestPostgres;
let at: TestDatabase;
let rig: OrderRig;
let user: Caller;
let ids: string[];

// The control: were the referee blind, a run without a breach would prove nothing.
beforeAll(async () => {
  server = await startTestPostgres();
  at = await server.createDatabase();
  rig = await createOrderRig(await at.open());
  user = await rig.createUser();
  const [one, other] = [await placeNamed('c-0'), await placeNamed('c-1')];
  valueOf(await rig.orders.execution.fill(refOf(one), engineFill({ quantity: '0.5' })));
  ids = [one.order.id, other.order.id];
});
afterAll(() => server.stop());

const placeNamed = (clientOrderId: string) => placeAccepted(rig, user, limitOrder({ clientOrderId }));

function wish(number: number): Wish {
  return { act: 'place', method: 'POST', path: '/v1/orders', body: { clientOrderId: `c-${number}` } };
}
const intent = (number: number): TraderLine => ({ type: 'intent', number, wish: wish(number) });
const ok = (number: number, orderId: string): TraderLine => ({
  type: 'ok',
  number,
  told: { orderIds: [orderId] },
  repeated: false,
});

async function told(...lines: TraderLine[]): Promise<string> {
  const { breaches } = await judge(rig.database, new Map([['c', { userId: user.userId, lines }]]));
  return breaches.join('\n');
}

/** As a superuser who takes the guards away first: around every right, trigger and constraint. */
async function damaged(table: string, change: string): Promise<string> {
  await at.runScript(`set session_replication_role = replica; alter table ${table} disable trigger all; ${change}`);
  return told(intent(0), ok(0, ids[0]!), intent(1), ok(1, ids[1]!));
}

it('tells lost, doubled, refused and never sent orders from honest ones', async () => {
  const [one, other] = ids as [string, string];
  const honest = [intent(0), ok(0, one), intent(1), ok(1, other)];
  expect(await told(...honest)).toBe('');
  expect(await told(intent(0), ok(0, one), intent(1), { type: 'unknown', number: 1 })).toBe('');
  expect(await told(...honest, intent(2), ok(2, '01a1fd14-0000-7000-8000-000000000000'))).toContain(
    'LOST: c-2 (place)',
  );
  expect(await told(intent(0), ok(0, one), intent(1), ok(1, one))).toContain(`told ${one}, kept ${other}`);
  expect(await told(intent(0), ok(0, one), intent(1), { type: 'fail', number: 1, code: 'x' })).toContain(
    'was refused (x)',
  );
  expect(await told(intent(0), ok(0, one))).toContain('DOUBLED');
  const cancel: Wish = { act: 'cancel', method: 'DELETE', path: `/v1/orders/${one}`, orderId: one };
  expect(await told(...honest, { type: 'intent', number: 2, wish: cancel }, ok(2, one))).toContain('goes on after');
  expect(await told(...honest, { type: 'wrong', what: 'something' })).toContain('c saw: something');
});

it('sees money, holds, fills and news that do not belong together', async () => {
  const by = (table: string, column: string, amount: number): Promise<string> =>
    damaged(table, `update ${table} set ${column} = ${column} + ${amount} where true`);
  expect(await by('orders.orders', 'hold_units', 1)).toContain('I6 what is held');
  expect(await by('orders.orders', 'hold_units', -1)).toBe('');
  expect(await by('orders.fills', 'quote_units', 1)).toContain('I7 fills are legs');
  await by('orders.fills', 'quote_units', -1);
  expect(await by('orders.fills', 'fee_units', 1)).toContain('I7 filled quantity, quote and fees');
  await by('orders.fills', 'fee_units', -1);
  expect(await by('orders.traders', 'open_orders', 1)).toContain('I6 the number of open orders');
  expect(await by('orders.traders', 'open_orders', -1)).toBe('');
  const untold = await damaged('ledger.user_events', `delete from ledger.user_events where type = 'fill'`);
  expect(untold).toContain('I11 every fill was told once');
});
