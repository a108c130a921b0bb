import { refused } from '../../kernel/outcome.ts';
import type { Refused } from '../../kernel/outcome.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Database } from '../../platform/postgres.ts';
import { ERRORS } from '../../protocol/errors.ts';
import type { AccessTokens } from './access-tokens.ts';
import type { Passwords } from './passwords.ts';
import type { Revocations } from './revocations.ts';
import type { Keyring } from './secrets.ts';
import type { IdentitySettings } from './settings.ts';

/** What the parts of identity share. */
export type Core = Readonly<{
  database: Database;
  keyring: Keyring;
  tokens: AccessTokens;
  passwords: Passwords;
  revocations: Revocations;
  settings: IdentitySettings;
  log: Log;
  /** Made at the start: an alert cannot see a rise from nothing to one. */
  refreshReuse: ReturnType<Metrics['counter']>;
}>;

/** Until a place among the password hashes can be expected to be free. */
const BUSY_RETRY_MS = 2_000;

type RefusedAnswer<C> = Readonly<{ code: C; retryAfterMs?: number }>;

/** The database's refusal in the words of the wire. */
export function refusalOf<C extends keyof typeof ERRORS>({
  code,
  retryAfterMs,
}: RefusedAnswer<C>): Refused<C> & Readonly<{ retryAfterMs?: number }> {
  return { ...refused(code, ERRORS[code].title), ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

export function busyRefusal(): Refused<'rate_limited'> & Readonly<{ retryAfterMs?: number }> {
  return refusalOf({ code: 'rate_limited', retryAfterMs: BUSY_RETRY_MS });
}
