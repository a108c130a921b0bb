import type { MarketBus } from '../platform/bus.ts';
import type { StreamMessage, Venue } from '../protocol/messages.ts';

/** What each venue said of itself last; `lost` while its feed cannot be heard, when the last word may no longer be true. */
export type VenueWord = Readonly<{ venue: Venue; lost: string | null }>;
export type VenueWatch = Readonly<{ of(venue: string): VenueWord | undefined; stop(): void }>;

/** The directory keeps markets through a loss of the bus, because they change in days. A venue's health does not keep. */
export function watchVenues(bus: MarketBus, venues: readonly string[]): VenueWatch {
  const words = new Map<string, VenueWord>();
  const subscriptions = venues.map((name) => {
    const take = (message: StreamMessage | null): void => {
      if (message === null || (message.kind !== 'snapshot' && message.kind !== 'update')) return;
      words.set(name, { venue: message.data as Venue, lost: null });
    };
    return bus.open(`venue:${name}`, (delivery) => {
      const known = words.get(name);
      if (delivery.type === 'head') take(delivery.head.snapshot);
      else if (delivery.type === 'message') take(delivery.message);
      else if (known !== undefined) words.set(name, { ...known, lost: delivery.reason });
    });
  });
  return { of: (venue) => words.get(venue), stop: () => subscriptions.forEach((each) => each.close()) };
}
