import { afterAll, beforeAll, expect, it } from 'vitest';
import { createOrderRig, engineFill, limitOrder, NO_KEY, placeAccepted, refOf, valueOf } from '../../testing/orders.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestDatabase, TestPostgres } from '../../testing/postgres.ts';

const ROUNDS = 60;
/** After so many the statistics say that every table is small, as autovacuum finds them in a young database. */
const ANALYZED_AFTER = 5;
/** Tables of settings have few rows for good, and reading all of them is right. */
const SMALL_TABLE_ROWS = 20;

let server: TestPostgres;
let at: TestDatabase;

beforeAll(async () => {
  server = await startTestPostgres();
  at = await server.createDatabase();
});
afterAll(() => server.stop());

it('a command reads what it needs by key, also on a connection that planned it when there was little to read', async () => {
  const rig = await createOrderRig(await at.open({ size: 1 }));
  for (let count = 0; count < ROUNDS; count++) {
    if (count === ANALYZED_AFTER) await at.runScript('analyze');
    const user = await rig.createUser();
    const filled = await placeAccepted(rig, user, limitOrder());
    valueOf(await rig.orders.execution.fill(refOf(filled), engineFill()));
    const working = await placeAccepted(rig, user, limitOrder());
    const amended = await rig.orders.desk.amend(user, working.order.id, { quantity: '2' }, NO_KEY);
    expect(amended).toMatchObject({ ok: true });
    valueOf(await rig.orders.desk.cancel(user, working.order.id));
  }
  // Of all rows a table has in the end; on average it had half of them. Amending reads the order once outside of the command.
  const allowed = ROUNDS;
  const tables = () => at.admin<{ table: string; rows: string; read: string }[]>`
    select schemaname || '.' || relname as table, n_live_tup as rows, seq_tup_read as read from pg_stat_user_tables
    where schemaname in ('ledger', 'orders', 'portfolio') and n_live_tup > ${SMALL_TABLE_ROWS} order by read desc`;
  await expect.poll(async () => (await tables()).length, { timeout: 10_000 }).toBeGreaterThan(10);
  expect((await tables()).filter(({ read, rows }) => (2 * Number(read)) / Number(rows) > allowed)).toEqual([]);
});
