import type { EquityPoint, Portfolio, Position, Statistics, SyncEvent } from '../../protocol/trading.ts';
import type { PrivateStream } from '../../protocol/trading.ts';

/** The last price of an asset in another, as the market module knows it; null when there is none that is fresh. */
export type PriceSource = (
  base: string,
  quote: string,
) => Readonly<{ price: string; ageMs: number; venue: string }> | null;

/** What the user has and how it went. Positions come from fills in the transaction of the fill; values from live prices. */
export interface PortfolioDesk {
  positions(userId: string): Promise<Position[]>;
  /** Values everything with live prices, in the account's currency (paper: USDT). */
  portfolio(userId: string): Promise<Portfolio>;
  /** Oldest first, at most `limit` points, thinned evenly over the time asked for. */
  equityHistory(
    userId: string,
    range: Readonly<{ fromMs: number; toMs: number; limit: number }>,
  ): Promise<EquityPoint[]>;
  statistics(userId: string, range: Readonly<{ fromMs: number; toMs: number }>): Promise<Statistics>;
  /** Stores one equity point for each user whose last is older than the interval. Answers how many. */
  takeEquitySnapshots(limit: number): Promise<number>;
}

/**
 * Everyone's own log (`ledger.user_events`) as streams. Gapless per user and per stream; a snapshot and its position are one instant.
 */
export interface UserLog {
  /** Fixed for the life of the database. */
  readonly epoch: string;
  /** The log since `seq` (exclusive), oldest first, with where it ends now. */
  since(userId: string, seq: number, limit: number): Promise<Readonly<{ events: readonly SyncEvent[]; head: number }>>;
  /** The same for one stream, by its own numbers. */
  streamSince(
    userId: string,
    stream: PrivateStream,
    streamSeq: number,
    limit: number,
  ): Promise<Readonly<{ events: readonly SyncEvent[]; head: number }>>;
  /** The state that a new subscriber starts from, at `streamSeq`. */
  snapshot(
    userId: string,
    stream: PrivateStream,
  ): Promise<Readonly<{ streamSeq: number; logSeq: number; data: unknown }>>;
  /**
   * Calls back for new events of this user, in order and without a gap, whichever process wrote them and whether or not
   * anybody was told: a sweeper finds what a crash kept from being told. Answers how to stop.
   */
  follow(userId: string, afterSeq: number, listener: (events: readonly SyncEvent[]) => void): () => void;
  stop(): Promise<void>;
}
