import type { Orders } from '../src/modules/orders/index.ts';
import type { Job } from '../src/platform/job-runner.ts';

/** A net below the engines, which end orders at their time: whatever stands open long after it ends here. */
export const expireOrders: Job<{ orders: Orders }> = {
  name: 'expire-orders',
  intervalMs: 5_000,
  timeoutMs: 10_000,
  batch: 100,
  run: ({ orders }, batch) => orders.expireOverdue(batch),
};
