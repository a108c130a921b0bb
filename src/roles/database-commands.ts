import type { DatabaseCommand, GrantCommand } from '../config/command-line.ts';
import type { Config } from '../config/schema.ts';
import { runLedgerVerify } from '../modules/ledger/index.ts';
import type { Log } from '../platform/log.ts';
import { createMetrics } from '../platform/metrics.ts';
import { migrate } from '../platform/postgres-migrate.ts';
import { startPostgres } from '../platform/postgres-server.ts';
import { openDatabase } from '../platform/postgres.ts';
import type { Running } from './parts.ts';

type DatabaseConfig = Pick<Config, 'databaseUrl' | 'dataDir'>;

/** Commands beside a running server. What a person wants to read goes to standard output, between the log's lines. */
export function startDatabaseCommand(
  command: DatabaseCommand | GrantCommand,
  config: DatabaseConfig,
  log: Log,
): Running {
  const write = (text: string): void => void process.stdout.write(text);
  switch (command.name) {
    case 'db:migrate':
      return startMigration(config, log);
    case 'ledger:verify':
      return startLedgerVerification(config, log, write);
    default:
      throw new Error(`${command.name} comes with accounts`);
  }
}

/** `npm run db:migrate`: brings the database of DATABASE_URL, or the embedded one, up to this code's schema. */
export function startMigration(config: DatabaseConfig, log: Log): Running {
  return runOnce(migrateOnce(config, log));
}

async function migrateOnce({ databaseUrl, dataDir }: DatabaseConfig, log: Log): Promise<void> {
  const server = await startPostgres({ databaseUrl, dataDir, log, lease: 'visit' });
  try {
    const { rolePassword, adminUrl: url } = server;
    const { applied, unknown } = await migrate({ url, log, ...(rolePassword ? { rolePassword } : {}) });
    log.info({ event: 'postgres_schema_current', applied, unknown });
  } finally {
    await server.stop();
  }
}

/** `npm run ledger:verify`: recomputes the whole ledger beside a running server; rejects when a promise is broken. */
export function startLedgerVerification(config: DatabaseConfig, log: Log, write: (text: string) => void): Running {
  return runOnce(verifyOnce(config, log, write));
}

async function verifyOnce(
  { databaseUrl, dataDir }: DatabaseConfig,
  log: Log,
  write: (text: string) => void,
): Promise<void> {
  const server = await startPostgres({ databaseUrl, dataDir, log, lease: 'visit' });
  try {
    const database = await openDatabase({
      url: server.appUrl,
      role: 'app_rw',
      size: 1,
      log,
      metrics: createMetrics({ processMetrics: false }),
      clock: { now: () => Date.now(), monotonic: () => performance.now() },
      random: Math.random,
    });
    const code = await runLedgerVerify(database, write).finally(() => database.stop());
    if (code !== 0) throw new Error('the ledger is damaged; see above');
  } finally {
    await server.stop();
  }
}

/** Nothing to stop early: a migration is applied whole, and a look changes nothing. */
function runOnce(finished: Promise<void>): Running {
  return {
    finished,
    stop: () => finished,
  };
}
