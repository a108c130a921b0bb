import type { Clock } from '../kernel/clock.ts';
import type { Random } from '../kernel/random.ts';
import type { Service } from '../kernel/service.ts';
import type { MarketIngest, Upstream, UpstreamDemand } from '../modules/market/upstream.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { StreamState } from '../protocol/messages.ts';
import { createFeedMetrics } from './feed-metrics.ts';
import type { FeedLimits, VenueSettings } from './settings.ts';
import { FEED_LIMITS } from './settings.ts';
import type { VenueCapabilities } from './thread-protocol.ts';
import { VenueSupervisor } from './venue-supervisor.ts';

export type FeedSetup = Readonly<{
  venues: readonly VenueSettings[];
  ingest: MarketIngest;
  log: Log;
  metrics: Metrics;
  clock: Clock;
  random: Random;
  limits?: Partial<FeedLimits>;
}>;

export interface Feed extends UpstreamDemand, Service {
  /** What a venue can stream; undefined for a venue that is not configured or has not answered yet. */
  capabilities(venue: string): VenueCapabilities | undefined;
  /** A venue as a whole; undefined when it is not configured. */
  venueState(venue: string): StreamState | undefined;
}

/**
 * Market data from the configured exchanges, one thread each. `start` returns at once: a venue that cannot be reached keeps
 * nobody from the others. Throws when two venues share an id.
 */
export function createFeed(setup: FeedSetup): Feed {
  const limits: FeedLimits = { ...FEED_LIMITS, ...setup.limits };
  const metrics = createFeedMetrics(setup.metrics);
  const supervisors = new Map<string, VenueSupervisor>();
  for (const settings of setup.venues) {
    if (supervisors.has(settings.venue)) throw new Error(`two venues are called ${settings.venue}`);
    const { ingest, log, clock, random } = setup;
    supervisors.set(settings.venue, new VenueSupervisor({ settings, limits, ingest, log, metrics, clock, random }));
  }
  const all = [...supervisors.values()];
  let running = false;
  return {
    start: () => {
      if (!running) all.forEach((supervisor) => supervisor.start());
      running = true;
      return Promise.resolve();
    },
    stop: async () => {
      await Promise.all(all.map((supervisor) => supervisor.stop()));
    },
    want: (upstream: Upstream) => supervisors.get(upstream.venue)?.want(upstream),
    unwant: (upstream: Upstream) => supervisors.get(upstream.venue)?.unwant(upstream),
    capabilities: (venue) => supervisors.get(venue)?.capabilities,
    venueState: (venue) => supervisors.get(venue)?.state,
  };
}
