import type { Upstream } from '../modules/market/upstream.ts';
import type { CcxtBook, CcxtExchange } from './ccxt-surface.ts';
import type { Outbox } from './outbox.ts';
import type { SanityBand } from './sanity-band.ts';
import type { FeedLimits } from './settings.ts';
import type { Doubt } from './thread-protocol.ts';
import type { VenueQuirks } from './venues/quirks.ts';

/** What a channel may use of the session around it. */
export interface ChannelContext {
  readonly key: string;
  readonly upstream: Upstream;
  readonly quirks: VenueQuirks;
  readonly limits: FeedLimits;
  readonly outbox: Outbox;
  readonly band: SanityBand;
  readonly exchange: CcxtExchange;
  /** Verified and told so. */
  readonly live: boolean;
  /** Unix milliseconds at which the frame being handled came; now, outside of one. */
  readonly ingestTs: number;
  monotonic(): number;
  /** Asks for `settle` at the end of the frame: a frame may touch a book several times. */
  touched(): void;
  /** Whether the exchange's own protocol says that the book is whole. */
  complete(book: CcxtBook): boolean;
  /** Verified news: ends a doubt. To be called before they are handed to the outbox. */
  verified(): void;
  /** To be called before anything else is done. `again`: the stream must be subscribed anew to be believed. */
  doubt(doubt: Doubt, again: boolean): void;
  delayed(exchangeTs: number | undefined): void;
  /** A line for the log. */
  note(detail: string): void;
}

/** One upstream's data, from what ccxt's handlers resolve to the outbox. */
export interface Channel {
  /** Called inside ccxt's handler. */
  take(result: unknown): void;
  settle?(): void;
  /** The stream is verified again, or known to stand. */
  confirmed?(): void;
  /** The exchange is being asked (again) to stream. */
  subscribing(): void;
  /** What is held may be wrong: forget it, and what ccxt stores of it. */
  forget(): void;
  /** From now on only what is newer than the last posted ends the doubt: the same again is a frozen exchange. */
  awaitNewer(): void;
  /** Post the present state once more. */
  repeat(): void;
}
