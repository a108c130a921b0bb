import { sql } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';
import { verifyLedger } from '../../modules/ledger/index.ts';
import { recomputePositions } from '../../modules/portfolio/index.ts';
import type { Database } from '../../platform/postgres.ts';

/** What must hold of orders and money together at every moment, as one snapshot sees it. Each selects one text per breach. */
const CHECKS: readonly (readonly [promise: string, breaches: SQL])[] = [
  [
    'I6 what is held on an account is what its open orders hold',
    sql`select format('user %s %s: %s held, orders hold %s', coalesce(a.owner_id, o.user_id), coalesce(a.asset, o.hold_asset),
        a.held, o.units)
      from (select owner_id, asset, held from ledger.accounts where kind = 'user' and held <> 0) a
      full join (select user_id, hold_asset, sum(hold_units) as units from orders.orders where hold_units > 0 group by 1, 2) o
        on (o.user_id, o.hold_asset) = (a.owner_id, a.asset)
      where a.held is distinct from o.units`,
  ],
  [
    'I6 each open hold is for one open order, and as large as the order says',
    sql`select format('%s: order says %s, hold %s', coalesce(o.hold_reference, h.reference_id), o.hold_units, h.open)
      from (select * from orders.orders where hold_units > 0) o
      full join (
        select h.reference_id, a.owner_id, a.asset, h.amount - h.captured - h.released as open
        from ledger.holds h join ledger.accounts a on a.id = h.account_id
        where h.purpose = 'order' and h.captured + h.released < h.amount
      ) h on (h.reference_id, h.owner_id, h.asset) = (o.hold_reference, o.user_id, o.hold_asset)
      where o.hold_units is distinct from h.open or o.ended`,
  ],
  [
    'I6 the number of open orders is right',
    sql`select format('user %s counts %s', t.user_id, t.open_orders) from orders.traders t
      where t.open_orders <> (select count(*) from orders.orders o where o.user_id = t.user_id and not o.ended)`,
  ],
  [
    'I7 filled quantity, quote and fees of an order are those of its fills',
    sql`select format('order %s', o.id) from orders.orders o left join (
        select order_id, sum(quantity) as quantity, sum(price * quantity) as quote,
          sum(case side when 'buy' then fee_units else 0 end) as base_fee,
          sum(case side when 'sell' then fee_units else 0 end + flat_fee_units) as quote_fee
        from orders.fills group by order_id
      ) f on f.order_id = o.id
      where (o.filled_quantity, o.filled_quote, o.fee_base_units, o.fee_quote_units)
        is distinct from (coalesce(f.quantity, 0), coalesce(f.quote, 0), coalesce(f.base_fee, 0), coalesce(f.quote_fee, 0))`,
  ],
  [
    'I7 an order is filled when nothing remains, and never more than it asked for',
    sql`select format('order %s %s: %s of %s', id, status, filled_quantity, quantity) from orders.orders
      where filled_quantity + prevented_quantity > quantity
        or (status = 'filled' and quantity is not null and filled_quantity + prevented_quantity <> quantity)
        or (not ended and role is null and filled_quantity + prevented_quantity = quantity)
        or (quote_quantity is not null and filled_quote > quote_quantity)`,
  ],
  [
    'I7 nothing happens to an order after its end',
    sql`select format('order %s: %s after %s', later.order_id, later.event, e.to_status) from orders.order_events e
      join orders.statuses s on s.status = e.to_status and s.ended
      join orders.order_events later on later.order_id = e.order_id and later.seq > e.seq`,
  ],
  [
    'I7 an order is where its last event left it',
    sql`select format('order %s is %s, told %s', o.id, o.status, e.to_status) from orders.orders o left join (
        select distinct on (order_id) order_id, to_status from orders.order_events order by order_id, seq desc
      ) e on e.order_id = o.id
      where o.status is distinct from e.to_status`,
  ],
  [
    'I7 fills are legs: their journals moved exactly what they say',
    sql`with said as (
        select journal_id, user_id, base as asset,
          sum(case side when 'buy' then quantity * 1e18 - fee_units else -quantity * 1e18 end) as change
        from orders.fills group by 1, 2, 3
        union all select journal_id, user_id, quote,
          sum(case side when 'buy' then -quote_units - flat_fee_units else quote_units - fee_units end)
        from orders.fills group by 1, 2, 3
      ), moved as (
        select e.journal_id, a.owner_id as user_id, a.asset, sum(e.posted_change) as change
        from ledger.entries e join ledger.accounts a on a.id = e.account_id
        where a.owner_id is not null and exists (select from orders.fills f where f.journal_id = e.journal_id)
        group by 1, 2, 3
      )
      select format('journal %s %s: fills say %s, moved %s', coalesce(s.journal_id, m.journal_id), coalesce(s.asset, m.asset),
        s.change, m.change)
      from said s full join moved m using (journal_id, user_id, asset)
      where coalesce(s.change, 0) <> coalesce(m.change, 0)`,
  ],
  [
    'I7 no money of a user moved but by a fill or a grant',
    sql`select format('journal %s (%s) moved %s %s', e.journal_id, j.kind, e.posted_change, a.asset) from ledger.entries e
      join ledger.accounts a on a.id = e.account_id and a.owner_id is not null
      join ledger.journals j on j.id = e.journal_id
      where e.posted_change <> 0 and j.scope = 'orders' and not exists (
        select from orders.fills f where f.journal_id = e.journal_id)`,
  ],
  [
    'I11 the last thing told about an order is how it stands',
    sql`select format('order %s: told %s, is %s', o.id, told.payload ->> 'status', o.status) from orders.orders o left join (
        select distinct on (payload ->> 'id') payload ->> 'id' as id, payload from ledger.user_events
        where type = 'order' order by payload ->> 'id', seq desc
      ) told on told.id = o.id::text
      where (told.payload - array['version', 'updatedAt', 'stopPrice', 'waiting'])
        is distinct from (orders.project(o) - array['version', 'updatedAt', 'stopPrice', 'waiting'])`,
  ],
  [
    'I11 every fill was told once',
    sql`select format('fill %s told %s times', coalesce(f.id::text, told.id), told.times) from orders.fills f full join (
        select payload ->> 'id' as id, user_id, count(*) as times from ledger.user_events where type = 'fill' group by 1, 2
      ) told on told.id = f.id::text and told.user_id = f.user_id
      where told.times is distinct from 1 or f.id is null`,
  ],
];

const DETAILS_LIMIT = 3;
const STATEMENT_LIMIT_MS = 120_000;

/** May run while everybody trades. Empty when all holds. */
export async function standingBreaches(database: Database): Promise<string[]> {
  const breaches: string[] = [];
  const verification = await verifyLedger(database);
  for (const { invariant, promise, count, details } of verification.breaches) {
    breaches.push(`${invariant} ${promise}: ${count} times: ${details.slice(0, DETAILS_LIMIT).join(' | ')}`);
  }
  const options = { name: 'chaos.checks', mode: 'snapshot', statementLimitMs: STATEMENT_LIMIT_MS } as const;
  await database.transaction(options, async (queries) => {
    for (const [promise, query] of CHECKS) {
      const rows = await queries.execute<{ format: string }>(query);
      if (rows.length === 0) continue;
      const details = rows.slice(0, DETAILS_LIMIT).map(({ format }) => format);
      breaches.push(`${promise}: ${rows.length} times: ${details.join(' | ')}`);
    }
  });
  const positions = await recomputePositions(database);
  if (positions.length > 0) breaches.push(`positions differ from their fills: ${JSON.stringify(positions[0])}`);
  return breaches;
}
