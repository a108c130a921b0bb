import { sql } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';

/**
 * Each check selects one `detail` per breach and nothing when all is well. They recompute from the rows themselves and do
 * not lean on constraints, which a restore, a superuser or a bug may have got around.
 */
export type Check = Readonly<{ invariant: string; promise: string; breaches: SQL }>;

const SUMS: readonly Check[] = [
  {
    invariant: 'I1',
    promise: 'the balances of an asset sum to zero over all accounts',
    breaches: sql`select format('%s: %s units too many', asset, sum(posted)) as detail
      from ledger.balances group by asset having sum(posted) <> 0`,
  },
  {
    invariant: 'I2',
    promise: 'each leg moves a positive whole amount between two accounts of its asset, for a journal that exists',
    breaches: sql`select format('journal %s leg %s: %s %s from account %s to %s', t.journal_id, t.leg, t.amount, t.asset,
        t.debit_id, t.credit_id) as detail
      from ledger.transfers t
      left join ledger.accounts d on d.id = t.debit_id
      left join ledger.accounts c on c.id = t.credit_id
      left join ledger.journals j on j.id = t.journal_id
      where j.id is null or d.id = c.id or d.asset is distinct from t.asset or c.asset is distinct from t.asset
        or not (t.amount > 0 and t.amount < 1e36 and t.amount = trunc(t.amount))`,
  },
  {
    invariant: 'I2',
    promise: 'what the legs and holds of a journal say about an account is what the account did',
    breaches: sql`select format('journal %s, account %s: legs and balance differ by %s, holds by %s', journal_id, account_id,
        sum(posted), sum(held)) as detail
      from (
        select journal_id, credit_id as account_id, amount as posted, 0 as held from ledger.transfers
        union all select journal_id, debit_id, -amount, 0 from ledger.transfers
        union all select journal_id, account_id, -posted_change, -held_change from ledger.entries
        union all select e.journal_id, h.account_id, 0, e.placed - e.captured - e.released
          from ledger.hold_events e join ledger.holds h on h.id = e.hold_id
      ) as line
      where not exists (select from ledger.accounts a where a.id = line.account_id and a.deferred)
      group by journal_id, account_id having sum(posted) <> 0 or sum(held) <> 0`,
  },
  {
    invariant: 'I2',
    promise: 'no journal joins paper and real money',
    breaches: sql`select format('journal %s: %s', journal_id, string_agg(distinct asset, ', ')) as detail
      from ledger.transfers group by journal_id having count(distinct asset like 'PAPER:%') > 1`,
  },
];

const BALANCES: readonly Check[] = [
  {
    invariant: 'I3',
    promise: 'a balance is the sum of its legs',
    breaches: sql`select format('account %s (%s): %s posted, legs sum to %s', b.id, b.asset, b.posted, coalesce(l.total, 0))
        as detail
      from ledger.balances b left join (
        select account_id, sum(change) as total from (
          select credit_id as account_id, amount as change from ledger.transfers
          union all select debit_id, -amount from ledger.transfers
        ) as line group by account_id
      ) as l on l.account_id = b.id
      where b.posted is distinct from coalesce(l.total, 0)`,
  },
  {
    invariant: 'I3',
    promise: 'the entries of an account are an unbroken chain from zero',
    breaches: sql`select format('account %s entry %s: %s posted and %s held, the chain says %s and %s', account_id, version,
        posted, held, chain_posted, chain_held) as detail
      from (
        select *, row_number() over chain as place, sum(posted_change) over chain as chain_posted,
          sum(held_change) over chain as chain_held
        from ledger.entries window chain as (partition by account_id order by version)
      ) as entry
      where version <> place or posted <> chain_posted or held <> chain_held`,
  },
  {
    invariant: 'I3',
    promise: 'an account stands where its last entry left it',
    breaches: sql`select format('account %s at version %s with %s posted and %s held, last entry %s with %s and %s', a.id,
        a.version, a.posted, a.held, e.version, e.posted, e.held) as detail
      from ledger.accounts a left join (
        select distinct on (account_id) * from ledger.entries order by account_id, version desc
      ) as e on e.account_id = a.id
      where not a.deferred and (a.version, a.posted, a.held)
        is distinct from (coalesce(e.version, 0), coalesce(e.posted, 0), coalesce(e.held, 0))`,
  },
  {
    invariant: 'I4',
    promise: 'no account that may not be overdrawn is, and no balance is NaN, infinite or out of range',
    breaches: sql`select format('account %s (%s %s): %s posted, %s held', id, kind, asset, posted, held) as detail
      from ledger.accounts
      where posted is null or held is null or not (posted > -1e36 and posted < 1e36 and held >= 0 and held < 1e36)
        or (not overdraft and (posted < 0 or posted - held < 0)) or (deferred and held <> 0)
        or (owner_id is not null and overdraft)`,
  },
  {
    invariant: 'I4',
    promise: 'rounding never costs the house anything',
    breaches: sql`select format('account %s: %s %s', id, posted, asset) as detail
      from ledger.balances where kind = 'rounding' and posted < 0`,
  },
];

const KEYS_AND_HOLDS: readonly Check[] = [
  {
    invariant: 'I5',
    promise: 'a key belongs to one journal, which answers with its own id',
    breaches: sql`select format('key %s of %s: journals %s', key, scope, string_agg(id::text, ', ')) as detail
      from ledger.journals group by scope, key
      having count(*) > 1 or bool_or(answer ->> 'journalId' is distinct from id::text) or bool_or(octet_length(request_hash) <> 32)`,
  },
  {
    invariant: 'I5',
    promise: 'a journal is reversed once at most',
    breaches: sql`select format('journal %s: reversed by %s', reverses, string_agg(id::text, ', ')) as detail
      from ledger.journals where reverses is not null group by reverses having count(*) > 1`,
  },
  {
    invariant: 'I6',
    promise: 'what an account holds back is what its open holds add up to',
    breaches: sql`select format('account %s (%s): %s held, open holds sum to %s', a.id, a.asset, a.held, coalesce(h.open, 0))
        as detail
      from ledger.accounts a left join (
        select account_id, sum(amount - captured - released) as open from ledger.holds group by account_id
      ) as h on h.account_id = a.id
      where a.held is distinct from coalesce(h.open, 0)`,
  },
  {
    invariant: 'I6',
    promise: 'a hold is what its history says, and never resolves more than it held',
    breaches: sql`select format('hold %s: %s placed, %s captured, %s released at version %s; history %s, %s, %s, %s', h.id,
        h.amount, h.captured, h.released, h.version, e.placed, e.captured, e.released, e.last) as detail
      from ledger.holds h left join (
        select hold_id, sum(placed) as placed, sum(captured) as captured, sum(released) as released, max(seq) as last,
          count(*) as number
        from ledger.hold_events group by hold_id
      ) as e on e.hold_id = h.id
      where (h.amount, h.captured, h.released, h.version, h.version)
          is distinct from (e.placed, e.captured, e.released, e.last, e.number)
        or not (h.amount > 0 and h.captured >= 0 and h.released >= 0 and h.captured + h.released <= h.amount)`,
  },
  {
    invariant: 'I6',
    promise: 'what a hold captured left its account through legs that name the hold',
    breaches: sql`select format('hold %s: %s captured, legs sum to %s', h.id, h.captured, coalesce(t.total, 0)) as detail
      from ledger.holds h left join (
        select t.hold_id, sum(t.amount) as total, bool_and(t.debit_id = own.account_id) as own
        from ledger.transfers t join ledger.holds own on own.id = t.hold_id group by t.hold_id
      ) as t on t.hold_id = h.id
      where h.captured is distinct from coalesce(t.total, 0) or t.own is false`,
  },
];

const EVENTS_AND_GUARDS: readonly Check[] = [
  {
    invariant: 'I8',
    promise: 'events of a user are numbered from 1 without a gap up to the head',
    breaches: sql`select format('user %s: head %s, %s events up to %s', coalesce(h.user_id, e.user_id), h.seq, e.number, e.last)
        as detail
      from ledger.event_heads h full join (
        select user_id, count(*) as number, max(seq) as last, min(seq) as first from ledger.user_events group by user_id
      ) as e on e.user_id = h.user_id
      where (h.seq, h.seq, 1) is distinct from (e.number, e.last, e.first)`,
  },
  {
    invariant: 'I8',
    promise: 'each stream of a user numbers its events from 1 without a gap, in the order of the log, up to its head',
    breaches: sql`select format('user %s, stream %s: head %s, %s events up to %s, %s out of place', coalesce(h.user_id, e.user_id),
        coalesce(h.stream, e.stream), h.seq, coalesce(e.number, 0), coalesce(e.last, 0), coalesce(e.misplaced, 0)) as detail
      from (
        select user_id, stream, counted.seq from ledger.event_heads
        cross join lateral (values ('orders', orders_seq), ('portfolio', portfolio_seq), ('notifications', notifications_seq))
          as counted (stream, seq)
      ) as h full join (
        select user_id, stream, count(*) as number, max(stream_seq) as last,
          count(*) filter (where stream_seq <> place) as misplaced
        from (
          select user_id, stream, stream_seq, row_number() over (partition by user_id, stream order by seq) as place
          from ledger.user_events
        ) as event group by user_id, stream
      ) as e on e.user_id = h.user_id and e.stream = h.stream
      where (h.seq, h.seq, 0) is distinct from (coalesce(e.number, 0), coalesce(e.last, 0), coalesce(e.misplaced, 0))`,
  },
  {
    invariant: 'I8',
    promise: 'the events of a user tell every version of each account, and the last one tells how it stands',
    breaches: sql`select format('account %s (%s) at version %s: %s events up to version %s', a.id, a.asset, a.version,
        count(e.user_id), max(e.version)) as detail
      from ledger.accounts a left join (
        select user_id, payload ->> 'asset' as asset, (payload ->> 'version')::bigint as version,
          (payload ->> 'posted')::numeric as posted, (payload ->> 'held')::numeric as held
        from ledger.user_events where type = 'balance'
      ) as e on e.user_id = a.owner_id and e.asset = a.asset
      where a.kind = 'user' group by a.id
      having (a.version, a.version) is distinct from (count(e.user_id), coalesce(max(e.version), 0))
        or (a.version > 0 and (bool_or((e.version, e.posted, e.held) = (a.version, a.posted, a.held))) is not true)`,
  },
  {
    invariant: 'guards',
    promise: 'every table refuses writes from outside its transaction, and history refuses change',
    breaches: sql`select format('%s lacks its trigger %s', c.oid::regclass, wanted.name) as detail
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      cross join (values ('a_marked_only', null), ('a_append_only',
        array['assets', 'journals', 'transfers', 'hold_events', 'entries', 'user_events', 'event_epochs']), ('b_write_entry', array['accounts']),
        ('b_write_hold_event', array['holds']), ('z_adds_up', array['journals'])) as wanted (name, tables)
      where n.nspname = 'ledger' and c.relkind in ('r', 'p') and (wanted.tables is null or c.relname = any (wanted.tables))
        and not exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = wanted.name and t.tgenabled = 'A')`,
  },
  {
    invariant: 'guards',
    promise: 'constraints are in force',
    breaches: sql`select format('%s of %s is not validated', conname, conrelid::regclass) as detail
      from pg_constraint c join pg_namespace n on n.oid = c.connamespace
      where n.nspname = 'ledger' and not convalidated
      union all
      select format('accounts lacks %s', name) from unnest(array['accounts_posted', 'accounts_held', 'accounts_available'])
        as name
      where not exists (select from pg_constraint where conname = name and conrelid = 'ledger.accounts'::regclass)`,
  },
  {
    invariant: 'guards',
    promise: 'the application cannot write the tables of the ledger itself',
    breaches: sql`select format('%s may write %s', role, c.oid::regclass) as detail
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      cross join unnest(array['app_rw', 'app_ro']) as role
      where n.nspname = 'ledger' and c.relkind in ('r', 'p')
        and has_table_privilege(role, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')`,
  },
];

export const CHECKS: readonly Check[] = [...SUMS, ...BALANCES, ...KEYS_AND_HOLDS, ...EVENTS_AND_GUARDS];
