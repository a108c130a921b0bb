import type { PortfolioDesk } from '../src/modules/portfolio/index.ts';
import type { Job } from '../src/platform/job-runner.ts';

/** A point of the equity history for every user whose last one is old enough; the module says how old that is. */
export const equitySnapshots: Job<{ portfolio: PortfolioDesk }> = {
  name: 'equity-snapshots',
  intervalMs: 15_000,
  timeoutMs: 60_000,
  batch: 200,
  run: ({ portfolio }, batch) => portfolio.takeEquitySnapshots(batch),
};
