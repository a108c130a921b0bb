import type { Random } from './random.ts';

export type BackoffPolicy = Readonly<{ baseMs: number; maxMs: number; factor: number; jitter: number }>;

/** Exponential delay before attempt `attempt` (0-based), with symmetric jitter so that clients do not return together. */
export function backoffDelayMs(policy: BackoffPolicy, attempt: number, random: Random): number {
  const plainMs = Math.min(policy.maxMs, policy.baseMs * policy.factor ** Math.max(0, attempt));
  return Math.round(plainMs * (1 + policy.jitter * (2 * random() - 1)));
}
