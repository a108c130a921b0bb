import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { silentLog, startTestPostgres, surroundings } from '../testing/postgres.ts';
import type { TestPostgres } from '../testing/postgres.ts';
import { MIGRATIONS_FOLDER, migrate, pendingMigrations } from './postgres-migrate.ts';
import { openDatabase } from './postgres.ts';

const PROCESSES = 5;
const KILLS = 8;

let server: TestPostgres;
let url: string;

beforeAll(async () => {
  server = await startTestPostgres();
});
beforeEach(async () => {
  url = await server.createEmptyDatabase();
});
afterAll(() => server.stop());

const names = readdirSync(MIGRATIONS_FOLDER)
  .filter((name) => name.endsWith('.sql'))
  .map((name) => name.slice(0, -4))
  .toSorted();

async function withClient<T>(on: string, work: (client: postgres.Sql) => Promise<T>): Promise<T> {
  const client = postgres(on, { max: 1, onnotice: () => {} });
  return work(client).finally(() => client.end({ timeout: 1 }));
}

/** Everything that the migrations make, as text: columns, constraints, indexes, functions, triggers, rights. */
async function shapeOf(on: string): Promise<string> {
  return withClient(on, async (client) => {
    const rows = await client`
      select 'column' as what, format('%s.%s %s %s', table_schema, table_name, column_name, data_type) as text
        from information_schema.columns where table_schema in ('platform', 'ledger', 'identity', 'orders', 'portfolio')
      union all select 'constraint', format('%s %s', conrelid::regclass, pg_get_constraintdef(c.oid)) from pg_constraint c
        join pg_namespace n on n.oid = connamespace where nspname in ('platform', 'ledger', 'identity', 'orders', 'portfolio')
      union all select 'index', indexdef from pg_indexes where schemaname in ('platform', 'ledger', 'identity', 'orders', 'portfolio')
      union all select 'function', pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '') from pg_proc p
        join pg_namespace n on n.oid = pronamespace where nspname in ('platform', 'ledger', 'identity', 'orders', 'portfolio')
      union all select 'trigger', pg_get_triggerdef(t.oid) || tgenabled::text from pg_trigger t join pg_class c on c.oid = tgrelid
        join pg_namespace n on n.oid = relnamespace where nspname in ('platform', 'ledger', 'identity', 'orders', 'portfolio') and not tgisinternal
      union all select 'right', format('%s %s', c.oid::regclass, relacl) from pg_class c
        join pg_namespace n on n.oid = relnamespace where nspname in ('platform', 'ledger', 'identity', 'orders', 'portfolio')
      union all select 'applied', format('%s %s', name, checksum) from platform.migrations
      order by 1, 2`;
    return rows.map((row) => `${row.what}: ${row.text}`).join('\n');
  });
}

function copyOfMigrations(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidewire-migrations-'));
  cpSync(MIGRATIONS_FOLDER, folder, { recursive: true });
  return folder;
}

/** A process of its own that migrates, like a replica at its first start. */
function spawnMigration(on: string) {
  const script = `
    import { migrate } from ${JSON.stringify(join(import.meta.dirname, 'postgres-migrate.ts'))};
    import { createLog } from ${JSON.stringify(join(import.meta.dirname, 'log.ts'))};
    console.log('began');
    const report = await migrate({ url: ${JSON.stringify(on)}, log: createLog({ level: 'silent' }) });
    console.log(JSON.stringify(report.applied));`;
  return spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
}

async function outputOf(child: ReturnType<typeof spawnMigration>): Promise<{ code: number | null; applied: string[] }> {
  let text = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  expect(errors).toBe('');
  return { code, applied: JSON.parse(text.trim().split('\n').at(-1)!) as string[] };
}

describe('migrations', () => {
  it('are applied once each by five processes that start together', async () => {
    const results = await Promise.all(Array.from({ length: PROCESSES }, () => outputOf(spawnMigration(url))));
    expect(results.map((result) => result.code)).toEqual(Array.from({ length: PROCESSES }, () => 0));
    expect(results.flatMap((result) => result.applied).toSorted()).toEqual(names);
    const other = await server.createEmptyDatabase();
    await migrate({ url: other, log: silentLog });
    expect(await shapeOf(url)).toBe(await shapeOf(other));
  });

  it('are applied once each by callers that begin in the same instant', async () => {
    for (let round = 0; round < 3; round++) {
      const fresh = await server.createEmptyDatabase();
      const reports = await Promise.all(
        Array.from({ length: PROCESSES }, () => migrate({ url: fresh, log: silentLog })),
      );
      expect(reports.flatMap((report) => report.applied).toSorted()).toEqual(names);
    }
  });

  it('come out whole when processes that apply them are killed at any moment', async () => {
    for (let kill = 0; kill < KILLS; kill++) {
      const child = spawnMigration(url);
      await once(child.stdout, 'data');
      setTimeout(() => child.kill('SIGKILL'), kill * 18);
      await once(child, 'exit');
    }
    await migrate({ url, log: silentLog });
    const other = await server.createEmptyDatabase();
    await migrate({ url: other, log: silentLog });
    expect(await shapeOf(url)).toBe(await shapeOf(other));
  });

  it('leave nothing behind when one fails in the middle', async () => {
    const folder = copyOfMigrations();
    const next = `${String(names.length + 1).padStart(4, '0')}_broken.sql`;
    writeFileSync(join(folder, next), 'create table platform.half (); select 1 / 0;');
    await expect(migrate({ url, log: silentLog, folder })).rejects.toThrow(/broken failed and left nothing behind/);
    const half = await withClient(url, (client) => client`select to_regclass('platform.half') as found`);
    expect(half[0]!.found).toBeNull();
    rmSync(join(folder, next));
    expect((await migrate({ url, log: silentLog, folder })).applied).toEqual([]);
    rmSync(folder, { recursive: true });
  });

  it('are refused when one was edited after it was applied, whatever the line ends', async () => {
    await migrate({ url, log: silentLog });
    const folder = copyOfMigrations();
    const file = join(folder, `${names[1]}.sql`);
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replaceAll('\n', '\r\n'));
    expect((await migrate({ url, log: silentLog, folder })).applied).toEqual([]);
    writeFileSync(file, `${text}-- one more\n`);
    await expect(migrate({ url, log: silentLog, folder })).rejects.toThrow(/was changed after it was applied/);
    rmSync(folder, { recursive: true });
  });

  it('are refused when one is missing, misnamed or ends its own transaction', async () => {
    const folder = copyOfMigrations();
    rmSync(join(folder, `${names[0]}.sql`));
    await expect(migrate({ url, log: silentLog, folder })).rejects.toThrow(/does not follow/);
    writeFileSync(join(folder, 'first.sql'), 'select 1');
    await expect(migrate({ url, log: silentLog, folder })).rejects.toThrow(/no name of a migration/);
    rmSync(join(folder, 'first.sql'));
    writeFileSync(join(folder, `${names[0]}.sql`), 'select 1;\nCOMMIT;\n');
    await expect(migrate({ url, log: silentLog, folder })).rejects.toThrow(/ends the transaction/);
    rmSync(folder, { recursive: true });
  });

  it('do not trouble older code that meets a newer schema', async () => {
    const folder = copyOfMigrations();
    writeFileSync(
      join(folder, `${String(names.length + 1).padStart(4, '0')}_newer.sql`),
      'create table platform.newer ()',
    );
    await migrate({ url, log: silentLog, folder });
    expect((await migrate({ url, log: silentLog })).unknown).toEqual([
      `${String(names.length + 1).padStart(4, '0')}_newer`,
    ]);
    rmSync(folder, { recursive: true });
  });

  it('wait for a lock only briefly at a time, so that nobody queues behind them', async () => {
    const folder = copyOfMigrations();
    await migrate({ url, log: silentLog, folder });
    writeFileSync(
      join(folder, `${String(names.length + 1).padStart(4, '0')}_slow.sql`),
      'alter table ledger.account_kinds add column more text',
    );
    await withClient(url, async (reader) => {
      await reader.unsafe('begin; select * from ledger.account_kinds; ');
      const migrating = migrate({ url, log: silentLog, folder });
      await withClient(url, async (other) => {
        await expect
          .poll(async () => (await other`select from pg_stat_activity where wait_event_type = 'Lock'`).length)
          .toBe(1);
        // The migration gives way, or this would wait for the reader, who waits for us.
        await other`select count(*) from ledger.account_kinds`;
      });
      await reader.unsafe('commit');
      expect((await migrating).applied).toHaveLength(1);
    });
    rmSync(folder, { recursive: true });
  });

  it('work for an owner who is no superuser, and the application then runs with its own role', async () => {
    const name = new URL(url).pathname.slice(1);
    await withClient(url, (client) =>
      client.unsafe(`create role owner_of_${name} login createrole password 'x'; alter database ${name} owner to owner_of_${name};
        -- Roles that another database of this server already uses belong to somebody else.
        grant migrator, app_rw, app_ro to owner_of_${name} with admin option;`),
    );
    const own = `postgres://owner_of_${name}:x@127.0.0.1:${server.server().port}/${name}`;
    expect((await migrate({ url: own, log: silentLog })).applied).toEqual(names);
    const database = await openDatabase({ url: own, role: 'app_rw', ...surroundings() });
    const who = await database.read('test.who', (queries) =>
      queries.execute<{ role: string }>(`select current_user as role, ledger.define_asset('PAPER:X', 2)`),
    );
    expect(who[0]!.role).toBe('app_rw');
    await expect(
      database.read('test.write', (queries) => queries.execute('delete from ledger.assets')),
    ).rejects.toMatchObject({ cause: { code: '42501' } });
    await database.stop();
  });
});

describe('a process that may look but not change', () => {
  it('is told what the database lacks, and changes nothing by asking', async () => {
    expect(await pendingMigrations({ url, log: silentLog })).toEqual(names);
    expect(await pendingMigrations({ url, log: silentLog })).toEqual(names);
    await migrate({ url, log: silentLog });
    expect(await pendingMigrations({ url, log: silentLog })).toEqual([]);
  });

  it('is told of a migration that was changed after it was applied', async () => {
    await migrate({ url, log: silentLog });
    const folder = copyOfMigrations();
    const first = join(folder, `${names[0]}.sql`);
    writeFileSync(first, `${readFileSync(first, 'utf8')}\n-- another word`);
    await expect(pendingMigrations({ url, log: silentLog, folder })).rejects.toThrow(/was changed after/);
    rmSync(folder, { recursive: true });
  });
});
