import { createPaperEngine } from '../modules/orders/index.ts';
import { startJobs } from '../platform/job-runner.ts';
import type { Job } from '../platform/job-runner.ts';
import { equitySnapshots } from '../../workers/equity-snapshots.ts';
import { expireDeadMen } from '../../workers/expire-dead-men.ts';
import { expireHolds } from '../../workers/expire-holds.ts';
import { expireOrders } from '../../workers/expire-orders.ts';
import { rollUp } from '../../workers/roll-up.ts';
import { sweepIdentity } from '../../workers/sweep-identity.ts';
import type { Accounts, MarketParts } from './accounts.ts';
import type { Parts } from './parts.ts';

const JOBS: readonly Job<Accounts>[] = [
  expireHolds,
  rollUp,
  expireDeadMen,
  expireOrders,
  equitySnapshots,
  sweepIdentity,
];

/** Executes orders and keeps house. Any number of workers may run: markets are leased, and jobs do what is due once. */
export async function startWorkerRole(parts: Parts, accounts: Accounts, market: MarketParts): Promise<void> {
  const { config, log, metrics, clock, stops } = parts;
  const random = Math.random;
  const jobs = startJobs({ jobs: JOBS, deps: accounts, clock, random, log, metrics });
  stops.push('jobs', () => jobs.stop());
  const engine = createPaperEngine({
    execution: accounts.orders.execution,
    database: accounts.database,
    cache: market.cache,
    directory: market.directory,
    clock,
    random,
    seed: config.sandboxSeed,
    log,
    metrics,
  });
  await engine.start();
  stops.push('paper engine', () => engine.stop());
}
