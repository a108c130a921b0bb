import { migrate, pendingMigrations } from '../platform/postgres-migrate.ts';
import { startPostgres } from '../platform/postgres-server.ts';
import { openDatabase } from '../platform/postgres.ts';
import type { Database } from '../platform/postgres.ts';
import type { Parts } from './parts.ts';
import { StartFailure } from './start-failure.ts';

/**
 * The accounts' database: the one that DATABASE_URL names, or a Postgres of our own beside the process. Outside production its
 * schema is brought up to date at once; in production that is a deliberate act of its own (`npm run db:migrate`).
 */
export async function openAccountsDatabase(parts: Parts): Promise<Database> {
  const { config, log, metrics, clock, stops } = parts;
  const { databaseUrl, dataDir } = config;
  const place = databaseUrl === null ? 'DATA_DIR' : 'DATABASE_URL';
  const started = startPostgres({ databaseUrl, dataDir, log, lease: 'own' });
  const server = await started.catch((error: unknown) => refuse(place, error));
  stops.push('postgres', () => server.stop());
  try {
    await bringUpToDate(parts, server);
    const database = await openDatabase({
      url: server.appUrl,
      role: 'app_rw',
      size: config.databasePoolSize,
      log,
      metrics,
      clock,
      random: Math.random,
    });
    stops.push('database', () => database.stop());
    return database;
  } catch (error) {
    if (error instanceof StartFailure) throw error;
    return refuse(place, error);
  }
}

async function bringUpToDate(
  { config, log }: Parts,
  { adminUrl: url, rolePassword }: Awaited<ReturnType<typeof startPostgres>>,
): Promise<void> {
  if (config.appMode !== 'production') {
    await migrate({ url, log, ...(rolePassword ? { rolePassword } : {}) });
    return;
  }
  const pending = await pendingMigrations({ url, log });
  if (pending.length > 0) {
    throw new StartFailure(`DATABASE_URL: the schema lacks ${pending.join(', ')}; run npm run db:migrate first`);
  }
}

/** Whatever keeps the database from being used, a person must be told which setting it came from; never the address itself. */
function refuse(place: string, error: unknown): never {
  const reason = error instanceof Error ? error.message : String(error);
  throw new StartFailure(`${place}: ${reason}`, { cause: error });
}
