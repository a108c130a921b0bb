import type { VenueHealth } from '../modules/market/upstream.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { StreamStatus } from '../protocol/messages.ts';
import { STREAM_STATUSES } from '../protocol/messages.ts';
import type { Doubt, Pulse } from './thread-protocol.ts';

export type FeedMetrics = ReturnType<typeof createFeedMetrics>;

const CIRCUIT_VALUES = { closed: 0, half_open: 1, open: 2 } as const;

/** The figures that an operator watches, per venue. Threads report totals; here they become counters. */
export function createFeedMetrics(metrics: Metrics) {
  const counter = (name: string, help: string, labels: readonly string[] = []) =>
    metrics.counter(name, help, ['venue', ...labels]);
  const gauge = (name: string, help: string, labels: readonly string[] = []) =>
    metrics.gauge(name, help, ['venue', ...labels]);
  const frames = counter('feed_frames_total', 'WebSocket frames received');
  const garbage = counter('feed_garbage_total', 'Frames that could not be read or made ccxt fail');
  const doubts = counter('feed_doubts_total', 'Upstreams that could not be believed, by why', ['doubt']);
  const reconnects = counter('feed_reconnects_total', 'Connections lost or given up');
  const conflated = counter('feed_conflated_total', 'Messages merged because the main thread was slow');
  const threadsLost = counter('feed_threads_lost_total', 'Venue threads that crashed, hung or grew too large');
  const recycled = counter('feed_recycled_total', 'Exchange objects replaced');
  const nudges = counter('feed_nudges_total', 'Attempts to wake a silent or stuck upstream', ['doubt']);
  const cpu = counter('feed_thread_cpu_ms_total', 'CPU time of the venue thread');
  const heap = gauge('feed_thread_heap_bytes', 'Heap in use in the venue thread');
  const heldBack = gauge('feed_held_back_changes', 'Book changes that wait for a snapshot inside ccxt');
  const sockets = gauge('feed_sockets', 'Open connections to the exchange');
  const lag = gauge('feed_lag_ms', 'Median of ingest time minus exchange time over the last second');
  const circuit = gauge('feed_circuit', 'Circuit breaker: 0 closed, 1 half open, 2 open');
  const upstreams = gauge('feed_upstreams', 'Upstreams by how far they are to be believed', ['status']);
  return {
    threadLost: (venue: string) => threadsLost.inc({ venue }),
    recycled: (venue: string) => recycled.inc({ venue }),
    nudged: (venue: string, doubt: Doubt) => nudges.inc({ venue, doubt }),
    /** `before` is the same thread's last pulse, undefined for its first. */
    pulse(venue: string, before: Pulse | undefined, now: Pulse): void {
      frames.inc({ venue }, now.frames - (before?.frames ?? 0));
      garbage.inc({ venue }, now.garbage - (before?.garbage ?? 0));
      reconnects.inc({ venue }, now.reconnects - (before?.reconnects ?? 0));
      conflated.inc({ venue }, now.conflated - (before?.conflated ?? 0));
      cpu.inc({ venue }, Math.max(0, now.cpuMs - (before?.cpuMs ?? 0)));
      for (const [doubt, count] of Object.entries(now.doubts)) {
        doubts.inc({ venue, doubt }, count - (before?.doubts[doubt as Doubt] ?? 0));
      }
      heap.set({ venue }, now.heapBytes);
      heldBack.set({ venue }, now.heldBack);
      sockets.set({ venue }, now.sockets);
    },
    health(venue: string, health: VenueHealth, statuses: readonly StreamStatus[]): void {
      if (health.lagMs === null) lag.remove({ venue });
      else lag.set({ venue }, health.lagMs);
      circuit.set({ venue }, CIRCUIT_VALUES[health.circuit]);
      for (const status of STREAM_STATUSES) {
        upstreams.set({ venue, status }, statuses.filter((each) => each === status).length);
      }
    },
  };
}
