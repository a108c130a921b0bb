// npm run bench:ingest. What an exchange's message costs from its frame to the bus, and how much of that is ours after ccxt's handler.
import { setTimeout as sleep } from 'node:timers/promises';
import { describeConditions } from './lib/conditions.ts';
import { makeIngestRecording } from './lib/ingest-recording.ts';
import { sumOf } from './lib/prometheus.ts';
import { freePort, startServer } from './lib/server-process.ts';
import { readNumber } from './lib/settings.ts';
import { startSubscribers } from './lib/subscribers.ts';
import { profileMainThread, profileThreads } from './lib/thread-profile.ts';

const passes = readNumber('PASSES', process.env.PASSES, 3);
const LEVELS = [10, 50, 100];
/** As many messages as some thirty markets bring: a thread that is nearly idle measures its timers. */
const SYMBOLS = readNumber('SYMBOLS', process.env.SYMBOLS, 30);
const OTHER_VENUES = ['kraken', 'coinbase', 'kucoin'];
const VENUE_THREAD = 'feed/worker';
const PROFILE_MS = 5_000;
const SETTLE_MS = 4_000;
const RECORDED_SECONDS = 20;
const RATIO_BUDGET = 0.5;

/** Microseconds a message. `main` is the way through the sequencer to the bus on the main thread. */
type Cost = Readonly<{ rate: number; ccxt: number; ours: number; main: number; runtime: number; garbage: number }>;
type Case = Readonly<{ name: string; judged: boolean; measure(): Promise<Cost> }>;

/** Feed, sequencer and bus; the gateway's copy of the streams and what follows it are the fan-out's. */
function ingestOwner(url: string): 'ingest' | 'other' | null {
  if (/\/src\/(feed|modules\/market)\//.test(url)) {
    return /(stream-cache|cached-stream|retained-messages|message-weight)\.ts$/.test(url) ? 'other' : 'ingest';
  }
  if (url.includes('/src/platform/bus')) return 'ingest';
  return url.includes('/src/') ? 'other' : null;
}

async function measure(env: Readonly<Record<string, string>>, streams: readonly string[]): Promise<Cost> {
  const inspectPort = await freePort();
  const server = await startServer({ env, nodeArguments: [`--inspect=127.0.0.1:${inspectPort}`] });
  try {
    const subscribers = await startSubscribers(server.baseUrl, { count: 1, threads: 1, streams });
    await sleep(SETTLE_MS);
    const before = await server.metrics();
    const startedMs = performance.now();
    const [thread, main] = await Promise.all([
      profileThreads(inspectPort, VENUE_THREAD, PROFILE_MS),
      profileMainThread(inspectPort, PROFILE_MS, ingestOwner),
    ]);
    const after = await server.metrics();
    const share = PROFILE_MS / (performance.now() - startedMs);
    await subscribers.stop();
    const gained = (name: string): number => (sumOf(after, name) - sumOf(before, name)) * share;
    const frames = gained('feed_frames_total');
    const threadUs = (gained('feed_thread_cpu_ms_total') * 1_000) / frames;
    return {
      rate: frames / (PROFILE_MS / 1_000),
      ccxt: threadUs * thread.ccxt,
      ours: threadUs * thread.ours,
      main: (main.ingest ?? 0) / frames,
      runtime: threadUs * thread.runtime,
      garbage: threadUs * thread.garbage,
    };
  } finally {
    await server.stop();
  }
}

function depthCase(levels: number): Case {
  return {
    name: `binance depth, ${levels} levels a side`,
    judged: true,
    async measure() {
      const recording = await makeIngestRecording({ symbols: SYMBOLS, levels, seconds: RECORDED_SECONDS });
      try {
        const streams = recording.symbols.map((symbol) => `book:binance:${symbol}:100:100ms`);
        return await measure({ VENUES: 'binance', REPLAY_DIR: recording.folder }, streams);
      } finally {
        await recording.remove();
      }
    },
  };
}

function simulatedCase(venue: string): Case {
  const quote = venue === 'kucoin' ? 'USDT' : 'USD';
  const streams = ['BTC', 'ETH', 'SOL'].flatMap((base) => [
    `book:${venue}:${base}/${quote}:100:100ms`,
    `trades:${venue}:${base}/${quote}`,
    `ticker:${venue}:${base}/${quote}`,
  ]);
  return { name: `${venue}, simulated`, judged: false, measure: () => measure({ VENUES: venue }, streams) };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

async function run(): Promise<number> {
  console.log(describeConditions());
  const cases = [...LEVELS.map(depthCase), ...OTHER_VENUES.map(simulatedCase)];
  const costs = new Map<Case, Cost[]>(cases.map((each) => [each, []]));
  // Interleaved: a machine that changes its pace does so to all.
  for (let pass = 0; pass < passes; pass++) {
    for (const each of cases) costs.get(each)!.push(await each.measure());
  }
  console.log(`medians of ${passes} passes, microseconds of CPU a message`);
  console.log('case                            frames/s    ccxt   ours  +main  runtime     gc   ours/ccxt');
  let failed = false;
  for (const [{ name, judged }, list] of costs) {
    const of = (key: keyof Cost): string => median(list.map((cost) => cost[key])).toFixed(0);
    const ratio = median(list.map(({ ours, main, ccxt }) => (ours + main) / ccxt));
    const columns = [of('rate').padStart(9), of('ccxt').padStart(8), of('ours').padStart(7), of('main').padStart(7)];
    columns.push(of('runtime').padStart(9), of('garbage').padStart(7), ratio.toFixed(2).padStart(12));
    console.log(`${name.padEnd(30)}${columns.join('')}${judged && ratio > RATIO_BUDGET ? ' over the budget' : ''}`);
    failed ||= judged && ratio > RATIO_BUDGET;
  }
  console.log(`budget: ours, both threads together, at most ${RATIO_BUDGET} of ccxt's, for Binance depth`);
  return failed ? 1 : 0;
}

process.exitCode = await run();
