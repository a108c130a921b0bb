import type { Ledger } from '../src/modules/ledger/index.ts';
import type { Job } from '../src/platform/job-runner.ts';

/** Adds queued legs of house accounts to their balances. Until then they are counted from the queue, so that nothing is late. */
export const rollUp: Job<{ ledger: Ledger }> = {
  name: 'roll-up',
  intervalMs: 500,
  timeoutMs: 10_000,
  batch: 1_000,
  run: ({ ledger }, batch) => ledger.rollUp(batch),
};
