import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { DatabaseRole } from './postgres.ts';
import { breaksConnection, postgresErrorIn } from './postgres-failure.ts';
import { openLane } from './postgres-lane.ts';
import type { Lane } from './postgres-lane.ts';
import type { Log } from './log.ts';

/** `drizzle/` of this tree. */
export const MIGRATIONS_FOLDER = resolve(import.meta.dirname, '../../drizzle');

export type MigrateOptions = Readonly<{
  /** A login that may make roles, or for which they were made, and that may create schemas in the database. */
  url: string;
  log: Log;
  folder?: string;
  /** Given: the application's roles can log in with these passwords. Absent: they are only taken on by other logins. */
  rolePassword?: (role: DatabaseRole) => string;
}>;

export type MigrationReport = Readonly<{
  /** Names of those that this call applied. */
  applied: readonly string[];
  /** Those that the database has and this code does not know: newer code was here. */
  unknown: readonly string[];
}>;

/** Any constant will do, as long as every process of ours takes the same one. */
const ADVISORY_LOCK = 7_413_908_245_110_034;
const ADVISORY_WAIT_SECONDS = 120;
/** A migration that waits for a lock makes everybody behind it wait too; it rather gives up and comes again. */
const LOCK_TIMEOUT_MS = 2_000;
const ATTEMPTS_LIMIT = 10;
const RETRY_PAUSE_MS = 250;
const CONNECT_TIMEOUT_SECONDS = 10;
const ALREADY_APPLIED = 'TW003';
const LOCK_NOT_AVAILABLE = '55P03';
const ROLES: readonly DatabaseRole[] = ['migrator', 'app_rw', 'app_ro'];

type Migration = Readonly<{ version: number; name: string; text: string; checksum: string }>;
type AppliedMigration = Readonly<{ version: number; name: string; checksum: string }>;

/**
 * Brings the database up to this code's schema. Any number of processes may call it at once, and may be killed at any moment:
 * each migration goes out as one message that takes the lock, looks whether it is still needed, applies and records it.
 * Rejects when an applied migration differs from its file.
 */
export async function migrate(options: MigrateOptions): Promise<MigrationReport> {
  const migrations = readMigrations(options.folder ?? MIGRATIONS_FOLDER);
  await withLane(options, (lane) => lane.executeScript(bootstrapScript(options.rolePassword)));
  const applied: string[] = [];
  let present = await withLane(options, readApplied);
  for (const migration of migrations) {
    compare(migration, present);
    if (present.some((each) => each.version === migration.version)) continue;
    const newer = present.find((each) => each.version > migration.version);
    if (newer) throw new Error(`migration ${migration.name} is missing below ${newer.name}, which is applied`);
    if (await applyOne(options, migration)) {
      applied.push(migration.name);
      options.log.info({ event: 'postgres_migrated', migration: migration.name });
    }
    present = await withLane(options, readApplied);
    compare(migration, present);
  }
  const unknown = present.filter((each) => !migrations.some((own) => own.version === each.version));
  if (unknown.length > 0)
    options.log.warn({ event: 'postgres_schema_newer', unknown: unknown.map((each) => each.name) });
  return { applied, unknown: unknown.map((each) => each.name) };
}

function readMigrations(folder: string): Migration[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.sql'));
  const migrations = names.toSorted().map((file) => {
    const parts = /^([0-9]{4})_([a-z0-9_]+)\.sql$/.exec(file);
    if (!parts) throw new Error(`${file} is no name of a migration, such as 0001_platform.sql`);
    // Whatever an editor or git did to line ends is not a change.
    const text = readFileSync(join(folder, file), 'utf8').replaceAll('\r\n', '\n');
    if (/^\s*(begin|commit|rollback)\s*;/im.test(text))
      throw new Error(`${file} ends the transaction it is applied in`);
    const checksum = createHash('sha256').update(text).digest('hex');
    return { version: Number(parts[1]), name: file.slice(0, -4), text, checksum };
  });
  const gap = migrations.find((migration, index) => migration.version !== index + 1);
  if (gap) throw new Error(`migration ${gap.name} does not follow the one before it by exactly one`);
  return migrations;
}

function compare(migration: Migration, present: readonly AppliedMigration[]): void {
  const found = present.find((each) => each.version === migration.version);
  if (!found || (found.checksum === migration.checksum && found.name === migration.name)) return;
  throw new Error(
    `migration ${migration.name} was changed after it was applied as ${found.name}; write a new one instead`,
  );
}

async function readApplied(lane: Lane): Promise<AppliedMigration[]> {
  const { rows } = await lane.execute('select version, name, checksum from platform.migrations order by version', []);
  return rows.map((row) => ({
    version: Number(row.version),
    name: String(row.name),
    checksum: String(row.checksum),
  }));
}

/** False: another process was faster. */
async function applyOne(options: MigrateOptions, migration: Migration): Promise<boolean> {
  try {
    await withLane(options, (lane) => lane.executeScript(migrationScript(migration)));
    return true;
  } catch (error) {
    if (postgresErrorIn(error)?.code === ALREADY_APPLIED) return false;
    throw new Error(`migration ${migration.name} failed and left nothing behind`, { cause: error });
  }
}

/** A connection of its own for each message: a failed one takes its open transaction with it. */
async function withLane<T>(options: MigrateOptions, work: (lane: Lane) => Promise<T>): Promise<T> {
  const settings = { application_name: 'tidewire migrate' };
  const laneOptions = { url: options.url, settings, connectTimeoutSeconds: CONNECT_TIMEOUT_SECONDS, log: options.log };
  for (let attempt = 1; ; attempt++) {
    let lane: Lane | undefined;
    try {
      lane = await openLane(laneOptions, 0);
      return await work(lane);
    } catch (error) {
      const passing = breaksConnection(error) || postgresErrorIn(error)?.code === LOCK_NOT_AVAILABLE;
      if (!passing || attempt >= ATTEMPTS_LIMIT) throw error;
      options.log.warn({ event: 'postgres_migration_retried', attempt, error });
      await wait(RETRY_PAUSE_MS * attempt);
    } finally {
      lane?.destroy();
    }
  }
}

function lockScript(): string {
  return `
begin;
set local statement_timeout = 0;
set local lock_timeout = '${ADVISORY_WAIT_SECONDS}s';
select pg_advisory_xact_lock(${ADVISORY_LOCK});
set local lock_timeout = ${LOCK_TIMEOUT_MS};
`;
}

function migrationScript({ version, name, text, checksum }: Migration): string {
  return `${lockScript()}
set local role migrator;
do $guard$ begin
  if exists (select from platform.migrations where version = ${version}) then
    raise exception using errcode = '${ALREADY_APPLIED}', message = 'already applied';
  end if;
end $guard$;
${text}
;
reset role;
set local role migrator;
insert into platform.migrations (version, name, checksum) values (${version}, '${name}', '${checksum}');
commit;`;
}

/** Makes what the migrations stand on. Roles belong to the whole server: another database's bootstrap may make them meanwhile. */
function bootstrapScript(rolePassword: MigrateOptions['rolePassword']): string {
  const roles = ROLES.map((role) => {
    const login = rolePassword && role !== 'migrator' ? `login password '${rolePassword(role)}'` : 'nologin';
    return `
  if not exists (select from pg_roles where rolname = '${role}') then
    begin
      create role ${role} ${login};
    exception when duplicate_object or unique_violation then null;
    end;
  end if;
  if not pg_has_role(session_user, '${role}', v_right) then
    execute format('grant ${role} to %I', session_user);
  end if;`;
  });
  return `${lockScript()}
do $roles$
declare
  v_right text := case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end;
begin${roles.join('')}
  if not has_database_privilege('migrator', current_database(), 'CREATE') then
    execute format('grant create on database %I to migrator', current_database());
  end if;
end $roles$;
set local role migrator;
do $schema$ begin
  if not exists (select from pg_namespace where nspname = 'platform') then
    create schema platform;
    create table platform.migrations (
      version integer primary key,
      name text not null,
      checksum text not null,
      applied_at timestamptz not null default now()
    );
  end if;
end $schema$;
commit;`;
}

/**
 * Names of migrations that the database lacks; all of them when it has never seen any. For a process that may look but not
 * change: in production, a schema changes by `npm run db:migrate` alone. Rejects when an applied one differs from its file.
 */
export async function pendingMigrations(options: Pick<MigrateOptions, 'url' | 'log' | 'folder'>): Promise<string[]> {
  const migrations = readMigrations(options.folder ?? MIGRATIONS_FOLDER);
  const present = await withLane(options, async (lane) => {
    const { rows } = await lane.execute(`select to_regclass('platform.migrations') is not null as known`, []);
    return rows[0]?.known === true || rows[0]?.known === 't' ? readApplied(lane) : [];
  });
  for (const migration of migrations) compare(migration, present);
  const versions = new Set(present.map((each) => each.version));
  return migrations.filter(({ version }) => !versions.has(version)).map(({ name }) => name);
}
