import { Writable } from 'node:stream';
import { createMarketDirectory, createSequencer, createStreamCache } from '../modules/market/index.ts';
import type { MarketDirectory, MarketIngest, StreamCache, Upstream } from '../modules/market/index.ts';
import { upstreamKey } from '../modules/market/index.ts';
import { createMemoryBus } from '../platform/bus-memory.ts';
import type { MarketBus } from '../platform/bus.ts';
import { createLog } from '../platform/log.ts';
import { createMetrics } from '../platform/metrics.ts';
import { RETENTION_LIMITS } from '../protocol/limits.ts';
import type { Market } from '../protocol/market.ts';

/** The real market module over the memory bus; the feed is a script that tests call. */
export type ScriptedMarket = Readonly<{
  venues: readonly string[];
  bus: MarketBus;
  directory: MarketDirectory;
  cache: StreamCache;
  ingest: MarketIngest;
  wanted: ReadonlySet<string>;
  clock: { now(): number; monotonic(): number };
  log: ReturnType<typeof createLog>;
  logged: Record<string, unknown>[];
  metrics: ReturnType<typeof createMetrics>;
  stop(): Promise<void>;
}>;

export function market(venue: string, symbol: string, changes: Partial<Market> = {}): Market {
  const [base = '', quote = ''] = symbol.split(/[/:]/);
  return {
    venue,
    symbol,
    exchangeSymbol: `${base}${quote}`,
    base,
    quote,
    type: 'spot',
    active: true,
    priceDecimals: 2,
    sizeDecimals: 3,
    tickSize: '0.01',
    lotSize: '0.001',
    minSize: '0.001',
    minNotional: null,
    ...changes,
  };
}

/** `onWant` plays the exchange: it is called when a stream needs an upstream that nobody wanted before. */
export async function startScriptedMarket(
  venues: readonly string[],
  onWant: (upstream: Upstream, ingest: MarketIngest) => void = () => {},
): Promise<ScriptedMarket> {
  const clock = { now: () => Date.now(), monotonic: () => performance.now() };
  const logged: Record<string, unknown>[] = [];
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().split('\n').filter(Boolean)) logged.push(JSON.parse(line) as never);
      done();
    },
  });
  const log = createLog({ level: 'info', destination });
  const metrics = createMetrics({ processMetrics: false });
  const bus = createMemoryBus();
  const sequencer = createSequencer({
    bus,
    venues: venues.map((venue) => ({ venue, source: 'simulation' as const })),
    clock,
    random: Math.random,
    metrics,
    log,
  });
  const wanted = new Set<string>();
  bus.serve(sequencer.source);
  sequencer.connect({
    want(upstream) {
      wanted.add(upstreamKey(upstream));
      onWant(upstream, sequencer.ingest);
    },
    unwant: (upstream) => wanted.delete(upstreamKey(upstream)),
  });
  await bus.start();
  const cache = createStreamCache({ bus, clock, retention: RETENTION_LIMITS, lingerMs: 60_000, metrics, log });
  const directory = createMarketDirectory({ bus, venues });
  return {
    venues,
    bus,
    directory,
    cache,
    ingest: sequencer.ingest,
    wanted,
    clock,
    log,
    logged,
    metrics,
    async stop() {
      directory.stop();
      cache.stop();
      sequencer.stop();
      await bus.stop();
    },
  };
}
