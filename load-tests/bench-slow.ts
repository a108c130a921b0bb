// npm run bench:slow. What clients that never read cost the others: latency with and without them in one run, and memory.
import { setTimeout as sleep } from 'node:timers/promises';
import { describeConditions, inMs } from './lib/conditions.ts';
import { NeverReaders } from './lib/never-readers.ts';
import { sumOf } from './lib/prometheus.ts';
import type { Samples } from './lib/prometheus.ts';
import type { ServerProcess } from './lib/server-process.ts';
import { startServer } from './lib/server-process.ts';
import { readNumber, readSettings } from './lib/settings.ts';
import { addLatency, emptyLatency, overall, startSubscribers } from './lib/subscribers.ts';
import type { ChannelLatency, Subscribers } from './lib/subscribers.ts';

const settings = readSettings(process.env, { users: 200, seconds: 7 });
const slowCount = readNumber('SLOW', process.env.SLOW, 100);
/** What a never-reading client is subscribed to: as many bytes as one market gives. */
const HEAVY_STREAMS = [
  ...['100ms', '250ms', '1s'].map((rate) => `book:binance:BTC/USDT:100:${rate}`),
  ...['1m', '5m', '15m', '1h', '4h', '1d'].map((timeframe) => `candles:binance:BTC/USDT:${timeframe}`),
  'trades:binance:BTC/USDT',
];
/** The measurement with never-reading clients begins when the server has found this share of them slow. */
const SLOW_SHARE = 0.9;
const FILL_LIMIT_MS = 40_000;
/** The server gives up on a backlog that is 10 s old. */
const CLOSE_LIMIT_MS = 20_000;
const SETTLE_MS = 2_000;
const SAMPLE_MS = 500;
/** Pairs of phases, without and with, so that a machine that changes its pace does so to both. */
const ROUNDS = 2;
const RATIO_BUDGET = 2;

type Phase = Readonly<{ latency: ChannelLatency; frames: number; peakRssMiB: number; peakQueuedMiB: number }>;

async function measure(server: ServerProcess, subscribers: Subscribers): Promise<Phase> {
  subscribers.begin();
  let peakRssMiB = 0;
  let peakQueuedMiB = 0;
  const endAt = performance.now() + settings.durationMs;
  while (performance.now() < endAt) {
    await sleep(SAMPLE_MS);
    const now = await server.metrics();
    peakRssMiB = Math.max(peakRssMiB, sumOf(now, 'process_resident_memory_bytes') / 2 ** 20);
    peakQueuedMiB = Math.max(peakQueuedMiB, sumOf(now, 'gateway_queued_bytes') / 2 ** 20);
  }
  const counts = await subscribers.end();
  if (counts.closed > 0) throw new Error(`${counts.closed} healthy subscribers were closed`);
  return { latency: overall(counts), frames: counts.frames, peakRssMiB, peakQueuedMiB };
}

/** Resolves when the server's metrics say so; answers how many seconds that took. */
async function until(
  server: ServerProcess,
  what: string,
  limitMs: number,
  holds: (now: Samples) => boolean,
): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    const elapsedMs = performance.now() - startedAt;
    if (holds(await server.metrics())) return elapsedMs / 1_000;
    if (elapsedMs > limitMs) throw new Error(`never-reading clients were not ${what} within ${limitMs} ms`);
    await sleep(SAMPLE_MS);
  }
}

const closedAsSlow = (now: Samples): number => sumOf(now, 'gateway_closes_total', 'code="3008"');

function print(name: string, phase: Phase): void {
  const { latency, frames, peakRssMiB, peakQueuedMiB } = phase;
  const [p50, p99] = [0.5, 0.99].map((share) => inMs(latency.ingestToReceived.quantile(share)));
  console.log(
    `${name.padEnd(28)} p50 ${p50} ms, p99 ${p99} ms, ${frames} frames; RSS up to ${peakRssMiB.toFixed(0)} MiB, queued up to ${peakQueuedMiB.toFixed(1)} MiB`,
  );
}

async function run(): Promise<number> {
  console.log(describeConditions());
  const server = await startServer();
  try {
    const subscribers = await startSubscribers(server.baseUrl, {
      count: settings.users,
      threads: 1,
      streams: settings.streams,
    });
    await sleep(SETTLE_MS);
    const all = { without: emptyLatency(), with: emptyLatency() };
    for (let round = 1; round <= ROUNDS; round++) {
      const without = await measure(server, subscribers);
      print(`round ${round}: ${settings.users} healthy`, without);
      const slow = await NeverReaders.start(server.baseUrl, slowCount, HEAVY_STREAMS);
      const fillSeconds = await until(server, 'found slow', FILL_LIMIT_MS, (now) => {
        return sumOf(now, 'gateway_conflating') >= slowCount * SLOW_SHARE;
      });
      slow.rest();
      const withSlow = await measure(server, subscribers);
      print(`round ${round}: and ${slowCount} never reading`, withSlow);
      await until(server, 'closed', CLOSE_LIMIT_MS, (now) => closedAsSlow(now) >= slowCount * round);
      slow.stop();
      console.log(`  found slow ${fillSeconds.toFixed(0)} s after they came, and all closed with 3008`);
      addLatency(all.without, without.latency);
      addLatency(all.with, withSlow.latency);
      await sleep(SETTLE_MS);
    }
    const ratioOf = (part: keyof ChannelLatency): number =>
      all.with[part].quantile(0.99) / all.without[part].quantile(0.99);
    const ratio = ratioOf('ingestToReceived');
    console.log(
      `healthy p99 with / without, both rounds together: ingest->received ${ratio.toFixed(2)} (budget: below ${RATIO_BUDGET}), sent->received ${ratioOf('sentToReceived').toFixed(2)}`,
    );
    const rss = sumOf(await server.metrics(), 'process_resident_memory_bytes') / 2 ** 20;
    console.log(`RSS in the end ${rss.toFixed(0)} MiB`);
    await subscribers.stop();
    return ratio < RATIO_BUDGET ? 0 : 1;
  } finally {
    await server.stop();
  }
}

process.exitCode = await run();
