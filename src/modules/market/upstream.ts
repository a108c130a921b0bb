import type { BookDepth, Timeframe } from '../../protocol/streams.ts';
import type { StreamState, VenueSource } from '../../protocol/messages.ts';
import type { Market } from '../../protocol/market.ts';

/** What a feed can be asked to keep subscribed at an exchange. `key` is unique per venue, channel, symbol and timeframe. */
export type Upstream = Readonly<
  | { channel: 'book' | 'trades' | 'ticker'; venue: string; symbol: string }
  | { channel: 'candles'; venue: string; symbol: string; timeframe: Timeframe }
>;

export function upstreamKey(upstream: Upstream): string {
  const tail = upstream.channel === 'candles' ? `:${upstream.timeframe}` : '';
  return `${upstream.channel}:${upstream.venue}:${upstream.symbol}${tail}`;
}

/** The deepest tier offered; a feed delivers at least this many levels where the exchange has them. */
export const MAX_BOOK_DEPTH: BookDepth = 100;

/** Price, size, price, size ... best first, at most MAX_BOOK_DEPTH levels. The doubles are faithful to the exchange's text up to 15 digits. */
export type FeedBook = Readonly<{
  venue: string;
  symbol: string;
  bids: Float64Array;
  asks: Float64Array;
  exchangeSeq?: number;
  exchangeTs?: number;
  ingestTs: number;
}>;
/** Texts are as the exchange sent them: plain or with exponent, canonicalised by the sequencer. */
export type FeedTrade = Readonly<{ id: string; price: string; size: string; side: 'buy' | 'sell' | null; ts: number }>;
export type FeedTrades = Readonly<{ venue: string; symbol: string; trades: readonly FeedTrade[]; ingestTs: number }>;
/** Fields that this message says nothing about are absent: the sequencer keeps what it had. */
export type FeedTicker = Readonly<{
  venue: string;
  symbol: string;
  exchangeTs?: number;
  ingestTs: number;
  fields: Readonly<
    Partial<
      Record<
        'last' | 'bid' | 'bidSize' | 'ask' | 'askSize' | 'open' | 'high' | 'low' | 'baseVolume' | 'quoteVolume',
        string
      >
    >
  >;
}>;
export type FeedCandle = Readonly<{
  ts: number;
  open: string;
  high: string;
  low: string;
  close: string;
  volume: string;
}>;
/** `history` marks a REST answer (oldest first); otherwise the exchange's running candle or candles. */
export type FeedCandles = Readonly<{
  venue: string;
  symbol: string;
  timeframe: Timeframe;
  candles: readonly FeedCandle[];
  history: boolean;
  ingestTs: number;
  exchangeTs?: number;
}>;
export type VenueHealth = Readonly<{
  source: VenueSource;
  upstreams: number;
  messagesPerSecond: number;
  lagMs: number | null;
  lastMessageTs: number | null;
  reconnects: number;
  circuit: 'closed' | 'open' | 'half_open';
}>;

/**
 * What the feed tells the market module. Calls for one upstream keep the order of the exchange's frames.
 * Continuity rule: before data whose continuity with earlier data is in doubt, the feed calls `upstreamState` with a status
 * other than `live`; the first data after `live` is then a fresh start (new epoch).
 */
export interface MarketIngest {
  markets(venue: string, markets: readonly Market[]): void;
  book(book: FeedBook): void;
  trades(trades: FeedTrades): void;
  ticker(ticker: FeedTicker): void;
  candles(candles: FeedCandles): void;
  upstreamState(upstream: Upstream, state: StreamState): void;
  venueState(venue: string, state: StreamState): void;
  venueHealth(venue: string, health: VenueHealth): void;
}

/** What the market module asks of the feed. Idempotent; linger before the real unsubscribe is the feed's business. */
export interface UpstreamDemand {
  want(upstream: Upstream): void;
  unwant(upstream: Upstream): void;
}
