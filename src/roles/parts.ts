import type { Config } from '../config/schema.ts';
import type { Clock } from '../kernel/clock.ts';
import type { MarketBus } from '../platform/bus.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { StopStack } from './stop-stack.ts';

/** What all roles of one process share. */
export type Parts = Readonly<{
  config: Config;
  version: string;
  /** Of this process among those that share a Redis. */
  nodeId: string;
  log: Log;
  metrics: Metrics;
  clock: Clock;
  bus: MarketBus;
  stops: StopStack;
}>;

/** What a command has started. `finished` resolves when it has done its work; a server never does. */
export type Running = Readonly<{ finished: Promise<void>; stop(): Promise<void> }>;
