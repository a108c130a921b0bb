import type { Clock } from '../../kernel/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { ConnectionLimits } from '../../protocol/limits.ts';
import type { HubMetrics } from './hub-metrics.ts';
import type { StreamGate } from './stream-gate.ts';
import type { Topics } from './topic.ts';

/** What connections share. */
export type HubContext = Readonly<{
  limits: ConnectionLimits;
  clock: Clock;
  log: Log;
  metrics: HubMetrics;
  topics: Topics;
  gate: StreamGate;
  /** How long a subscribe request waits for a stream that nobody used until now. */
  coldStreamMs: number;
  isDraining: () => boolean;
}>;
