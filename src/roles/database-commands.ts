import type { DatabaseCommand, GrantCommand } from '../config/command-line.ts';
import type { Config } from '../config/schema.ts';
import type { Clock } from '../kernel/clock.ts';
import { createIdentity } from '../modules/identity/index.ts';
import type { Identity } from '../modules/identity/index.ts';
import { runLedgerVerify } from '../modules/ledger/index.ts';
import type { Log } from '../platform/log.ts';
import { createMetrics } from '../platform/metrics.ts';
import type { Metrics } from '../platform/metrics.ts';
import { migrate } from '../platform/postgres-migrate.ts';
import { startPostgres } from '../platform/postgres-server.ts';
import { openDatabase } from '../platform/postgres.ts';
import type { Database } from '../platform/postgres.ts';
import { createMemorySignals } from '../platform/signals-memory.ts';
import type { Running } from './parts.ts';
import { tokenSecretOf } from './token-secret.ts';

type DatabaseConfig = Pick<Config, 'databaseUrl' | 'dataDir'>;

/** Commands beside a running server. What a person wants to read goes to standard output, between the log's lines. */
export function startDatabaseCommand(
  command: DatabaseCommand | GrantCommand,
  config: Config,
  log: Log,
  write: (text: string) => void,
): Running {
  switch (command.name) {
    case 'db:migrate':
      return startMigration(config, log);
    case 'ledger:verify':
      return startLedgerVerification(config, log, write);
    case 'audit:verify':
      return runOnce(withIdentity(config, log, (identity) => verifyAuditOnce(identity, write)));
    case 'admin:grant':
      return runOnce(withIdentity(config, log, (identity) => grantAdmin(identity, command.email, write)));
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
  await withDatabase({ databaseUrl, dataDir }, log, async (database) => {
    const code = await runLedgerVerify(database, write);
    if (code !== 0) throw new Error('the ledger is damaged; see above');
  });
}

/** Recomputes the chain of hashes; rejects when an entry is not as it was written. */
async function verifyAuditOnce(identity: Identity, write: (text: string) => void): Promise<void> {
  const { entries, brokenAt, head } = await identity.verifyAudit();
  if (brokenAt !== null)
    throw new Error(`audit entry ${brokenAt} is not as it was written, or one before it is missing`);
  write(`audit log holds: ${entries} entries, head ${head}\n`);
}

/** The first admin cannot be made by another; whoever can run this can do anything anyway. */
async function grantAdmin(identity: Identity, email: string, write: (text: string) => void): Promise<void> {
  const origin = { ip: '127.0.0.1', userAgent: 'command line', requestId: null };
  const granted = await identity.setRoles(null, email, ['user', 'admin'], origin);
  if (!granted.ok) throw new Error(`there is no user ${email}; register first`);
  write(`${granted.value.email} is an admin now\n`);
}

async function withIdentity(config: Config, log: Log, work: (identity: Identity) => Promise<void>): Promise<void> {
  const signingSecret = tokenSecretOf(config);
  await withDatabase(config, log, async (database, around) => {
    // Running servers hear of it by looking at the database, within two seconds.
    const signals = createMemorySignals(around);
    const identity = createIdentity({
      database,
      signals,
      signingSecret,
      retiredSecrets: config.retiredTokenSecrets,
      ...around,
    });
    await work(identity).finally(async () => {
      await identity.stop();
      await signals.stop();
    });
  });
}

type Around = Readonly<{ log: Log; metrics: Metrics; clock: Clock }>;

async function withDatabase(
  { databaseUrl, dataDir }: DatabaseConfig,
  log: Log,
  work: (database: Database, around: Around) => Promise<void>,
): Promise<void> {
  const server = await startPostgres({ databaseUrl, dataDir, log, lease: 'visit' });
  try {
    const metrics = createMetrics({ processMetrics: false });
    const clock = { now: () => Date.now(), monotonic: () => performance.now() };
    const random = Math.random;
    const database = await openDatabase({ url: server.appUrl, role: 'app_rw', size: 2, log, metrics, clock, random });
    await work(database, { log, metrics, clock }).finally(() => database.stop());
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
