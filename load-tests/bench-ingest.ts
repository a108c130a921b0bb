// npm run bench:ingest. What an exchange's message costs from its frame to the bus, and how much of that is ours after ccxt's handler.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describeConditions } from './lib/conditions.ts';
import { mainThreadMs } from './lib/cpu-time.ts';
import { LIVE_MODES, playLive } from './lib/ingest-live.ts';
import type { LiveCase, LiveMode } from './lib/ingest-live.ts';
import { RECORDING_NAME, UPDATES_PER_SECOND, makeIngestRecording } from './lib/ingest-recording.ts';
import { sumOf } from './lib/prometheus.ts';
import { freePort, startServer } from './lib/server-process.ts';
import { readNumber } from './lib/settings.ts';
import { startSubscribers } from './lib/subscribers.ts';
import { profileMainThread, profileThreads } from './lib/thread-profile.ts';

const passes = readNumber('PASSES', process.env.PASSES, 3);
const LEVELS = [10, 50, 100];
/** As many messages as some thirty markets bring: a thread that is nearly idle measures its timers. */
const SYMBOLS = readNumber('SYMBOLS', process.env.SYMBOLS, 30);
const OTHER_VENUES = process.env.DEPTH_ONLY === 'true' ? [] : ['kraken', 'coinbase', 'kucoin'];
/** Recorded Binance depth for the saturated part, where there is any. */
const RECORDED = ['binance/spot-2024-08-08/btcusdt.jsonl.gz', 'binance/spot-2021-04-05/session.jsonl.gz'];
/** The process that has the product's insides. */
const PASS_PROGRAM = resolve(import.meta.dirname, '../src/testing/ingest-pass.ts');
const SATURATED_FRAMES = 20_000;
const VENUE_THREAD = 'feed/worker';
const PROFILE_MS = 8_000;
/** A thread that handles ten messages a second of each market needs this long until its code is compiled. */
const SETTLE_MS = 12_000;
const RECORDED_SECONDS = 40;
const RATIO_BUDGET = 0.5;
/** Markets of the live part: as many as keep a core busy for a quarter to a third of the time. */
const LIVE_MARKETS: Readonly<Record<number, number>> = { 10: 300, 50: 200, 100: 150 };

/** Microseconds a message. `main` is the way through the sequencer to the bus on the main thread. */
type Cost = Readonly<{ rate: number; ccxt: number; ours: number; main: number; runtime: number; garbage: number }>;
type Case = Readonly<{ name: string; judged: boolean; measure(): Promise<Cost> }>;
/** A recording, or one that is made with so many levels a side. */
type Source = Readonly<{ name: string; judged: boolean; levels: number; file?: string }>;
/** All CPU of a process, microseconds a frame: ccxt alone, and all of the path. */
type Saturated = Readonly<{ ccxt: number; whole: number }>;

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
    const mainBeforeMs = mainThreadMs(server.pid);
    const startedMs = performance.now();
    const [thread, main] = await Promise.all([
      profileThreads(inspectPort, VENUE_THREAD, PROFILE_MS),
      profileMainThread(inspectPort, PROFILE_MS, ingestOwner),
    ]);
    const mainAfterMs = mainThreadMs(server.pid);
    const after = await server.metrics();
    if (mainBeforeMs === null || mainAfterMs === null) throw new Error('bench:ingest needs /proc');
    const share = PROFILE_MS / (performance.now() - startedMs);
    await subscribers.stop();
    const gained = (name: string): number => (sumOf(after, name) - sumOf(before, name)) * share;
    const frames = gained('feed_frames_total');
    const threadUs = (gained('feed_thread_cpu_ms_total') * 1_000) / frames;
    return {
      rate: frames / (PROFILE_MS / 1_000),
      ccxt: threadUs * thread.ccxt,
      ours: threadUs * thread.ours,
      main: ((main.ingest ?? 0) * (mainAfterMs - mainBeforeMs) * share * 1_000) / frames,
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

/** The same frames at the same virtual times, back to back: no sockets, no idle processor, and all that we add counts. */
async function saturate({ file, levels }: Source): Promise<Saturated> {
  if (file !== undefined) return { ccxt: await playOnce('ccxt', file), whole: await playOnce('whole', file) };
  const seconds = Math.ceil(SATURATED_FRAMES / (SYMBOLS * UPDATES_PER_SECOND));
  const recording = await makeIngestRecording({ symbols: SYMBOLS, levels, seconds });
  try {
    const made = join(recording.folder, RECORDING_NAME);
    return { ccxt: await playOnce('ccxt', made), whole: await playOnce('whole', made) };
  } finally {
    await recording.remove();
  }
}

async function playOnce(mode: 'ccxt' | 'whole', file: string): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, [PASS_PROGRAM, mode, file]);
  return (JSON.parse(stdout) as { us: number }).us;
}

function saturatedSources(): Source[] {
  const folder = process.env.CAPTURES_DIR;
  const recorded = RECORDED.filter((name) => folder !== undefined && existsSync(join(folder, name)));
  return [
    ...LEVELS.map((levels) => ({ name: `binance depth, ${levels} levels a side`, levels, judged: true })),
    ...recorded.map((name) => ({
      name: `recorded ${name.split('/')[1]!}`,
      file: join(folder!, name),
      levels: 0,
      judged: false,
    })),
  ];
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** Interleaved: a machine that changes its pace does so to all. */
async function interleave<Item, Result>(items: readonly Item[], run: (item: Item) => Promise<Result>) {
  const results = items.map((item) => ({ item, list: [] as Result[] }));
  for (let pass = 0; pass < passes; pass++) {
    for (const { item, list } of results) list.push(await run(item));
  }
  return results;
}

/** Answers whether the budget is kept. */
async function runPaced(): Promise<boolean> {
  const cases = [...LEVELS.map(depthCase), ...OTHER_VENUES.map(simulatedCase)];
  const results = await interleave(cases, (each) => each.measure());
  console.log(`paced as the exchange sends: medians of ${passes} passes, microseconds of CPU a message`);
  console.log('case                            frames/s    ccxt   ours  +main  runtime     gc   ours/ccxt');
  let kept = true;
  for (const { item, list } of results) {
    const of = (key: keyof Cost): string => median(list.map((cost) => cost[key])).toFixed(0);
    const ratio = median(list.map(({ ours, main, ccxt }) => (ours + main) / ccxt));
    const columns = [of('rate').padStart(9), of('ccxt').padStart(8), of('ours').padStart(7), of('main').padStart(7)];
    columns.push(of('runtime').padStart(9), of('garbage').padStart(7), ratio.toFixed(2).padStart(12));
    console.log(`${item.name.padEnd(30)}${columns.join('')}${verdict(item.judged, ratio)}`);
    kept &&= !item.judged || ratio <= RATIO_BUDGET;
  }
  return kept;
}

async function runSaturated(): Promise<boolean> {
  const results = await interleave(saturatedSources(), saturate);
  console.log(`saturated: medians of ${passes} passes, microseconds of CPU of the whole process a message`);
  console.log('case                          ccxt alone   with all of ours   (with - alone) / alone');
  let kept = true;
  for (const { item, list } of results) {
    const ratio = median(list.map(({ ccxt, whole }) => (whole - ccxt) / ccxt));
    const [ccxt, whole] = [median(list.map((cost) => cost.ccxt)), median(list.map((cost) => cost.whole))];
    const columns = [ccxt.toFixed(1).padStart(10), whole.toFixed(1).padStart(19), ratio.toFixed(2).padStart(25)];
    console.log(`${item.name.padEnd(30)}${columns.join('')}${verdict(item.judged, ratio)}`);
    kept &&= !item.judged || ratio <= RATIO_BUDGET;
  }
  return kept;
}

async function playModes(live: LiveCase): Promise<Record<LiveMode, number>> {
  const costs = { ccxt: 0, handler: 0, whole: 0 };
  for (const mode of LIVE_MODES) costs[mode] = (await playLive(mode, live)).us;
  return costs;
}

async function runLive(): Promise<boolean> {
  const cases = LEVELS.map((levels) => ({ levels, markets: LIVE_MARKETS[levels]! }));
  const results = await interleave(cases, playModes);
  console.log(`live: medians of ${passes} passes, microseconds of CPU of the whole process a message`);
  console.log(
    '                               messages/s   ccxt   its handler   with ours   (with - ccxt) / ccxt   strict',
  );
  let kept = true;
  for (const { item, list } of results) {
    const us = (mode: LiveMode): string => median(list.map((costs) => costs[mode])).toFixed(0);
    const ratio = median(list.map(({ ccxt, whole }) => (whole - ccxt) / ccxt));
    const strict = median(list.map(({ handler, whole }) => (whole - handler) / handler));
    const columns = [
      String(item.markets * UPDATES_PER_SECOND).padStart(11),
      us('ccxt').padStart(7),
      us('handler').padStart(14),
    ];
    columns.push(us('whole').padStart(12), ratio.toFixed(2).padStart(23), strict.toFixed(2).padStart(9));
    console.log(
      `${`binance depth, ${item.levels} levels a side`.padEnd(30)}${columns.join('')}${verdict(true, ratio)}`,
    );
    kept &&= ratio <= RATIO_BUDGET;
  }
  return kept;
}

function verdict(judged: boolean, ratio: number): string {
  return judged && ratio > RATIO_BUDGET ? ' over the budget' : '';
}

console.log(describeConditions());
const PARTS = { saturated: runSaturated, live: runLive, paced: runPaced };
const part = process.env.INGEST_PART ?? '';
if (part !== '' && !Object.hasOwn(PARTS, part))
  throw new Error(`INGEST_PART must be one of ${Object.keys(PARTS).join(', ')}`);
const kept: boolean[] = [];
for (const [name, run] of Object.entries(PARTS)) if (part === '' || part === name) kept.push(await run());
console.log(`budget: ours, both threads together, at most ${RATIO_BUDGET} of ccxt's, for Binance depth`);
process.exitCode = kept.every(Boolean) ? 0 : 1;
