// npm run bench:soak. Whether memory stays flat: the whole server with all its venues under steady use, for MINUTES (default 6).
import { setTimeout as sleep } from 'node:timers/promises';
import { describeConditions } from './lib/conditions.ts';
import { sumOf } from './lib/prometheus.ts';
import { startServer } from './lib/server-process.ts';
import { readNumber } from './lib/settings.ts';
import { startSubscribers } from './lib/subscribers.ts';

const minutes = readNumber('MINUTES', process.env.MINUTES, 6);
/** What is kept for resume covers a minute, and V8 sizes its heaps in the first few: memory grows until then by design. */
const WARM_UP_MS = Math.min(150_000, (minutes * 60_000) / 3);
const SAMPLE_MS = 2_000;
const SUBSCRIBERS = 50;
const MARKETS = ['binance:BTC/USDT', 'binance:ETH/USDT', 'kraken:BTC/USD', 'coinbase:BTC/USD', 'kucoin:BTC/USDT'];
const STREAMS = MARKETS.flatMap((market) => [
  `book:${market}:25:100ms`,
  `ticker:${market}`,
  `trades:${market}`,
  `candles:${market}:1m`,
]);
const SLOPE_BUDGET_MIB_PER_MINUTE = 2;

type Sample = Readonly<{ minute: number; rssMiB: number; heapMiB: number; threadsMiB: number }>;

/** Least squares, per minute. */
function slopeOf(samples: readonly Sample[], field: Exclude<keyof Sample, 'minute'>): number {
  const mean = (of: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [x, y] = [mean((sample) => sample.minute), mean((sample) => sample[field])];
  const covariance = mean((sample) => (sample.minute - x) * (sample[field] - y));
  return covariance / mean((sample) => (sample.minute - x) ** 2);
}

async function run(): Promise<number> {
  console.log(describeConditions());
  const server = await startServer({ env: { VENUES: 'binance,kraken,coinbase,kucoin' } });
  try {
    const subscribers = await startSubscribers(server.baseUrl, { count: SUBSCRIBERS, threads: 1, streams: STREAMS });
    subscribers.begin();
    const samples: Sample[] = [];
    const startedAt = performance.now();
    const endAt = startedAt + minutes * 60_000;
    while (performance.now() < endAt) {
      await sleep(SAMPLE_MS);
      const elapsedMs = performance.now() - startedAt;
      const now = await server.metrics();
      const rssMiB = sumOf(now, 'process_resident_memory_bytes') / 2 ** 20;
      const heapMiB = sumOf(now, 'nodejs_heap_size_used_bytes') / 2 ** 20;
      const threadsMiB = sumOf(now, 'feed_thread_heap_bytes') / 2 ** 20;
      if (elapsedMs >= WARM_UP_MS) samples.push({ minute: elapsedMs / 60_000, rssMiB, heapMiB, threadsMiB });
    }
    const { frames, closed } = await subscribers.end();
    await subscribers.stop();
    const [first, last] = [samples[0]!, samples.at(-1)!];
    const rssSlope = slopeOf(samples, 'rssMiB');
    const [heapSlope, threadsSlope] = [slopeOf(samples, 'heapMiB'), slopeOf(samples, 'threadsMiB')];
    console.log(
      `${frames} frames to ${SUBSCRIBERS} subscribers, ${closed} closed; after ${(WARM_UP_MS / 60_000).toFixed(1)} minutes of warm-up: ` +
        `RSS ${first.rssMiB.toFixed(0)} -> ${last.rssMiB.toFixed(0)} MiB, ${rssSlope.toFixed(2)} MiB a minute ` +
        `(budget: below ${SLOPE_BUDGET_MIB_PER_MINUTE}); heaps: main ${heapSlope.toFixed(2)}, venue threads ${threadsSlope.toFixed(2)} MiB a minute`,
    );
    return closed === 0 && rssSlope < SLOPE_BUDGET_MIB_PER_MINUTE ? 0 : 1;
  } finally {
    await server.stop();
  }
}

process.exitCode = await run();
