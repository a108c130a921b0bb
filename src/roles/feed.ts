import type { Config } from '../config/schema.ts';
import { candlesOrigin, createFeed } from '../feed/index.ts';
import type { VenueSettings } from '../feed/index.ts';
import { createSequencer } from '../modules/market/index.ts';

import { parseFaultScript } from '../sandbox/fault-script.ts';
import { launchSandbox } from '../sandbox/launch.ts';
import { SANDBOX_VENUES } from '../sandbox/tape.ts';
import type { Parts } from './parts.ts';
import { StartFailure } from './start-failure.ts';

export type FeedRole = Readonly<{ venues: readonly string[]; start(): Promise<void>; stop(): Promise<void> }>;

/** Exchange connections and the sequencer that they feed. Serves the bus at once; data flow after `start`. */
export async function prepareFeedRole(parts: Parts): Promise<FeedRole> {
  return connectFeed(await openVenues(parts), parts);
}

/** The same with exchanges that are known already. */
export function connectFeed(
  settings: readonly VenueSettings[],
  parts: Omit<Parts, 'config' | 'version' | 'nodeId'>,
): FeedRole {
  const { log, metrics, clock, bus, stops } = parts;
  const random = Math.random;
  const venues = settings.map(({ venue, ccxtId, source }) => ({ venue, source, candles: candlesOrigin(ccxtId) }));
  const sequencer = createSequencer({ bus, venues, clock, random, metrics, log });
  stops.push('sequencer', () => sequencer.stop());
  const feed = createFeed({ venues: settings, ingest: sequencer.ingest, log, metrics, clock, random });
  bus.serve(sequencer.source);
  sequencer.connect(feed);
  return { venues: settings.map(({ venue }) => venue), start: () => feed.start(), stop: () => feed.stop() };
}

/** What only the sandbox can judge. Before anything is opened: a wrong setting is told at once. */
export function checkSandboxSettings(config: Config): void {
  if (config.marketData === 'live') return;
  const strange = (config.venues ?? []).filter((venue) => !(SANDBOX_VENUES as readonly string[]).includes(venue));
  if (strange.length > 0) {
    const known = SANDBOX_VENUES.join(', ');
    throw new StartFailure(`VENUES: the sandbox exchange speaks ${known}, not ${strange.join(', ')}`);
  }
  try {
    parseFaultScript(config.sandboxFaults ?? '');
  } catch (error) {
    throw new StartFailure(`SANDBOX_FAULTS: ${(error as Error).message}`, { cause: error });
  }
}

/** The real exchanges, or the sandbox exchange in their place. */
async function openVenues({ config, log, stops }: Parts): Promise<VenueSettings[]> {
  const { marketData, venues } = config;
  if (marketData === 'live') {
    return (venues ?? []).map((venue) => ({ venue, ccxtId: venue, source: 'live' }));
  }
  const sandbox = await launchSandbox({
    marketData,
    replayDir: config.replayDir,
    speed: config.replaySpeed,
    loop: config.replayLoop,
    seed: config.sandboxSeed,
    venues,
    faults: config.sandboxFaults,
    log,
  }).catch((error: unknown) => {
    const place = marketData === 'recording' ? 'REPLAY_DIR: ' : '';
    throw new StartFailure(place + (error instanceof Error ? error.message : String(error)), { cause: error });
  });
  stops.push('sandbox', () => sandbox.stop());
  return sandbox.venues.map((venue) => ({ venue, ccxtId: venue, source: marketData, sandboxUrl: sandbox.url }));
}
