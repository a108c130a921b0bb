import type { MarketDirectory } from '../modules/market/index.ts';
import type { Readiness, VenueReadiness } from '../gateway/http/ops-server.ts';
import type { VenueWatch } from './venue-watch.ts';

/** A venue that has not told its markets after this long must not keep the others from serving. */
export const START_DEADLINE_MS = 30_000;

export type ReadinessFacts = Readonly<{
  roles: readonly string[];
  /** False while starting and from the moment of stopping. */
  serving: boolean;
  sinceStartMs: number;
  bus: 'ok' | 'degraded';
  venues: readonly VenueReadiness[];
}>;

/** All venues have told their markets; or the start deadline has passed and at least one has. */
export function decideReadiness(facts: ReadinessFacts): Readiness {
  const { roles, bus, venues } = facts;
  const missing = venues.filter((venue) => !venue.loaded).map((venue) => venue.venue);
  const late = facts.sinceStartMs >= START_DEADLINE_MS && missing.length < venues.length;
  const ready = facts.serving && (missing.length === 0 || late);
  const without = missing.length === 0 ? '' : `without markets of ${missing.join(', ')}`;
  return { ready, reason: facts.serving ? without : 'starting or stopping', roles, bus, venues };
}

export function venueReadiness(
  directory: MarketDirectory,
  watch: VenueWatch,
  venues: readonly string[],
): VenueReadiness[] {
  return venues.map((venue) => {
    const markets = directory.markets(venue)?.length ?? 0;
    const word = watch.of(venue);
    const status = word === undefined || word.lost !== null ? 'unknown' : word.venue.status;
    return { venue, loaded: markets > 0, markets, status, reason: word?.lost ?? word?.venue.reason ?? '' };
  });
}
