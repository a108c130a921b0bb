import type { Orders } from '../src/modules/orders/index.ts';
import type { Job } from '../src/platform/job-runner.ts';

/** The dead-man switch: cancels the orders of users who asked for it and have not been heard of in time. */
export const expireDeadMen: Job<{ orders: Orders }> = {
  name: 'expire-dead-men',
  intervalMs: 500,
  timeoutMs: 10_000,
  batch: 100,
  run: ({ orders }, batch) => orders.expireDeadMen(batch),
};
