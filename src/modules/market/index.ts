export { createMarketDirectory } from './market-directory.ts';
export type { MarketAnswer, MarketDirectory } from './market-directory.ts';
export { createSequencer } from './sequencer.ts';
export type { Sequencer, SequencerSetup } from './sequencer.ts';
export { createStreamCache } from './stream-cache.ts';
export type { StreamCache, StreamCacheSetup, StreamLease, StreamListener, StreamView } from './stream-cache.ts';
export { MAX_BOOK_DEPTH, upstreamKey } from './upstream.ts';
export type {
  FeedBook,
  FeedCandle,
  FeedCandles,
  FeedTicker,
  FeedTrade,
  FeedTrades,
  MarketIngest,
  Upstream,
  UpstreamDemand,
  VenueHealth,
} from './upstream.ts';
export type { VenueSetup } from './venue-desk.ts';
