import type { Ledger } from '../src/modules/ledger/index.ts';
import type { Job } from '../src/platform/job-runner.ts';

/** Gives held money back whose time is over. The database's clock decides; the interval is only how late it may be noticed. */
export const expireHolds: Job<{ ledger: Ledger }> = {
  name: 'expire-holds',
  intervalMs: 1_000,
  timeoutMs: 10_000,
  batch: 100,
  run: ({ ledger }, batch) => ledger.expireHolds(batch),
};
