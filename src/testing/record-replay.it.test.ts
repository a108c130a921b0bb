import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { recordMarketData } from '../feed/recorder.ts';
import { createLog } from '../platform/log.ts';
import type { Sandbox } from '../sandbox/index.ts';
import { openRecording, startSandbox } from '../sandbox/index.ts';
import { createSimulation } from '../sandbox/simulation/index.ts';
import type { SandboxVenue, TapeBook, TapeEvent, TapeSource } from '../sandbox/tape.ts';

const log = createLog({ level: 'silent' });
const RECORD_SECONDS = 60;
const CHANGES_WANTED = 40;

/** Kraken's simulated market trades as seldom as the recorded one: a test cannot wait for it. */
const MARKETS = [
  { venue: 'binance', symbol: 'BTC/USDT', tradesWanted: 5 },
  { venue: 'kraken', symbol: 'BTC/USD', tradesWanted: 0 },
  { venue: 'coinbase', symbol: 'ETH/USD', tradesWanted: 3 },
  { venue: 'kucoin', symbol: 'BTC/USDT', tradesWanted: 3 },
] as const;
type Wanted = Readonly<{ venue: SandboxVenue; symbol: string; tradesWanted: number }>;

let dir = '';
let sandbox: Sandbox | undefined;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'record-replay-'));
});
afterEach(async () => {
  await sandbox?.stop();
  sandbox = undefined;
  await rm(dir, { recursive: true });
});

const clock = { now: () => Date.now(), monotonic: () => performance.now() };

/** The best levels after each of an exchange's book events: what really was. */
function witness(source: TapeSource, symbol: string, seen: TapeEvent[], truth: Set<string>): TapeSource {
  return {
    ...bound(source),
    start(sink, drained) {
      source.start((event) => {
        if (event.symbol === symbol) {
          seen.push(event);
          if (event.kind === 'book') truth.add(bestOf(source.book(symbol)!));
        }
        sink(event);
      }, drained);
    },
  };
}

/** A source's own methods on a plain object, so that one of them can be replaced. */
function bound(source: TapeSource): TapeSource {
  return {
    venue: source.venue,
    origin: source.origin,
    markets: source.markets,
    now: () => source.now(),
    start: (sink, drained) => source.start(sink, drained),
    stop: () => source.stop(),
    book: (symbol) => source.book(symbol),
    trades: (symbol, limit) => source.trades(symbol, limit),
    ticker: (symbol) => source.ticker(symbol),
    candles: (symbol, timeframe, limit) => source.candles(symbol, timeframe, limit),
  };
}

/** Levels compared; KuCoin's book starts from a snapshot of a hundred. */
const COMPARED_LEVELS = 50;

/** The best levels as numbers: wires differ in how they write a decimal. */
function bestOf({ bids, asks }: TapeBook): string {
  return JSON.stringify([bids, asks].map((side) => side.slice(0, COMPARED_LEVELS).map((level) => level.map(Number))));
}

async function recordOne(
  { venue, symbol, tradesWanted }: Wanted,
  seen: TapeEvent[],
  truth: Set<string>,
): Promise<void> {
  const [source] = createSimulation({ venues: [venue], seed: 21, clock, symbols: [symbol] });
  sandbox = await startSandbox({ sources: [witness(source!, symbol, seen, truth)], log });
  const ending = new AbortController();
  const recording = recordMarketData({
    venues: [venue],
    symbols: [symbol],
    dir,
    seconds: RECORD_SECONDS,
    log,
    signal: ending.signal,
    sandboxUrl: sandbox.url,
  });
  const running = sandbox;
  await expect.poll(() => running.clients(venue), { timeout: 20_000, interval: 20 }).toBeGreaterThan(0);
  const subscribedAt = seen.length;
  const changes = (): number => seen.slice(subscribedAt).filter(({ kind }) => kind === 'book').length;
  const trades = (): number => seen.slice(subscribedAt).filter(({ kind }) => kind === 'trade').length;
  // Subscriptions follow one another; what matters has been subscribed when this much has happened.
  await expect
    .poll(() => changes() >= 2 * CHANGES_WANTED && trades() >= tradesWanted, { timeout: 30_000, interval: 20 })
    .toBe(true);
  ending.abort();
  await recording;
}

async function expectFormat(folder: string): Promise<void> {
  const text = gunzipSync(await readFile(join(folder, 'session-0001.jsonl.gz'))).toString();
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(new Set(lines.map((line) => line['t']))).toEqual(new Set(['http', 'open', 'send', 'recv']));
  const times = lines.map((line) => line['ts_us'] as number);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect(times.every(Number.isSafeInteger)).toBe(true);
  for (const { t, url } of lines) if (t === 'open' || t === 'http') expect(url).toMatch(/^(ws|http):/);
  expect(text).not.toMatch(/token=(?!TOKEN)/);
}

describe('record and replay', () => {
  it.each(MARKETS)('$venue: the book that was recorded is the book that is replayed', async (wanted) => {
    const { venue, symbol, tradesWanted } = wanted;
    const seen: TapeEvent[] = [];
    const truth = new Set<string>();
    await recordOne(wanted, seen, truth);
    expect(await readdir(dir)).toEqual([venue]);
    await expectFormat(join(dir, venue));
    const [replay] = await openRecording(dir, { speed: 0, loop: false, log });
    expect(replay!.venue).toBe(venue);
    expect(replay!.markets.map((market) => market.symbol)).toContain(symbol);
    const wrong: string[] = [];
    let replayed = 0;
    let lastId = 0;
    const numbered = venue === 'binance' || venue === 'kucoin';
    const trades: string[] = [];
    replay!.start((event) => {
      if (event.symbol !== symbol) return;
      if (event.kind === 'trade') trades.push(event.id);
      if (event.kind !== 'book') return;
      replayed += 1;
      if (numbered && lastId > 0 && event.firstId !== lastId + 1) wrong.push(`hole before ${event.firstId}`);
      lastId = event.lastId;
      const best = bestOf(replay!.book(symbol)!);
      if (!truth.has(best)) wrong.push(best);
    });
    await replay!.finished;
    expect(replayed).toBeGreaterThan(CHANGES_WANTED);
    expect(wrong).toEqual([]);
    if (tradesWanted > 0) expect(trades.length).toBeGreaterThan(0);
    const happened = new Set(seen.flatMap((event) => (event.kind === 'trade' ? [event.id] : [])));
    expect(trades.filter((id) => !happened.has(id))).toEqual([]);
  });

  it('says so when nothing could be recorded', async () => {
    const [source] = createSimulation({ venues: ['binance'], seed: 1, clock, symbols: ['BTC/USDT'] });
    sandbox = await startSandbox({ sources: [source!], log });
    const options = { venues: ['binance'], symbols: ['NOPE/USDT'], dir, seconds: 2, log, sandboxUrl: sandbox.url };
    await expect(recordMarketData(options)).rejects.toThrow('nothing was recorded');
  });
});
