import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FeedLimits } from '../feed/index.ts';
import { candlesOrigin, createFeed } from '../feed/index.ts';
import { attachDoors, createHub } from '../gateway/ws/index.ts';
import { createMarketDirectory, createSequencer, createStreamCache } from '../modules/market/index.ts';
import { createMemoryBus } from '../platform/bus-memory.ts';
import { createLog } from '../platform/log.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import { createMetrics } from '../platform/metrics.ts';
import { RETENTION_LIMITS } from '../protocol/limits.ts';
import type { ConnectionLimits } from '../protocol/limits.ts';
import type { Sandbox, TapeSource } from '../sandbox/index.ts';
import { startSandbox } from '../sandbox/index.ts';

const LINGER_MS = 60_000;

export type LiveStack = Readonly<{ port: number; sandbox: Sandbox; metrics: Metrics; stop(): Promise<void> }>;
export type LiveStackOptions = Readonly<{
  sources: readonly TapeSource[];
  faults?: string;
  seed?: number;
  feedLimits?: Partial<FeedLimits>;
  limits?: Partial<ConnectionLimits>;
  log?: Log;
}>;

/** The whole way from an exchange's wire to a client's, with real parts, in one process and without REST: for tests that need its insides. */
export async function startLiveStack(options: LiveStackOptions): Promise<LiveStack> {
  const log = options.log ?? createLog({ level: 'silent' });
  const metrics = createMetrics({ processMetrics: false });
  const clock = { now: () => Date.now(), monotonic: () => performance.now() };
  const common = { clock, random: Math.random, metrics, log };
  const sandbox = await startSandbox({
    sources: options.sources,
    log,
    ...(options.faults === undefined ? {} : { faults: options.faults }),
    ...(options.seed === undefined ? {} : { seed: options.seed }),
  });
  const bus = createMemoryBus({ onError: (error) => log.error({ event: 'bus_sink_error', err: error }) });
  const venues = options.sources.map(({ venue, origin }) => ({
    venue,
    ccxtId: venue,
    source: origin,
    candles: candlesOrigin(venue),
    sandboxUrl: sandbox.url,
  }));
  const sequencer = createSequencer({ ...common, bus, venues });
  const limits = options.feedLimits;
  const feed = createFeed({ ...common, venues, ingest: sequencer.ingest, ...(limits && { limits }) });
  bus.serve(sequencer.source);
  sequencer.connect(feed);
  await bus.start();
  const directory = createMarketDirectory({ bus, venues: venues.map(({ venue }) => venue) });
  const cache = createStreamCache({ bus, clock, retention: RETENTION_LIMITS, lingerMs: LINGER_MS, metrics, log });
  const hub = createHub({ ...common, cache, directory, limits: options.limits ?? {} });
  const server = createServer();
  const doors = attachDoors({ server, hub, log, allowedOrigins: ['*'], trustedProxies: [] });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await feed.start();
  return {
    port: (server.address() as AddressInfo).port,
    sandbox,
    metrics,
    async stop() {
      await doors.close();
      server.close();
      await feed.stop();
      directory.stop();
      cache.stop();
      sequencer.stop();
      await bus.stop();
      await sandbox.stop();
    },
  };
}
