import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { USDT, createFundedUser, createTestLedger, expectSound } from '../../testing/ledger.ts';
import type { TestLedger } from '../../testing/ledger.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestDatabase, TestPostgres } from '../../testing/postgres.ts';

/** As another module's migration would have it: its rows, the money and the user's news are one statement. */
const SHOP = `
create schema shop authorization migrator;
set role migrator;
grant usage on schema shop to app_rw;
create table shop.orders (id text primary key, owner_id uuid not null, hold jsonb not null);
select platform.protect('shop.orders', 'shop');
grant select on shop.orders to app_rw;
create function shop.place(p_command jsonb, p_order text) returns jsonb
language plpgsql security definer set search_path = shop, pg_temp as $$
declare
  v_posted jsonb := ledger.post(p_command);
  v_owner uuid := (p_command -> 'holds' -> 0 ->> 'owner')::uuid;
begin
  if v_posted ->> 'status' <> 'posted' then
    return v_posted;
  end if;
  perform set_config('tidewire.shop', p_order, true);
  insert into orders values (p_order, v_owner, v_posted -> 'holds');
  perform set_config('tidewire.shop', '', true);
  return v_posted || jsonb_build_object('seq', ledger.append_events(v_owner, (v_posted ->> 'journalId')::bigint,
    jsonb_build_array(jsonb_build_object('type', 'order', 'payload', jsonb_build_object('id', p_order)))));
end $$;
grant execute on function shop.place to app_rw;`;

let server: TestPostgres;
let at: TestDatabase;
let under: TestLedger;

beforeAll(async () => {
  server = await startTestPostgres();
  at = await server.createDatabase();
  under = await createTestLedger(await at.open());
  await at.runScript(SHOP);
});
afterAll(async () => {
  await expectSound(under.database);
  await server.stop();
});

async function place(owner: string, order: string, amount: string): Promise<Record<string, unknown>> {
  const hold = { owner, asset: USDT, amount, purpose: 'order', reference: order };
  const command = { scope: owner, key: order, kind: 'place', actor: 'shop', holds: [hold] };
  const statement = sql`select shop.place(${JSON.stringify(command)}::text::jsonb, ${order}) as answer`;
  const rows = await under.database.runCommand({ name: 'shop.place', statement, repeatable: true });
  return rows[0]!.answer as Record<string, unknown>;
}

describe('a function of another module', () => {
  it('makes its rows, the hold and the news of one user one fact', async () => {
    const owner = await createFundedUser(under.ledger, { [USDT]: 100n });
    const order = randomUUID();
    expect(await place(owner, order, '60')).toMatchObject({ status: 'posted', seq: 3 });
    expect(await place(owner, order, '60')).toMatchObject({ status: 'repeated' });
    const { events } = await under.ledger.eventsSince({ userId: owner, since: 0, limit: 10 });
    expect(events.map(({ seq, type }) => [seq, type])).toEqual([
      [1, 'balance'],
      [2, 'balance'],
      [3, 'order'],
    ]);
    expect(await at.admin`select id from shop.orders where owner_id = ${owner}`).toHaveLength(1);
  });

  it('leaves nothing of its own behind when the ledger refuses', async () => {
    const owner = await createFundedUser(under.ledger, { [USDT]: 100n });
    expect(await place(owner, randomUUID(), '101')).toMatchObject({ status: 'refused', code: 'insufficient_funds' });
    expect(await at.admin`select id from shop.orders where owner_id = ${owner}`).toHaveLength(0);
  });

  it('takes its money back with it when its own row is refused', async () => {
    const owner = await createFundedUser(under.ledger, { [USDT]: 100n });
    const order = randomUUID();
    await at.runScript(
      `begin; set local tidewire.shop = 'x'; insert into shop.orders values ('${order}', '${owner}', '{}'); commit`,
    );
    await expect(place(owner, order, '60')).rejects.toMatchObject({ code: '23505' });
    expect(await under.ledger.openHolds(owner)).toEqual([]);
    expect((await under.ledger.eventHeads([owner])).get(owner)).toBe(1);
  });
});
