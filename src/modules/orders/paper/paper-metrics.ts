import type { Metrics } from '../../../platform/metrics.ts';

const COMMIT_BUCKETS_MS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
const LAG_BUCKETS_MS = [0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000];

export type PaperMetrics = ReturnType<typeof createPaperMetrics>;

/** `figures` is read at each scrape. */
export function createPaperMetrics(
  metrics: Metrics,
  figures: () => Readonly<{ markets: number; orders: number; doubtful: number; queued: number }>,
) {
  metrics.collectedGauge(
    'paper_markets',
    'Markets that this process runs, and those of them in doubt',
    ['state'],
    () => [
      [{ state: 'running' }, figures().markets],
      [{ state: 'doubtful' }, figures().doubtful],
    ],
  );
  metrics.collectedGauge('paper_orders', 'Open paper orders in this process', [], () => [[{}, figures().orders]]);
  metrics.collectedGauge('paper_queued_events', 'Events that wait for a market loop', [], () => [
    [{}, figures().queued],
  ]);
  return {
    fills: metrics.counter('paper_fills_total', 'Fills decided, by who took', ['venue', 'liquidity']),
    decisions: metrics.counter('paper_decisions_total', 'Decisions and what the database said', ['do', 'result']),
    retries: metrics.counter('paper_database_retries_total', 'Statements repeated because the database was away'),
    overflows: metrics.counter(
      'paper_inbox_overflows_total',
      'Times a market loop was so late that its messages were thrown away',
    ),
    faults: metrics.counter('paper_faults_total', 'Orders or markets set aside because of an error', ['what']),
    refused: metrics.counter('paper_markets_refused_total', 'Markets not run because there are too many'),
    commitMs: metrics.histogram('paper_commit_ms', 'From a decision to its commit', COMMIT_BUCKETS_MS),
    lagMs: metrics.histogram('paper_lag_ms', 'From an event to its turn in the market loop', LAG_BUCKETS_MS),
  };
}
