import type { BusDelivery, BusSubscription, MarketBus } from '../../platform/bus.ts';
import type { Market } from '../../protocol/market.ts';
import type { StreamMessage, Venue } from '../../protocol/messages.ts';

/** `venue_unavailable`: the venue is configured, but its markets have not been loaded (yet). */
export type MarketAnswer =
  | Readonly<{ found: 'market'; market: Market }>
  | Readonly<{ found: 'unknown_venue' | 'unknown_symbol' | 'venue_unavailable' }>;

/** What is traded where, as the feed last told; served from memory. */
export interface MarketDirectory {
  /** In the order of configuration. A venue that has not been heard of yet is missing. */
  venues(): readonly Venue[];
  /** Undefined: not configured, or not loaded yet; `find` tells which. */
  markets(venue: string): readonly Market[] | undefined;
  find(venue: string, symbol: string): MarketAnswer;
  /** Resolves once `find` can tell about this venue's symbols: at once for a venue that is not configured. Never rejects. */
  loaded(venue: string): Promise<void>;
  stop(): void;
}

type VenueEntry = {
  venue: Venue | undefined;
  markets: ReadonlyMap<string, Market> | undefined;
  list: readonly Market[];
  readonly loaded: Promise<void>;
};

/** `venues` are the configured ones. Markets stay known through a loss of the bus: they change in days, not in seconds. */
export function createMarketDirectory(setup: { bus: MarketBus; venues: readonly string[] }): MarketDirectory {
  const entries = new Map<string, VenueEntry>();
  const subscriptions: BusSubscription[] = [];
  for (const name of setup.venues) {
    const { promise: loaded, resolve: markLoaded } = Promise.withResolvers<void>();
    const entry: VenueEntry = { venue: undefined, markets: undefined, list: [], loaded };
    entries.set(name, entry);
    const takeVenue = (data: unknown): void => {
      entry.venue = data as Venue;
    };
    const takeMarkets = (data: unknown): void => {
      entry.list = (data as { markets: readonly Market[] }).markets;
      entry.markets = new Map(entry.list.map((market) => [market.symbol, market]));
      markLoaded();
    };
    subscriptions.push(setup.bus.open(`venue:${name}`, latest(takeVenue)));
    subscriptions.push(setup.bus.open(`markets:${name}`, latest(takeMarkets)));
  }
  return {
    venues: () => [...entries.values()].flatMap((entry) => entry.venue ?? []),
    markets: (venue) => (entries.get(venue)?.markets === undefined ? undefined : entries.get(venue)!.list),
    find(venue, symbol) {
      const entry = entries.get(venue);
      if (entry === undefined) return { found: 'unknown_venue' };
      if (entry.markets === undefined) return { found: 'venue_unavailable' };
      const market = entry.markets.get(symbol);
      return market === undefined ? { found: 'unknown_symbol' } : { found: 'market', market };
    },
    loaded: (venue) => entries.get(venue)?.loaded ?? Promise.resolve(),
    stop() {
      for (const subscription of subscriptions) subscription.close();
    },
  };
}

/** For streams whose every message carries the whole. */
function latest(take: (data: unknown) => void): (delivery: BusDelivery) => void {
  const takeMessage = (message: StreamMessage | null): void => {
    if (message !== null && (message.kind === 'snapshot' || message.kind === 'update')) take(message.data);
  };
  return (delivery) => {
    if (delivery.type === 'head') takeMessage(delivery.head.snapshot);
    else if (delivery.type === 'message') takeMessage(delivery.message);
  };
}
