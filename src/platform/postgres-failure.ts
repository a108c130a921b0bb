import { PostgresError } from './postgres-lane.ts';

/**
 * What a caller can do about a failed statement.
 * - `unavailable`: nothing was sent; the server is away, starting or full.
 * - `outcome_unknown`: it was sent and the answer was lost; only the idempotency key can tell whether it happened.
 * - `conflict`: it was rolled back for the sake of another (serialization, deadlock, lock timeout); may be tried again.
 * - `timeout`: it was cancelled and rolled back because it ran too long.
 * - `overloaded`: too many callers wait for a connection already.
 * - `stopped`: this process is closing its connections; nothing was sent.
 */
export type FailureKind = 'unavailable' | 'outcome_unknown' | 'conflict' | 'timeout' | 'overloaded' | 'stopped';

export class DatabaseFailure extends Error {
  override name = 'DatabaseFailure';
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

const CONFLICTS: ReadonlySet<string> = new Set(['40001', '40P01', '55P03']);
const TIMEOUTS: ReadonlySet<string> = new Set(['57014', '25P03', '25P04']);
/** Refused at the door: starting up, shutting down, too many connections. */
const CLOSED_DOORS: ReadonlySet<string> = new Set(['57P03', '57P01', '57P02', '53300', '57P05']);

/** The driver's own codes, and those of sockets. */
const CONNECTION_CODES =
  /^(CONNECTION_|CONNECT_TIMEOUT|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|ERR_STREAM|ERR_SOCKET)/;

/** The server's own error inside whatever an ORM wrapped around it. */
export function postgresErrorIn(error: unknown): PostgresError | null {
  for (let each = error; each instanceof Error; each = each.cause) {
    if (each instanceof PostgresError) return each;
  }
  return null;
}

export function databaseFailureIn(error: unknown): DatabaseFailure | null {
  for (let each = error; each instanceof Error; each = each.cause) {
    if (each instanceof DatabaseFailure) return each;
  }
  return null;
}

/** True when the connection is of no use afterwards: it broke, or the server ended the session. */
export function breaksConnection(error: unknown): boolean {
  const reported = postgresErrorIn(error);
  if (reported) return ['FATAL', 'PANIC'].includes(reported.severity) || CLOSED_DOORS.has(reported.code);
  for (let each = error; each instanceof Error; each = each.cause) {
    if (CONNECTION_CODES.test(String((each as NodeJS.ErrnoException).code))) return true;
  }
  return false;
}

/** Names a failure of one statement that had reached an open connection; other errors come back as they are. */
export function nameFailure(error: unknown): unknown {
  if (databaseFailureIn(error)) return error;
  const reported = postgresErrorIn(error);
  if (reported && CONFLICTS.has(reported.code)) return new DatabaseFailure('conflict', reported.message, error);
  if (reported && TIMEOUTS.has(reported.code)) return new DatabaseFailure('timeout', reported.message, error);
  if (breaksConnection(error)) {
    return new DatabaseFailure('outcome_unknown', 'the connection was lost before the answer came', error);
  }
  return error;
}
