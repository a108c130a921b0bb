import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../platform/postgres.ts';
import {
  createOrderRig,
  expectOrdersSound,
  limitOrder,
  NO_KEY,
  placeAccepted,
  valueOf,
  VENUE,
} from '../../testing/orders.ts';
import type { OrderRig } from '../../testing/orders.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestPostgres } from '../../testing/postgres.ts';
import type { Caller } from './desk.ts';

let server: TestPostgres;
let rig: OrderRig;
let user: Caller;

/** As it is when the connection is lost after the commit: the statement goes out again, and its second answer is the one that comes. */
function losingFirstAnswers(database: Database): Database {
  return {
    ...database,
    async runCommand(command) {
      await database.runCommand(command);
      return database.runCommand(command);
    },
  };
}

beforeAll(async () => {
  server = await startTestPostgres();
  const at = await server.createDatabase();
  rig = await createOrderRig(losingFirstAnswers(await at.open()), { limits: { user: 3, market: 3 } });
});
afterAll(async () => {
  await expectOrdersSound(rig.database);
  await server.stop();
});

describe('a statement that is sent again because its answer was lost', () => {
  it('does not deny an order that took the last free place, money and all', async () => {
    user = await rig.createUser({ 'PAPER:USDT': '100', 'PAPER:BTC': '1' });
    const fields = { account: 'paper', venue: VENUE, symbol: 'BTC/USDT', side: 'sell', quantity: '1' } as const;
    const legs = { limit: { price: '110' }, stop: { stopPrice: '90' } };
    const list = valueOf(await rig.orders.desk.placeList(user, { kind: 'oco', ...fields, ...legs }, NO_KEY));
    expect(list.value.orders.map((order) => order.status)).toEqual(['submitted', 'submitted']);
    const placed = valueOf(await rig.orders.desk.place(user, limitOrder(), NO_KEY));
    expect(placed.value).toMatchObject({ status: 'submitted', hold: { amount: '100' } });
    const all = await rig.orders.desk.orders(user.userId, { limit: 10 });
    expect(all).toHaveLength(3);
    const more = await rig.orders.desk.place(user, limitOrder(), NO_KEY);
    expect(more).toMatchObject({ ok: false, code: 'too_many_orders' });
  });

  it('does not deny an amendment that is on its way', async () => {
    user = await rig.createUser();
    const { order } = await placeAccepted(rig, user, limitOrder());
    const amended = valueOf(await rig.orders.desk.amend(user, order.id, { price: '101' }, NO_KEY));
    expect(amended.value).toMatchObject({ status: 'pending_update', hold: { amount: '101' }, version: 3 });
  });
});
