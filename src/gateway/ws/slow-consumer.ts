import type { ConnectionLimits } from '../../protocol/limits.ts';
import type { Backlog } from './outbox.ts';

/** Which measure of a backlog is beyond its limit; null when none is. */
export type SlowReason = 'frames' | 'bytes' | 'age';

/** Past this, stream messages are held back and snapshots take their place. */
export function conflationReason(backlog: Backlog, limits: ConnectionLimits): SlowReason | null {
  if (backlog.bytes > limits.slowQueuedBytes) return 'bytes';
  if (backlog.frames > limits.slowQueuedFrames) return 'frames';
  return backlog.ageMs > limits.slowAgeMs ? 'age' : null;
}

/** Past this, the connection is beyond help. */
export function closeReason(backlog: Backlog, limits: ConnectionLimits): SlowReason | null {
  if (backlog.bytes > limits.closeQueuedBytes) return 'bytes';
  if (backlog.frames > limits.closeQueuedFrames) return 'frames';
  return backlog.ageMs > limits.closeAgeMs ? 'age' : null;
}

/** A conflated stream gets a snapshot at most this often. */
export const CONFLATED_INTERVAL_MS = 1_000;
/** A connection is believed to keep up again after its backlog has stayed young for this long. */
export const CALM_MS = 5_000;
/** A backlog older than this is not calm. */
export const CALM_AGE_MS = 250;
