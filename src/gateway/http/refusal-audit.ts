import type { Clock } from '../../kernel/clock.ts';
import { TokenBucket } from '../../kernel/token-bucket.ts';
import type { Identity, Origin } from '../../modules/identity/index.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { ErrorCode } from '../../protocol/errors.ts';

/** The same refusal of the same caller within this time is counted, not written again. */
const QUIET_MS = 60_000;
/** Callers remembered; past it the one refused longest ago is forgotten, and may cause an entry again. */
const CALLERS_LIMIT = 5_000;
/** Entries of callers whom nobody knows, and of users: a flood of the first must not hide the second. */
const ANONYMOUS_PACE = { capacity: 60, refillPerSecond: 1 };
const USER_PACE = { capacity: 300, refillPerSecond: 5 };

export type Refusal = Readonly<{ userId: string | null; keyId: string | null; route: string; code: ErrorCode }>;
export type RefusalAudit = (refusal: Refusal, origin: Origin) => void;

/**
 * Writes refusals of the door (401, 403) to the audit log, which nothing is ever deleted from: so no flood may decide how fast it
 * grows. One entry per caller, route and code in a minute, with the number of those that it stands for since the last; past the
 * pace none, and `http_refusals_unaudited_total` tells how many.
 */
export function createRefusalAudit(
  deps: Readonly<{ identity: Identity; clock: Clock; log: Log; metrics: Metrics }>,
): RefusalAudit {
  const { identity, clock, log, metrics } = deps;
  const unaudited = metrics.counter('http_refusals_unaudited_total', 'Refusals not written to the audit log', ['why']);
  const nowMs = clock.monotonic();
  const paces = { anonymous: new TokenBucket(ANONYMOUS_PACE, nowMs), user: new TokenBucket(USER_PACE, nowMs) };
  const callers = new Map<string, { quietUntilMs: number; suppressed: number }>();
  return ({ userId, keyId, route, code }, origin) => {
    const at = clock.monotonic();
    const key = [userId ?? origin.ip, route, code].join(' ');
    const known = callers.get(key);
    if (known !== undefined && at < known.quietUntilMs) {
      known.suppressed += 1;
      return unaudited.inc({ why: 'repeated' });
    }
    if (!paces[userId === null ? 'anonymous' : 'user'].tryTake(at)) return unaudited.inc({ why: 'pace' });
    callers.delete(key);
    callers.set(key, { quietUntilMs: at + QUIET_MS, suppressed: 0 });
    if (callers.size > CALLERS_LIMIT) callers.delete(callers.keys().next().value!);
    const details = { route, code, ...(keyId && { keyId }), repeatedBefore: known?.suppressed ?? 0 };
    // The refusal does not wait for its entry: answering it must not cost a caller of ours a database write.
    identity.audit({ userId, act: 'request', outcome: 'refused', details }, origin).catch((error: unknown) => {
      unaudited.inc({ why: 'failed' });
      log.error({ event: 'refusal_audit_failed', err: error });
    });
  };
}
