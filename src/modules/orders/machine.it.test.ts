import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ORDER_STATUSES } from '../../protocol/trading.ts';
import type { OrderStatus } from '../../protocol/trading.ts';
import { createOrderRig, limitOrder, place } from '../../testing/orders.ts';
import type { OrderRig } from '../../testing/orders.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestDatabase, TestPostgres } from '../../testing/postgres.ts';
import { ENDED, nextStatus, ORDER_EVENTS, PENDING, TRANSITIONS } from './machine.ts';

let server: TestPostgres;
let at: TestDatabase;
let rig: OrderRig;
let model = '';

beforeAll(async () => {
  server = await startTestPostgres();
  at = await server.createDatabase();
  rig = await createOrderRig(await at.open());
  const user = await rig.createUser();
  model = (await place(rig, user, limitOrder())).id;
});
afterAll(() => server.stop());

describe('the state machine in the database', () => {
  it('is the same table as in the code', async () => {
    const rows = await at.admin`select event, from_status, to_status, becomes from orders.transitions`;
    const stored = rows.map((row) => [row.event, row.from_status, row.to_status, row.becomes].join(' ')).toSorted();
    const written = ORDER_EVENTS.flatMap((event) =>
      Object.entries(TRANSITIONS[event]).map(([from, { to, becomes }]) => [event, from, to, becomes ?? ''].join(' ')),
    ).toSorted();
    expect(stored).toEqual(written);
  });

  it('has the same statuses as the code', async () => {
    const rows = await at.admin`select status, ended, pending from orders.statuses`;
    const stored = Object.fromEntries(rows.map((row) => [row.status, [row.ended, row.pending]]));
    const written = ORDER_STATUSES.map((status) => [status, [ENDED.has(status), PENDING.has(status)]]);
    expect(stored).toEqual(Object.fromEntries(written));
  });

  // One statement for each pair: an order is planted in the status, the step is taken, and the transaction is undone.
  it.each(ORDER_STATUSES)('takes exactly the steps of the table from %s', async (status) => {
    for (const event of ORDER_EVENTS) {
      const before = PENDING.has(status) ? ('triggered' as const) : null;
      const taken = await stepFrom(status, event, before);
      const expected = nextStatus(status, event, before);
      expect(taken, `${status} ${event}`).toBe(expected ?? 'refused TW010');
    }
  });

  it('refuses a change of status that is not in the table, whoever writes it', async () => {
    for (const from of ORDER_STATUSES) {
      for (const to of ORDER_STATUSES) {
        const legal = ORDER_EVENTS.some((event) => nextStatus(from, event, null) === to) || from === to;
        expect(await writeStatus(from, to), `${from} ${to}`).toBe(legal ? to : 'refused TW010');
      }
    }
  });
});

async function stepFrom(status: OrderStatus, event: string, before: OrderStatus | null): Promise<string> {
  return undone(async (run) => {
    const id = await plant(run, status, before);
    const [row] = await run(
      `select (orders.step(row(o, '${event}', '{}', false)::orders.change, '{"actor": "test"}')).status
       from orders.orders o where id = '${id}'`,
    );
    return String(row!.status);
  });
}

async function writeStatus(from: OrderStatus, to: OrderStatus): Promise<string> {
  return undone(async (run) => {
    const id = await plant(run, from, null);
    const [row] = await run(
      `update orders.orders set status = '${to}', ended = ${ENDED.has(to)}, version = version + 1 where id = '${id}'
       returning status`,
    );
    return String(row!.status);
  });
}

type Run = (text: string) => Promise<readonly Readonly<Record<string, unknown>>[]>;

/** A copy of an order that was placed, without its hold, in any status. */
async function plant(run: Run, status: OrderStatus, before: OrderStatus | null): Promise<string> {
  const id = randomUUID();
  await run(`update orders.traders set open_orders = open_orders + 1`);
  await run(`insert into orders.orders select (jsonb_populate_record(o, jsonb_build_object('id', '${id}', 'status', '${status}',
    'ended', ${ENDED.has(status)}, 'before_status', ${before === null ? 'null' : `'${before}'`}, 'hold_reference', null,
    'hold_asset', null, 'hold_units', 0))).* from orders.orders o where o.id = '${model}'`);
  return id;
}

async function undone(work: (run: Run) => Promise<string>): Promise<string> {
  const undo = new Error('undo');
  let result = '';
  await at.admin
    .begin(async (sql) => {
      await sql.unsafe(`set local tidewire.orders = 'test'`);
      try {
        result = await work((text) => sql.unsafe(text));
      } catch (error) {
        result = `refused ${(error as { code: string }).code}`;
      }
      throw undo;
    })
    .catch((error: unknown) => {
      if (error !== undo && (error as { code?: string }).code !== '25P02') throw error;
    });
  return result;
}
