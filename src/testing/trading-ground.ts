import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import type { Database, Queries } from '../platform/postgres.ts';
import type { Order } from '../protocol/trading.ts';
import type { TestDatabase } from './postgres.ts';

/**
 * Fills, orders and notifications without the orders module: rows as its functions write them, in one statement with the
 * money and the events. An order here is its id, status and version.
 */
const GROUND = `
alter table orders.fills drop constraint fills_order_id_fkey;
create schema ground authorization migrator;
set role migrator;
grant usage on schema ground to app_rw;
create table ground.orders (user_id uuid not null, id text primary key, status text not null, version integer not null);
grant select on ground.orders to app_rw;
create function ground.fill(p_command jsonb, p_fills jsonb) returns jsonb
language plpgsql security definer set search_path = ground, pg_temp as $$
declare
  v_posted jsonb := case when p_command is not null then ledger.post(p_command) end;
begin
  if v_posted ->> 'status' in ('refused', 'repeated') then return v_posted; end if;
  perform set_config('tidewire.orders', 'ground', true);
  insert into orders.fills (order_id, user_id, account, venue, symbol, base, quote, side, liquidity, trade_id, price, quantity,
    quote_units, fee_units, flat_fee_units, simulated, market, journal_id, ts_ms)
  select gen_random_uuid(), "userId", 'paper', 'ground', base || quote, base, quote, side, 'taker', "tradeId", price, quantity,
    "quoteUnits", "feeUnits", "flatFeeUnits", true, null, coalesce((v_posted ->> 'journalId')::bigint, 0), "tsMs"
  from jsonb_to_recordset(p_fills) as f ("userId" uuid, base text, quote text, side text, "tradeId" text, price numeric,
    quantity numeric, "quoteUnits" numeric, "feeUnits" numeric, "flatFeeUnits" numeric, "tsMs" bigint);
  perform set_config('tidewire.orders', '', true);
  return coalesce(v_posted, '{}');
end $$;
create function ground.step(p_user uuid, p_order text, p_status text, p_note text) returns jsonb
language plpgsql security definer set search_path = ground, pg_temp as $$
declare
  v_order orders;
  v_events jsonb;
begin
  -- As the orders module does: one command of a user after the other.
  perform pg_advisory_xact_lock(hashtextextended(p_user::text, 0));
  insert into orders as had values (p_user, p_order, p_status, 1)
  on conflict (id) do update set status = p_status, version = had.version + 1 returning * into v_order;
  v_events := jsonb_build_array(jsonb_build_object('type', 'order', 'payload', ground.order_json(v_order)));
  if p_note is not null then
    v_events := v_events || jsonb_build_object('type', 'notification', 'payload', jsonb_build_object('id', p_note,
      'kind', 'ground', 'title', '', 'text', '', 'data', '{}'::jsonb));
  end if;
  return jsonb_build_object('seq', ledger.append_events(p_user, null, v_events));
end $$;
create function ground.order_json(p ground.orders) returns jsonb language sql immutable as $$
  select jsonb_build_object('id', p.id, 'status', p.status, 'version', p.version)
$$;
grant execute on all functions in schema ground to app_rw;`;

export async function prepareGround(at: TestDatabase): Promise<void> {
  await at.runScript(GROUND);
}

export type GroundFill = Readonly<{
  userId: string;
  base: string;
  quote: string;
  side: 'buy' | 'sell';
  price: string;
  quantity: string;
  quoteUnits: bigint;
  /** Base of a buyer, quote of a seller. */
  feeUnits: bigint;
  flatFeeUnits: bigint;
  tsMs: number;
}>;

/** All fills in one statement; `command` is posted to the ledger in the same. */
export async function writeFills(
  database: Database,
  fills: readonly GroundFill[],
  command: object | null = null,
): Promise<Record<string, unknown>> {
  const texts = fills.map(({ quoteUnits, feeUnits, flatFeeUnits, ...fill }) => ({
    ...fill,
    tradeId: randomUUID(),
    quoteUnits: `${quoteUnits}`,
    feeUnits: `${feeUnits}`,
    flatFeeUnits: `${flatFeeUnits}`,
  }));
  const given = command === null ? null : JSON.stringify(command);
  const statement = sql`select ground.fill(${given}::text::jsonb, ${JSON.stringify(texts)}::text::jsonb) as answer`;
  const rows = await database.runCommand({ name: 'ground.fill', statement, repeatable: false });
  return rows[0]!.answer as Record<string, unknown>;
}

/** Opens an order or moves it on; `note` also leaves a notification of that id. */
export async function stepOrder(
  database: Database,
  userId: string,
  step: Readonly<{ order: string; status: string; note?: string }>,
): Promise<void> {
  const statement = sql`select ground.step(${userId}::uuid, ${step.order}, ${step.status}, ${step.note ?? null})`;
  await database.runCommand({ name: 'ground.step', statement, repeatable: false });
}

export async function openGroundOrders(queries: Queries, userId: string): Promise<Order[]> {
  const rows = await queries.execute<{ order: Order }>(sql`
    select ground.order_json(o) as order from ground.orders o where user_id = ${userId}::uuid and status <> 'filled' order by id`);
  return rows.map(({ order }) => (typeof order === 'string' ? (JSON.parse(order) as Order) : order));
}
