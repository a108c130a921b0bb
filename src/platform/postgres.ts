import { PgDialect } from 'drizzle-orm/pg-core';
import type { SQL } from 'drizzle-orm';
import { assert } from '../kernel/assert.ts';
import { backoffDelayMs } from '../kernel/backoff.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Random } from '../kernel/random.ts';
import { TokenBucket } from '../kernel/token-bucket.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { DatabaseFailure, nameFailure } from './postgres-failure.ts';
import type { FailureKind } from './postgres-failure.ts';
import { openLane } from './postgres-lane.ts';
import type { Lane, Queries, Row } from './postgres-lane.ts';
import { ConnectionPool } from './postgres-pool.ts';

export { DatabaseFailure, databaseFailureIn, postgresErrorIn } from './postgres-failure.ts';
export type { FailureKind } from './postgres-failure.ts';
export type { Queries, Row } from './postgres-lane.ts';

export type DatabaseRole = 'app_rw' | 'app_ro' | 'migrator';
export type DatabaseOptions = Readonly<{
  url: string;
  /** Taken on by every connection; the login itself, or one that the login is a member of. */
  role: DatabaseRole;
  log: Log;
  /** One database per registry: the gauges have one owner. */
  metrics: Metrics;
  clock: Clock;
  random: Random;
  /** Connections; default 10. */
  size?: number;
  /** Only for the control experiment that must see acknowledged writes lost. */
  synchronousCommit?: 'on' | 'off';
}>;

export type Command = Readonly<{
  /** Constant name for metrics and the slow-query log, such as `ledger.post`. */
  name: string;
  statement: SQL;
  /** It carries an idempotency key, so that it may be sent again when nobody knows whether it happened. */
  repeatable: boolean;
}>;

export type TransactionOptions = Readonly<{
  name: string;
  /** `snapshot`: read-only, all statements see one instant. Default `write`. */
  mode?: 'write' | 'snapshot';
  /** For one statement; default 5,000. */
  statementLimitMs?: number;
}>;

export interface Database {
  /** A single statement that changes something: it happens as a whole or not at all, whatever breaks. Tried again where that is safe. */
  runCommand(command: Command): Promise<readonly Row[]>;
  /** Reads; `work` must not write, because it runs again when the connection is lost. */
  read<T>(name: string, work: (queries: Queries) => Promise<T>): Promise<T>;
  /**
   * Several statements that happen together. Only tables protected by `platform.protect(table, 'transaction')` may be written:
   * they refuse a statement that arrives outside. Runs `work` again after a conflict; a lost COMMIT rejects with `outcome_unknown`.
   */
  transaction<T>(options: TransactionOptions, work: (queries: Queries) => Promise<T>): Promise<T>;
  stop(): Promise<void>;
}

const POOL_SIZE = 10;
const CONNECT_TIMEOUT_SECONDS = 5;
const STATEMENT_TIMEOUT_MS = 5_000;
const LOCK_TIMEOUT_MS = 2_000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000;
/** From Postgres 17 on. */
const TRANSACTION_TIMEOUT_MS = 30_000;
/** What the server gets beyond its own timeouts before the connection is given up. */
const ANSWER_GRACE_MS = 3_000;
const ATTEMPTS_LIMIT = 10;
/** No new attempt after this; a caller waits at most this plus one attempt. */
const RETRY_WINDOW_MS = 15_000;
const RETRY_BACKOFF = { baseMs: 10, maxMs: 1_000, factor: 2, jitter: 0.5 };
const SLOW_QUERY_MS = 250;
const SLOW_LOG_LIMITS = { capacity: 20, refillPerSecond: 1 };
const DURATION_BUCKETS_MS = [0.5, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
const OLDEST_VERSION = 150_000;
const NAME = /^[a-z][a-z0-9_.]{0,62}$/;

const dialect = new PgDialect();

/** Looks at the server first: refuses one that is too old or that would acknowledge what it can lose. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const version = await inspectServer(options);
  const settings: Record<string, string> = {
    ...sessionSettings(options),
    ...(version >= 170_000 ? { transaction_timeout: `${TRANSACTION_TIMEOUT_MS}` } : {}),
  };
  const pool = new ConnectionPool({
    ...options,
    settings,
    size: options.size ?? POOL_SIZE,
    connectTimeoutSeconds: CONNECT_TIMEOUT_SECONDS,
  });
  return createDatabase(options, pool);
}

function sessionSettings(options: DatabaseOptions): Record<string, string> {
  return {
    application_name: 'tidewire',
    role: options.role,
    statement_timeout: `${STATEMENT_TIMEOUT_MS}`,
    lock_timeout: `${LOCK_TIMEOUT_MS}`,
    idle_in_transaction_session_timeout: `${IDLE_IN_TRANSACTION_TIMEOUT_MS}`,
    default_transaction_isolation: 'read committed',
    // An acknowledgement is a promise, whatever the server's own default says.
    synchronous_commit: options.synchronousCommit ?? 'on',
  };
}

async function inspectServer(options: DatabaseOptions): Promise<number> {
  const settings = sessionSettings(options);
  const lane = await openLane(
    { url: options.url, settings, connectTimeoutSeconds: CONNECT_TIMEOUT_SECONDS, log: options.log },
    options.clock.monotonic(),
  );
  try {
    const names = ['server_version_num', 'fsync', 'full_page_writes'];
    const { rows } = await lane.execute(`select name, setting from pg_settings where name = any($1::text[])`, [
      `{${names.join(',')}}`,
    ]);
    const found = new Map(rows.map((row) => [String(row.name), String(row.setting)]));
    const version = Number(found.get('server_version_num'));
    if (version < OLDEST_VERSION) throw new Error(`Postgres 15 or newer is needed, this is ${version}`);
    for (const name of ['fsync', 'full_page_writes']) {
      if (found.get(name) !== 'on')
        throw new Error(`Postgres runs with ${name}=off and would lose acknowledged writes`);
    }
    return version;
  } finally {
    lane.destroy();
  }
}

function createDatabase(options: DatabaseOptions, pool: ConnectionPool): Database {
  const instruments = createInstruments(options, pool);
  const limitMs = STATEMENT_TIMEOUT_MS + ANSWER_GRACE_MS;
  const attempt = <T>(name: string, within: number, work: (lane: Lane) => Promise<T>) =>
    pool.use(within, (lane) => instruments.time(name, () => work(lane)));
  return {
    runCommand({ name, statement, repeatable }) {
      const { sql, params } = dialect.sqlToQuery(statement);
      const again = repeatable ? ALWAYS_AGAIN : SAFE_AGAIN;
      return withRetries(options, instruments, { name, again }, async () => {
        const answer = await attempt(name, limitMs, (lane) => lane.execute(sql, params));
        return answer.rows;
      });
    },
    read(name, work) {
      return withRetries(options, instruments, { name, again: ALWAYS_AGAIN }, () =>
        attempt(name, limitMs, (lane) => work(lane.queries)),
      );
    },
    transaction(wanted, work) {
      assert(NAME.test(wanted.name), `postgres: ${wanted.name} is no name of a transaction`);
      const statementMs = wanted.statementLimitMs ?? STATEMENT_TIMEOUT_MS;
      const wholeMs = Math.max(TRANSACTION_TIMEOUT_MS, 10 * statementMs) + ANSWER_GRACE_MS;
      return withRetries(options, instruments, { name: wanted.name, again: SAFE_AGAIN }, () =>
        attempt(wanted.name, wholeMs, (lane) => runTransaction(lane, wanted, statementMs, work)),
      );
    },
    stop: () => pool.stop(),
  };
}

const ALWAYS_AGAIN: readonly FailureKind[] = ['unavailable', 'conflict', 'outcome_unknown'];
/** Nothing of the failed attempt remained. */
const SAFE_AGAIN: readonly FailureKind[] = ['unavailable', 'conflict'];

async function runTransaction<T>(
  lane: Lane,
  wanted: TransactionOptions,
  statementMs: number,
  work: (queries: Queries) => Promise<T>,
): Promise<T> {
  const mode = wanted.mode === 'snapshot' ? 'isolation level repeatable read read only' : 'read write';
  const limits = wanted.statementLimitMs === undefined ? '' : longLimits(statementMs);
  let committing = false;
  try {
    await lane.executeScript(`begin ${mode}; set local tidewire.transaction = '${wanted.name}'${limits}`);
    const result = await work(lane.queries);
    committing = true;
    const { command } = await lane.executeScript('commit');
    // The server answers a COMMIT of a failed transaction with ROLLBACK, not with an error.
    if (command !== 'COMMIT') throw new Error('a statement of the transaction failed and its error was overlooked');
    return result;
  } catch (error) {
    if (!lane.broken()) await rollBack(lane);
    const named = nameFailure(error);
    const lost = named instanceof DatabaseFailure && named.kind === 'outcome_unknown' && !committing;
    throw lost ? new DatabaseFailure('conflict', 'the connection was lost before COMMIT', error) : named;
  }
}

/** Statements are allowed to take longer only in transactions that ask for it; `transaction_timeout` is absent before 17. */
function longLimits(statementMs: number): string {
  const transactionTimeout = `select set_config(name, '0', true) from pg_settings where name = 'transaction_timeout'`;
  return `; set local statement_timeout = ${Math.floor(statementMs)}; ${transactionTimeout}`;
}

async function rollBack(lane: Lane): Promise<void> {
  try {
    await lane.executeScript('rollback');
  } catch {
    // Without an answer the session's state is unknown; the server rolls back when the connection ends.
    lane.destroy();
  }
}

type Instruments = ReturnType<typeof createInstruments>;

function createInstruments(options: DatabaseOptions, pool: ConnectionPool) {
  const { clock, log, metrics } = options;
  metrics.collectedGauge(
    'postgres_connections',
    'Connections by what they do, and callers that wait',
    ['state'],
    () => [
      [{ state: 'in_use' }, pool.counts.inUse],
      [{ state: 'idle' }, pool.counts.idle],
      [{ state: 'waiting' }, pool.counts.waiting],
    ],
  );
  const duration = metrics.histogram(
    'postgres_query_duration_ms',
    'Time on a connection until the answer, without the wait for the connection',
    DURATION_BUCKETS_MS,
    ['name'],
  );
  // When everything is slow, everything would be logged.
  const slowLog = new TokenBucket(SLOW_LOG_LIMITS, clock.monotonic());
  return {
    failures: metrics.counter('postgres_failures_total', 'Failed attempts', ['name', 'kind']),
    retries: metrics.counter('postgres_retries_total', 'Attempts repeated after a failure', ['name', 'kind']),
    async time<T>(name: string, work: () => Promise<T>): Promise<T> {
      const beganMs = clock.monotonic();
      try {
        return await work();
      } finally {
        const nowMs = clock.monotonic();
        duration.observe({ name }, nowMs - beganMs);
        if (nowMs - beganMs >= SLOW_QUERY_MS && slowLog.tryTake(nowMs)) {
          // No warning: on a busy machine a good statement is slow now and then; alerts look at the distribution.
          log.info({ event: 'postgres_slow_query', name, durationMs: Math.round(nowMs - beganMs) });
        }
      }
    },
  };
}

type Retrying = Readonly<{ name: string; again: readonly FailureKind[] }>;

async function withRetries<T>(
  options: DatabaseOptions,
  instruments: Instruments,
  { name, again }: Retrying,
  attempt: () => Promise<T>,
): Promise<T> {
  const beganMs = options.clock.monotonic();
  for (let count = 0; ; count++) {
    try {
      return await attempt();
    } catch (error) {
      const failure = nameFailure(error);
      const kind = failure instanceof DatabaseFailure ? failure.kind : null;
      instruments.failures.inc({ name, kind: kind ?? 'error' });
      const tooLate = options.clock.monotonic() - beganMs > RETRY_WINDOW_MS;
      if (kind === null || !again.includes(kind) || count + 1 >= ATTEMPTS_LIMIT || tooLate) throw failure;
      instruments.retries.inc({ name, kind });
      await new Promise((settle) => setTimeout(settle, backoffDelayMs(RETRY_BACKOFF, count, options.random)));
    }
  }
}
