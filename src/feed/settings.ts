import type { BackoffPolicy } from '../kernel/backoff.ts';
import type { VenueSource } from '../protocol/messages.ts';

/** One exchange to take market data from. `venue` is our id for it, `ccxtId` ccxt's. */
export type VenueSettings = Readonly<{
  venue: string;
  ccxtId: string;
  source: VenueSource;
  /** The sandbox's root, `http://host:port`; the venue speaks below `/<venue>`. Absent: the real exchange. */
  sandboxUrl?: string;
  /** Merged into ccxt's constructor argument last: proxies, `urls.api`, options of an exchange that has no quirk file here. */
  ccxt?: Readonly<Record<string, unknown>>;
}>;

/** Every bound of the feed that a test may want to shrink. All times in milliseconds. */
export type FeedLimits = Readonly<{
  /** How long an upstream stays subscribed after the last `unwant`: ccxt breaks streams that are dropped and taken up again at once. */
  lingerMs: number;
  /** The books of a venue are posted together, at most this often; the first change in a while at once. */
  bookIntervalMs: number;
  /** Batches on their way to the main thread that it has not taken yet. */
  creditBatches: number;
  /** Trades that wait for a slow main thread, per venue; past this they become a doubt. */
  tradesWaiting: number;
  silence: SilencePolicy;
  /** Pauses between forced attempts to wake one silent or stuck upstream. */
  nudge: BackoffPolicy;
  /** Pauses before dialling again after a lost or failed connection, per venue. */
  redial: BackoffPolicy;
  /** Pauses before one stream is subscribed again after an error or a doubt. */
  resubscribe: BackoffPolicy;
  /** Streams that are not verified this long after their (re)subscription are nudged. */
  resyncDeadlineMs: number;
  /** Trades and candles of a quiet market count as subscribed when nothing has been refused for this long. */
  quietConfirmMs: number;
  /** The thread reports this often, busy or not. */
  pulseMs: number;
  /** A thread that has not reported for this long is ended and started anew. */
  hangMs: number;
  /** A thread that has not loaded its markets for this long is ended and started anew. */
  startMs: number;
  /** A listing older than this is loaded again. */
  marketsMs: number;
  circuit: CircuitPolicy;
}>;

/** `factor` times the usual interval between messages, but at least `minMs` and at most `maxMs`; `initialMs` until the interval is known. */
export type SilencePolicy = Readonly<{ minMs: number; initialMs: number; maxMs: number; factor: number }>;
/** Opens after `failures` in a row; tries again after a pause that grows. */
export type CircuitPolicy = Readonly<{ failures: number; pause: BackoffPolicy }>;

export const FEED_LIMITS: FeedLimits = {
  lingerMs: 30_000,
  bookIntervalMs: 20,
  creditBatches: 16,
  tradesWaiting: 20_000,
  silence: { minMs: 3_000, initialMs: 10_000, maxMs: 60_000, factor: 10 },
  nudge: { baseMs: 5_000, factor: 2, maxMs: 60_000, jitter: 0.2 },
  redial: { baseMs: 250, factor: 2, maxMs: 60_000, jitter: 0.5 },
  resubscribe: { baseMs: 100, factor: 2, maxMs: 2_000, jitter: 0.3 },
  resyncDeadlineMs: 15_000,
  quietConfirmMs: 2_000,
  pulseMs: 500,
  hangMs: 15_000,
  startMs: 120_000,
  marketsMs: 3_600_000,
  circuit: { failures: 5, pause: { baseMs: 5_000, factor: 2, maxMs: 300_000, jitter: 0.2 } },
};
