import { randomUUID } from 'node:crypto';
import { getTableConfig } from 'drizzle-orm/pg-core';
import type { PgTable } from 'drizzle-orm/pg-core';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  BTC,
  USDT,
  createFundedUser,
  createTestLedger,
  done,
  expectSound,
  origin,
  reason,
} from '../../testing/ledger.ts';
import type { TestLedger } from '../../testing/ledger.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestDatabase, TestPostgres } from '../../testing/postgres.ts';
import { verifyLedger } from './index.ts';
import * as tables from './tables.ts';
import { CHECKS } from './verify-checks.ts';

let server: TestPostgres;
let busy: Busy;
let busyTemplate: string;

beforeAll(async () => {
  server = await startTestPostgres();
  const first = await busyLedger();
  await first.under.database.stop();
  await first.at.admin.end();
  busyTemplate = first.at.name;
  busy = await copyOfBusyLedger();
});
afterAll(() => server.stop());

type Busy = Readonly<{ at: TestDatabase; under: TestLedger }>;

/** A ledger with a bit of everything in it. */
async function busyLedger(): Promise<Busy> {
  const at = await server.createDatabase();
  const under = await createTestLedger(await at.open());
  const owner = await createFundedUser(under.ledger, { [USDT]: 1_000n, [BTC]: 500n });
  const other = await createFundedUser(under.ledger, { [BTC]: 500n });
  const bid = reason();
  done(await under.ledger.hold({ ...origin(), owner, asset: USDT, amount: 300n, reason: bid }));
  const trade = {
    base: { asset: BTC, amount: 100n },
    quote: { asset: USDT, paid: 101n, received: 100n },
    buyer: { party: { owner }, hold: bid },
    seller: { party: { owner: other }, fee: { asset: USDT, amount: 1n } },
  };
  done(await under.ledger.settle({ ...origin(), trade }));
  await under.ledger.rollUp(2);
  await expectSound(under.database);
  return { at, under };
}

async function copyOfBusyLedger(): Promise<Busy> {
  const at = await server.createDatabase({ like: busyTemplate });
  return { at, under: await createTestLedger(await at.open()) };
}

async function errorOf(work: Promise<unknown>): Promise<postgres.PostgresError> {
  return work.then(
    () => Promise.reject(new Error('nothing refused it')),
    (error: unknown) => error as postgres.PostgresError,
  );
}

describe('the application role', () => {
  it('cannot write a single table of the ledger, only call its functions', async () => {
    const { at } = busy;
    const app = postgres(at.appUrl, { max: 1, onnotice: () => {} });
    const names =
      await at.admin`select c.oid::regclass::text as name from pg_class c where relnamespace = 'ledger'::regnamespace and relkind = 'r'`;
    expect(names.length).toBe(12);
    for (const { name } of names) {
      for (const statement of [
        `delete from ${name}`,
        `truncate ${name} cascade`,
        `insert into ${name} default values`,
      ]) {
        expect(await errorOf(app.unsafe(statement))).toMatchObject({ code: '42501' });
      }
    }
    const forbidden = [
      'update ledger.accounts set posted = 1e9',
      `select ledger.append_events('${randomUUID()}', null, '[{"type":"x","payload":{}}]')`,
      `select ledger.open_account(null, '${USDT}', 'equity', 'mine')`,
      'alter table ledger.accounts disable trigger all',
      'create table ledger.mine ()',
      'create table public.mine ()',
      'set session_replication_role = replica',
      'set role migrator',
    ];
    for (const statement of forbidden) expect(await errorOf(app.unsafe(statement))).toMatchObject({ code: '42501' });
    await app.end();
  });

  it('works under the timeouts that keep one session from stopping the others', async () => {
    const at = await server.createDatabase();
    const database = await at.open();
    const rows = await database.read('test.settings', (queries) =>
      queries.execute<{ name: string; setting: string }>(
        `select name, setting from pg_settings where name ~ '_timeout$' or name in ('synchronous_commit', 'role')`,
      ),
    );
    const settings = new Map(rows.map((row) => [row.name, row.setting]));
    expect(settings.get('statement_timeout')).toBe('5000');
    expect(settings.get('lock_timeout')).toBe('2000');
    expect(settings.get('idle_in_transaction_session_timeout')).toBe('10000');
    expect(settings.get('transaction_timeout') ?? '30000').toBe('30000');
    expect(settings.get('synchronous_commit')).toBe('on');
  });
});

describe('the superuser', () => {
  it('is refused as well when a write comes from outside its transaction', async () => {
    const { at } = busy;
    for (const statement of ['update ledger.accounts set posted = posted + 1', 'delete from ledger.deferred_legs']) {
      expect(await errorOf(at.admin.unsafe(statement))).toMatchObject({ code: 'TW001' });
    }
  });

  it('is refused within the very transaction of a command, before and after it', async () => {
    const { at } = busy;
    const command = {
      scope: 's',
      key: randomUUID(),
      kind: 'credit',
      actor: 'x',
      legs: [
        {
          asset: USDT,
          amount: '5',
          code: 'x',
          fromKind: 'equity',
          fromLabel: '',
          toOwner: randomUUID(),
          toKind: 'user',
          toLabel: '',
        },
      ],
    };
    const script = `begin; select ledger.post('${JSON.stringify(command)}'); update ledger.accounts set posted = posted + 1, version = version + 1 where not deferred; commit`;
    expect(await errorOf(at.runScript(script))).toMatchObject({ code: 'TW001' });
  });

  it('cannot change history even with the mark', async () => {
    const { at } = busy;
    for (const table of ['assets', 'journals', 'transfers', 'hold_events', 'entries', 'user_events', 'event_epochs']) {
      for (const statement of [`delete from ledger.${table}`, `truncate ledger.${table} cascade`]) {
        const marked = `begin; set local tidewire.ledger = '1'; ${statement}; commit`;
        expect(await errorOf(at.runScript(marked))).toMatchObject({ code: 'TW002' });
      }
    }
  });

  it.each([
    [
      'a leg that no account felt',
      (journal: string) =>
        `insert into ledger.transfers select ${journal}, 1, a.asset, b.id, a.id, 5, 'x' from ledger.accounts a join ledger.accounts b on b.asset = a.asset and b.id > a.id where not a.deferred and not b.deferred limit 1`,
    ],
    [
      'a balance without a leg',
      () =>
        `update ledger.accounts set posted = posted + 5, version = version + 1 where id = (select min(id) from ledger.accounts where not deferred)`,
    ],
    [
      'held money without a hold',
      () =>
        `update ledger.accounts set held = held + 5, version = version + 1 where id = (select min(id) from ledger.accounts where not deferred)`,
    ],
    [
      'a hold that no account felt',
      () =>
        `insert into ledger.holds (id, account_id, purpose, reference_id, amount) select 9999, min(id), 'x', 'x', 5 from ledger.accounts where not deferred`,
    ],
    [
      'a queued leg without a transfer',
      (journal: string) =>
        `insert into ledger.deferred_legs select ${journal}, min(id), 5 from ledger.accounts where deferred`,
    ],
  ])('cannot commit a journal with %s', async (_, statementOf) => {
    const { at, under } = busy;
    const journal = '777';
    const script = `begin; set local tidewire.ledger = '${journal}';
      insert into ledger.journals (id, scope, key, request_hash, kind, actor, answer) values (${journal}, 's', 'k', sha256('x'), 'x', 'x', '{"journalId":"777"}');
      ${statementOf(journal)}; commit`;
    expect(await errorOf(at.runScript(script))).toMatchObject({ code: 'TW005' });
    await expectSound(under.database);
  });
});

describe('constraints', () => {
  it.each([
    ['NaN', `update ledger.accounts set posted = 'NaN', version = version + 1 where owner_id is not null`, '23514'],
    [
      'NaN in an overdraft account',
      `update ledger.accounts set posted = 'NaN', version = version + 1 where deferred`,
      '23514',
    ],
    ['Infinity', `update ledger.accounts set posted = 'Infinity', version = version + 1 where deferred`, '22003'],
    [
      'a balance below what is held',
      `update ledger.accounts set posted = held - 1, version = version + 1 where held > 0`,
      '23514',
    ],
    [
      'a negative hold',
      `insert into ledger.holds (id, account_id, purpose, reference_id, amount) select 9999, min(id), 'x', 'x', -5 from ledger.accounts where not deferred`,
      '23514',
    ],
    [
      'an overdraft for a user',
      `insert into ledger.accounts (owner_id, asset, kind, overdraft, deferred) values (gen_random_uuid(), '${USDT}', 'user', true, false)`,
      '23503',
    ],
    [
      'an account that opens with money',
      `insert into ledger.accounts (owner_id, asset, kind, overdraft, deferred, posted) values (gen_random_uuid(), '${USDT}', 'user', false, false, 5)`,
      'TW004',
    ],
    [
      'a leg between two assets',
      `insert into ledger.transfers select 1, 99, a.asset, a.id, b.id, 5, 'x' from ledger.accounts a, ledger.accounts b where a.asset <> b.asset limit 1`,
      '23503',
    ],
    [
      'a leg of nothing',
      `insert into ledger.transfers select 1, 99, a.asset, a.id, b.id, 0, 'x' from ledger.accounts a join ledger.accounts b on b.asset = a.asset and b.id > a.id limit 1`,
      '23514',
    ],
    [
      'a second journal for a key',
      `insert into ledger.journals select 778, scope, key, request_hash, kind, null, null, actor, null, null, answer from ledger.journals limit 1`,
      '23505',
    ],
    [
      'a skipped version',
      `update ledger.accounts set posted = posted + 1, version = version + 2 where owner_id is not null`,
      'TW004',
    ],
    [
      'an unresolved hold',
      `update ledger.holds set captured = captured - 1, version = version + 1 where captured > 0`,
      'TW004',
    ],
  ])('refuse %s', async (_, statement, code) => {
    const { at } = busy;
    expect(await errorOf(at.runScript(`begin; set local tidewire.ledger = '1'; ${statement}; commit`))).toMatchObject({
      code,
    });
  });
});

describe('ledger verify', () => {
  /** Damage that only somebody above all rules can do: triggers off, constraints gone. */
  const off = 'set session_replication_role = replica; ';
  const dropChecks =
    'alter table ledger.accounts drop constraint accounts_posted, drop constraint accounts_held, drop constraint accounts_available; ';
  const dropSum = 'alter table ledger.event_heads drop constraint event_heads_sum; ';
  const damaged = 'accounts journals transfers holds hold_events entries deferred_legs event_heads user_events'.split(
    ' ',
  );
  const disable = damaged.map((table) => `alter table ledger.${table} disable trigger all;`).join(' ');
  const user = 'owner_id is not null and posted > 0';
  const PLANTED: readonly (readonly [what: string, invariants: readonly string[], damage: string])[] = [
    [
      'money from nowhere',
      ['I1', 'I3'],
      `update ledger.accounts set posted = posted + 1 where id = (select min(id) from ledger.accounts where ${user})`,
    ],
    [
      'NaN',
      ['I1', 'I3', 'I4'],
      `${dropChecks} update ledger.accounts set posted = 'NaN' where id = (select min(id) from ledger.accounts where ${user})`,
    ],
    [
      'an overdraft',
      ['I4'],
      `${dropChecks} update ledger.accounts set posted = -1 where id = (select min(id) from ledger.accounts where ${user})`,
    ],
    [
      'a changed leg',
      ['I2', 'I3'],
      `update ledger.transfers set amount = amount + 1 where journal_id = (select max(journal_id) from ledger.transfers)`,
    ],
    [
      'a lost leg',
      ['I2', 'I3'],
      `delete from ledger.transfers where journal_id = (select max(journal_id) from ledger.transfers) and leg = 2`,
    ],
    [
      'a leg of a journal that is gone',
      ['I2'],
      `delete from ledger.journals where id = (select max(id) from ledger.journals)`,
    ],
    [
      'a negative leg',
      ['I2'],
      `alter table ledger.transfers drop constraint transfers_amount; update ledger.transfers set amount = -amount where leg = 1 and journal_id = 1`,
    ],
    [
      'a lost entry',
      ['I2', 'I3'],
      `delete from ledger.entries where version = 1 and account_id = (select min(id) from ledger.accounts where version > 1 and not deferred)`,
    ],
    ['a rewritten entry', ['I3'], `update ledger.entries set posted = posted + 1 where version = 1`],
    [
      'two journals of one key',
      ['I5'],
      `alter table ledger.journals drop constraint journals_key; insert into ledger.journals select 999, scope, key, request_hash, kind, null, null, actor, null, null, answer from ledger.journals where id = 1`,
    ],
    ['held money without a hold', ['I3', 'I6'], `update ledger.accounts set held = held + 1 where held > 0`],
    ['a hold that lost its capture', ['I6'], `update ledger.holds set captured = 0`],
    [
      'a hold event too many',
      ['I6'],
      `insert into ledger.hold_events select hold_id, seq + 1, kind, placed, captured, released, journal_id from ledger.hold_events order by seq desc limit 1`,
    ],
    ['a gap in the events', ['I8'], `delete from ledger.user_events where seq = 1`],
    ['an event never numbered', ['I8'], `${dropSum} update ledger.event_heads set seq = seq + 1`],
    [
      'an event that its stream never had',
      ['I8'],
      `update ledger.event_heads set seq = seq + 1, notifications_seq = notifications_seq + 1`,
    ],
    [
      'numbers of a stream that are not in the order of the log',
      ['I8'],
      `update ledger.user_events set stream_seq = -stream_seq where stream_seq <= 2; update ledger.user_events set stream_seq = 3 + stream_seq where stream_seq < 0`,
    ],
    [
      'a lost last event',
      ['I8'],
      `delete from ledger.user_events e using ledger.event_heads h where h.user_id = e.user_id and h.seq = e.seq; update ledger.event_heads set seq = seq - 1, portfolio_seq = portfolio_seq - 1 where seq > 1`,
    ],
    ['a lie in an event', ['I8'], `update ledger.user_events set payload = payload || '{"posted":"1"}'`],
    ['paper and real money in one journal', ['I2'], `update ledger.transfers set asset = 'BTC' where leg = 2`],
    [
      'a journal reversed twice',
      ['I5'],
      `drop index ledger.journals_reversed_once; insert into ledger.journals select 990 + n, scope, key || n, request_hash, kind, null, null, actor, null, 1, answer from ledger.journals, generate_series(1, 2) as n where id = 1`,
    ],
    [
      'a rounding account that pays',
      ['I4'],
      `update ledger.accounts set posted = posted - 100 where kind = 'rounding'`,
    ],
    ['a capture from somebody else', ['I6'], `update ledger.holds set account_id = account_id + 1`],
    [
      'a constraint that was never checked',
      ['guards'],
      `alter table ledger.accounts add constraint later check (version >= 0) not valid`,
    ],
    ['a guard switched off', ['guards'], `alter table ledger.accounts disable trigger a_marked_only`],
    ['a right too many', ['guards'], `grant update on ledger.accounts to app_rw`],
  ];
  const broken = new Set<string>();
  it.each(PLANTED)('finds %s', async (_, invariants, damage) => {
    const { at, under } = await copyOfBusyLedger();
    const plant =
      damage.startsWith('alter table ledger.accounts disable trigger a_') || damage.startsWith('grant')
        ? damage
        : `${disable} ${off} ${damage}`;
    await at.runScript(plant);
    const found = await verifyLedger(under.database);
    expect(found.ok).toBe(false);
    expect(new Set(found.breaches.map((breach) => breach.invariant))).toEqual(
      new Set([...invariants, ...found.breaches.map((breach) => breach.invariant)]),
    );
    for (const breach of found.breaches) {
      expect(breach.details.length).toBeGreaterThan(0);
      broken.add(breach.promise);
    }
  });

  it('has no check that nothing above sets off', () => {
    expect(CHECKS.map((check) => check.promise).filter((promise) => !broken.has(promise))).toEqual([]);
  });
});

describe('the tables that drizzle reads', () => {
  it('have the columns that the migrations made', async () => {
    const at = await server.createDatabase();
    for (const table of Object.values(tables)) {
      if (!(typeof table === 'object' && table !== null && Symbol.for('drizzle:Columns') in table)) continue;
      const { name, columns } = getTableConfig(table as PgTable);
      const rows =
        await at.admin`select column_name as name, is_nullable = 'NO' as required, data_type from information_schema.columns where table_schema = 'ledger' and table_name = ${name}`;
      const made = new Map(rows.map((row) => [row.name as string, row.required as boolean]));
      expect(new Map(columns.map((column) => [column.name, column.notNull || column.primary])), name).toEqual(made);
    }
  });
});
