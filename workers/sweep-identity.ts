import type { Identity } from '../src/modules/identity/index.ts';
import type { Job } from '../src/platform/job-runner.ts';

/** Removes expired sessions, tickets, nonces and counters. They have no effect any more; this only keeps the tables small. */
export const sweepIdentity: Job<{ identity: Identity }> = {
  name: 'sweep-identity',
  intervalMs: 60_000,
  timeoutMs: 30_000,
  batch: 1_000,
  run: ({ identity }, batch) => identity.sweep(batch),
};
