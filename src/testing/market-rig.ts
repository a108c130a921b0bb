import { createMemoryBus } from '../platform/bus-memory.ts';
import type { BusDelivery, MarketBus } from '../platform/bus.ts';
import { createLog } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createSequencer, createStreamCache } from '../modules/market/index.ts';
import type {
  FeedBook,
  Sequencer,
  StreamCache,
  StreamCacheSetup,
  StreamView,
  Upstream,
  VenueSetup,
} from '../modules/market/index.ts';
import { upstreamKey } from '../modules/market/index.ts';
import { seededRandom } from '../kernel/random.ts';
import type { Clock } from '../kernel/clock.ts';
import type { PreparedMessage } from '../protocol/envelope.ts';
import { RETENTION_LIMITS } from '../protocol/limits.ts';
import type { Market } from '../protocol/market.ts';
import type { StreamMessage, StreamState, StreamStatus } from '../protocol/messages.ts';

/** The process's clocks, which a test's fake timers may stand in for. */
export const rigClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

export type MarketRig = Readonly<{
  bus: MarketBus;
  sequencer: Sequencer;
  metrics: Metrics;
  /** Keys of the upstreams that are wanted now. */
  wanted: Set<string>;
  /** Opens a stream; everything delivered is kept in order. */
  record(stream: string): { deliveries: BusDelivery[]; messages: StreamMessage[]; close(): void };
}>;

/** A sequencer on a memory bus, with the venue `alpha` (and `beta`, whose candles are built from trades). */
export function createMarketRig(options: { seed?: number; venues?: readonly VenueSetup[] } = {}): MarketRig {
  const metrics = createMetrics({ processMetrics: false });
  const bus = createMemoryBus();
  const sequencer = createSequencer({
    bus,
    venues: options.venues ?? [
      { venue: 'alpha', source: 'simulation' },
      { venue: 'beta', source: 'simulation', candles: 'trades' },
    ],
    clock: rigClock,
    random: seededRandom(options.seed ?? 1),
    metrics,
    log: createLog({ level: 'silent' }),
  });
  bus.serve(sequencer.source);
  const wanted = new Set<string>();
  sequencer.connect({
    want: (upstream) => void wanted.add(upstreamKey(upstream)),
    unwant: (upstream) => void wanted.delete(upstreamKey(upstream)),
  });
  return {
    bus,
    sequencer,
    metrics,
    wanted,
    record(stream) {
      const deliveries: BusDelivery[] = [];
      const messages: StreamMessage[] = [];
      const subscription = bus.open(stream, (delivery) => {
        deliveries.push(delivery);
        if (delivery.type === 'message') messages.push(delivery.message);
      });
      return { deliveries, messages, close: () => subscription.close() };
    },
  };
}

export function market(symbol: string, priceDecimals = 2, sizeDecimals = 5, venue = 'alpha'): Market {
  const [base = '', quote = ''] = symbol.split('/');
  return {
    venue,
    symbol,
    exchangeSymbol: base + quote,
    base,
    quote,
    type: 'spot',
    active: true,
    priceDecimals,
    sizeDecimals,
    tickSize: null,
    lotSize: null,
    minSize: null,
    minNotional: null,
  };
}

export function state(status: StreamStatus, reason = ''): StreamState {
  return { status, since: rigClock.now(), reason };
}

/** Levels as `[price, size]` pairs, best first. */
export function book(
  bids: readonly (readonly [number, number])[],
  asks: readonly (readonly [number, number])[],
  exchangeSeq?: number,
  venue = 'alpha',
  symbol = 'BTC/USDT',
): FeedBook {
  return {
    venue,
    symbol,
    bids: Float64Array.from(bids.flat()),
    asks: Float64Array.from(asks.flat()),
    ingestTs: rigClock.now(),
    exchangeTs: rigClock.now(),
    ...(exchangeSeq === undefined ? {} : { exchangeSeq }),
  };
}

export function upstream(channel: 'book' | 'trades' | 'ticker', venue = 'alpha', symbol = 'BTC/USDT'): Upstream {
  return { channel, venue, symbol };
}

/** A listener that keeps what it hears, in words and whole. */
export function recorder() {
  const heard: string[] = [];
  const messages: PreparedMessage[] = [];
  return {
    heard,
    messages,
    onMessage(prepared: PreparedMessage) {
      messages.push(prepared);
      heard.push(`${prepared.message.seq} ${prepared.message.kind}`);
    },
    onReset(view: StreamView) {
      heard.push(`reset ${view.state.status} ${view.snapshot() === null ? 'empty' : 'whole'}`);
    },
  };
}

export const RIG_LINGER_MS = 60_000;

export function cacheOn(bus: MarketBus, retention: StreamCacheSetup['retention'] = RETENTION_LIMITS): StreamCache {
  const metrics = createMetrics({ processMetrics: false });
  return createStreamCache({
    bus,
    clock: rigClock,
    retention,
    lingerMs: RIG_LINGER_MS,
    metrics,
    log: createLog({ level: 'silent' }),
  });
}
