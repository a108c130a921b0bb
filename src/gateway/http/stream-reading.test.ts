import { afterEach, beforeEach, expect, it } from 'vitest';
import { createStreamCache } from '../../modules/market/index.ts';
import type { StreamCache } from '../../modules/market/index.ts';
import { createMemoryBus } from '../../platform/bus-memory.ts';
import type { MarketBus, StreamHead } from '../../platform/bus.ts';
import { createLog } from '../../platform/log.ts';
import { createMetrics } from '../../platform/metrics.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { RETENTION_LIMITS } from '../../protocol/limits.ts';
import type { StreamMessage, StreamState } from '../../protocol/messages.ts';
import { readStream } from './stream-reading.ts';

const STREAM = 'ticker:binance:BTC/USDT';
const LIVE: StreamState = { status: 'live', since: 2, reason: '' };
const STARTING: StreamState = { status: 'resyncing', since: 1, reason: 'starting' };
const fields = { last: '1', bid: null, bidSize: null, ask: null, askSize: null, open: null, high: null, low: null };
const TICKER = { ...fields, baseVolume: null, quoteVolume: null };
const SNAPSHOT: StreamMessage = { stream: STREAM, epoch: 'e', seq: 1, kind: 'snapshot', ingestTs: 3, data: TICKER };

let bus: MarketBus;
let cache: StreamCache;
let metrics: Metrics;

beforeEach(() => {
  bus = createMemoryBus();
  metrics = createMetrics({ processMetrics: false });
  const clock = { now: () => 5, monotonic: () => 5 };
  const log = createLog({ level: 'silent' });
  cache = createStreamCache({ bus, clock, retention: RETENTION_LIMITS, lingerMs: 60_000, metrics, log });
});

afterEach(() => cache.stop());

function serve(head: StreamHead): void {
  bus.serve({ open: () => head, close: () => undefined });
}

it('a stream that starts is not told as doubtful because its first words came apart', async () => {
  serve({ position: { epoch: 'e', seq: 0 }, state: STARTING, snapshot: null });
  const reading = readStream(cache, STREAM, 60_000);
  bus.publish(SNAPSHOT);
  await new Promise((resolve) => setImmediate(resolve));
  bus.publish({ stream: STREAM, epoch: 'e', seq: 2, kind: 'state', ingestTs: 4, data: LIVE });
  expect(await reading).toMatchObject({ state: LIVE, message: { epoch: 'e', seq: 2, data: TICKER } });
});

it('a stream that is stale already answers at once, as stale', async () => {
  const stale: StreamState = { status: 'stale', since: 2, reason: 'silent' };
  serve({ position: { epoch: 'e', seq: 1 }, state: stale, snapshot: SNAPSHOT });
  expect(await readStream(cache, STREAM, 60_000)).toMatchObject({ state: stale, message: { data: TICKER } });
});

it('data that never comes ends in nothing, not in something made up', async () => {
  serve({ position: { epoch: 'e', seq: 0 }, state: STARTING, snapshot: null });
  expect(await readStream(cache, STREAM, 1)).toBeNull();
});

it('a reading holds its stream no longer than it takes', async () => {
  serve({ position: { epoch: 'e', seq: 1 }, state: LIVE, snapshot: SNAPSHOT });
  await readStream(cache, STREAM, 60_000);
  expect(await metrics.render()).toMatch(/stream_cache_streams\{use="active"\} 0/);
});
