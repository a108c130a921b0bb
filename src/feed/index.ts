export { createFeed } from './feed.ts';
export type { Feed, FeedSetup } from './feed.ts';
export { FEED_LIMITS } from './settings.ts';
export type { FeedLimits, VenueSettings } from './settings.ts';
export type { VenueCapabilities } from './thread-protocol.ts';
export { candlesOrigin } from './venues/index.ts';
