import type { Clock } from '../../kernel/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Database } from '../../platform/postgres.ts';
import type { Signals } from '../../platform/signals.ts';

/** So many tries in a window; then none until it is over. */
export type TryLimit = Readonly<{ count: number; windowMs: number }>;

export type IdentitySettings = Readonly<{
  /** `iss` of access tokens: this installation. */
  issuer: string;
  /** `aud` of access tokens: its API. */
  audience: string;
  /** A session ends when it is not refreshed for so long. */
  sessionIdleMs: number;
  /** A session ends in any case. */
  sessionAbsoluteMs: number;
  accessTokenMs: number;
  /** Failed logins of one account from devices that it does not know; of one known device. */
  loginsPerAccount: TryLimit;
  /** Failed logins from one address (IPv6: one /64) on devices that the account does not know. */
  loginsPerIp: TryLimit;
  registrationsPerIp: TryLimit;
  /** Codes of the second factor, and fresh proofs of identity, per account. */
  codes: TryLimit;
}>;

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const DAY_MS = 24 * 60 * MINUTE_MS;

export const DEFAULT_SETTINGS: IdentitySettings = {
  issuer: 'tidewire',
  audience: 'tidewire-api',
  sessionIdleMs: 7 * DAY_MS,
  sessionAbsoluteMs: 30 * DAY_MS,
  accessTokenMs: 10 * MINUTE_MS,
  loginsPerAccount: { count: 10, windowMs: 15 * MINUTE_MS },
  loginsPerIp: { count: 50, windowMs: 15 * MINUTE_MS },
  registrationsPerIp: { count: 30, windowMs: 60 * MINUTE_MS },
  codes: { count: 5, windowMs: 15 * MINUTE_MS },
};

export const SESSIONS_PER_USER = 50;
export const DEVICES_PER_USER = 20;
export const DEVICE_MS = 180 * DAY_MS;
export const TICKET_MS = MINUTE_MS;
export const TICKETS_PER_USER = 32;
export const STEP_UP_MS = 5 * MINUTE_MS;
export const STEP_UPS_PER_USER = 16;
export const KEYS_PER_USER = 20;
/** Of keys that may trade from everywhere. */
export const UNBOUND_TRADE_KEY_MS = 90 * DAY_MS;
/** Older revocations are of no use: every token that they could concern has expired. */
export const REVOCATION_KEPT_MS = 60 * MINUTE_MS;

export type IdentityDeps = Readonly<{
  database: Database;
  signals: Signals;
  log: Log;
  metrics: Metrics;
  clock: Clock;
  /** 32 characters or more, the same on every process: all other keys are derived from it. */
  signingSecret: string;
  /** Earlier values of it: what was signed or sealed with them stays good. */
  retiredSecrets?: readonly string[];
  settings?: Partial<IdentitySettings>;
}>;
