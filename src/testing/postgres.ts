import { rmSync } from 'node:fs';
import { join } from 'node:path';
import postgres from 'postgres';
import { createLog } from '../platform/log.ts';
import { createMetrics } from '../platform/metrics.ts';
import type { PostgresBinaries } from '../platform/postgres-binaries.ts';
import { startEmbeddedPostgres } from '../platform/postgres-embedded.ts';
import type { EmbeddedPostgres } from '../platform/postgres-embedded.ts';
import { migrate } from '../platform/postgres-migrate.ts';
import { openDatabase } from '../platform/postgres.ts';
import type { Database, DatabaseOptions } from '../platform/postgres.ts';
import { createDataFolder } from './data-folder.ts';

const TEMPLATE = 'tidewire_template';
export const silentLog = createLog({ level: process.env.TEST_LOG_LEVEL ?? 'silent' });

/** A database of its own for each test that asks, cloned from a migrated one; everything is gone after `stop`. */
export type TestPostgres = Readonly<{
  /** Changes when the server is restarted, except for its port. */
  server(): EmbeddedPostgres;
  /** `like`: a copy of another test's database, to which nobody may be connected. */
  createDatabase(options?: { like?: string }): Promise<TestDatabase>;
  /** An empty database without any of our schema. */
  createEmptyDatabase(): Promise<string>;
  /** Starts the server again on the same port and data, after a crash or a stop. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}>;
export type TestDatabase = Readonly<{
  name: string;
  adminUrl: string;
  appUrl: string;
  /** Opened as the application's role unless told otherwise; stopped with the cluster. */
  open(options?: Partial<DatabaseOptions>): Promise<Database>;
  /** The superuser's own connections, for looking and for breaking things. */
  admin: postgres.Sql;
  /** The superuser's, a fresh connection for each script. */
  runScript(text: string): Promise<void>;
}>;

export async function startTestPostgres(
  options: { settings?: readonly string[]; binaries?: PostgresBinaries } = {},
): Promise<TestPostgres> {
  const dataDir = createDataFolder();
  const binaries = options.binaries ?? otherBinaries();
  const start = (port?: number) =>
    startEmbeddedPostgres({
      dataDir,
      log: silentLog,
      disposable: true,
      settings: ['log_min_messages=log', ...(options.settings ?? [])],
      ...(binaries ? { binaries } : {}),
      ...(port === undefined ? {} : { port }),
    });
  let server = await start();
  const openDatabases: Database[] = [];
  const clients: postgres.Sql[] = [];
  let count = 0;

  const run = async (script: string, database?: string) => {
    const client = postgres(server.adminUrl(database), { max: 1, onnotice: () => {} });
    await client.unsafe(script).finally(() => client.end());
  };
  const nameOf = () => `test_${(count += 1)}`;
  await run(`create database ${TEMPLATE}`);
  await migrate({ url: server.adminUrl(TEMPLATE), log: silentLog, rolePassword: server.rolePassword });

  return {
    server: () => server,
    async createDatabase({ like = TEMPLATE } = {}) {
      const name = nameOf();
      await run(`create database ${name} template ${like}`);
      const appUrl = server.roleUrl('app_rw', name);
      const admin = postgres(server.adminUrl(name), { max: 2, onnotice: () => {} });
      clients.push(admin);
      return {
        name,
        adminUrl: server.adminUrl(name),
        appUrl,
        admin,
        runScript: (text) => run(text, name),
        async open(given = {}) {
          const database = await openDatabase({ url: appUrl, role: 'app_rw', ...surroundings(), ...given });
          openDatabases.push(database);
          return database;
        },
      };
    },
    async createEmptyDatabase() {
      const name = nameOf();
      await run(`create database ${name}`);
      return server.adminUrl(name);
    },
    async restart() {
      server = await start(server.port);
    },
    async stop() {
      await Promise.all(openDatabases.map((database) => database.stop()));
      await Promise.all(clients.map((client) => client.end({ timeout: 1 })));
      await server.stop('immediate');
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** `TEST_POSTGRES_BIN=/usr/lib/postgresql/15/bin` runs the tests against another version than npm's. */
function otherBinaries(): PostgresBinaries | null {
  const folder = process.env.TEST_POSTGRES_BIN;
  if (folder === undefined) return null;
  return { initdb: join(folder, 'initdb'), pgCtl: join(folder, 'pg_ctl'), postgres: join(folder, 'postgres') };
}

/** What a composition root would hand down. */
export function surroundings() {
  return {
    log: silentLog,
    metrics: createMetrics({ processMetrics: false }),
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    random: Math.random,
  };
}
