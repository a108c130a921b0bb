import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createLog } from '../platform/log.ts';
import { openRecording } from '../sandbox/index.ts';
import type { TapeEvent, TapeSource } from '../sandbox/index.ts';
import { createSimulation } from '../sandbox/simulation/index.ts';
import { BookClients, pause } from './book-clients.ts';
import { plainName, recordedTruth, TapeTruth } from './book-truth.ts';
import { startLiveStack } from './live-stack.ts';
import type { LiveStack } from './live-stack.ts';

const CAPTURES_DIR = process.env['CAPTURES_DIR'] ?? resolve(import.meta.dirname, '../../../shared/captures');
/** The deepest tier that the clients below subscribe to; every level of it is compared. */
const DEPTH = 10;

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function until(what: string, limitMs: number, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not within ${limitMs} ms: ${what}`);
    await pause(50);
  }
}

async function stackOf(sources: readonly TapeSource[], faults?: string): Promise<LiveStack> {
  const stack = await startLiveStack({ sources, seed: 11, ...(faults === undefined ? {} : { faults }) });
  cleanups.push(() => stack.stop());
  return stack;
}

type Run = {
  folder: string;
  symbols: string[];
  speed: number;
  clients: number;
  cuts: number;
  meanMs: number;
  faults?: string;
};

async function replay({ folder, symbols, speed, clients, cuts, meanMs, faults }: Run) {
  const path = join(CAPTURES_DIR, folder);
  const [source] = await openRecording(path, { speed, loop: false, log: createLog({ level: 'silent' }) });
  const truths = recordedTruth(path, symbols, DEPTH);
  const stack = await stackOf([source!], faults);
  const books = new BookClients({
    port: stack.port,
    venue: source!.venue,
    symbols,
    truth: (symbol) => truths.get(plainName(symbol))!,
    clients,
    seed: 5,
  });
  cleanups.push(() => books.stop());
  await books.start();
  let finished = false;
  void source!.finished.then(() => (finished = true));
  await books.cutAtRandom(cuts, meanMs);
  await until('the recording has played', 90_000, () => finished);
  return { books, stack, truths };
}

describe.skipIf(!existsSync(CAPTURES_DIR))(`books against recordings (skipped without ${CAPTURES_DIR})`, () => {
  it('500 disconnects in one run never show a wrong book, and all end with the right one', async () => {
    const folder = 'binance/spot-2024-08-08';
    const run = { folder, symbols: ['BTC/USDT', 'ETH/USDT'], speed: 10, clients: 8, cuts: 500, meanMs: 400 };
    const { books } = await replay(run);
    await until('all books are the last ones', 20_000, () => books.unfinished().length === 0);
    expect(books.objections).toEqual([]);
    expect(books.cuts).toBeGreaterThanOrEqual(500);
    expect(books.compared).toBeGreaterThan(2_000);
    expect(books.counters().reconnects).toBeGreaterThanOrEqual(400);
  });

  it.each<Run>([
    {
      folder: 'binance/spot-2021-04-05',
      symbols: ['ZIL/USDT', 'BTC/AUD'],
      speed: 8,
      clients: 4,
      cuts: 40,
      meanMs: 300,
    },
    {
      folder: 'binance/spot-2021-10-12',
      symbols: ['NKN/USDT', 'RUNE/EUR'],
      speed: 4,
      clients: 4,
      cuts: 20,
      meanMs: 300,
    },
    { folder: 'binance/usdm-2024-08-08', symbols: ['BTC/USDT:USDT'], speed: 20, clients: 4, cuts: 40, meanMs: 300 },
    { folder: 'binance/usdm-2021-07-22', symbols: ['SUSHI/USDT:USDT'], speed: 3, clients: 4, cuts: 20, meanMs: 300 },
    {
      folder: 'kraken/v2-transcoded-2021-04-05',
      symbols: ['BTC/USD', 'ALGO/BTC'],
      speed: 8,
      clients: 4,
      cuts: 40,
      meanMs: 300,
    },
    {
      folder: 'coinbase/advanced-2026-08-09',
      symbols: ['BTC/USD', 'ETH/USD'],
      speed: 2,
      clients: 4,
      cuts: 40,
      meanMs: 300,
    },
    { folder: 'kucoin/spot-2021-04-25', symbols: ['SNX/BTC', 'ANKR/BTC'], speed: 2, clients: 4, cuts: 40, meanMs: 300 },
    { folder: 'okx/2022-05-13', symbols: ['BTC/USDT'], speed: 1, clients: 4, cuts: 20, meanMs: 300 },
  ])('$folder: every book shown as live is one that the exchange had, through $cuts disconnects', async (run) => {
    const { books } = await replay(run);
    await until('all books are the last ones', 20_000, () => books.unfinished().length === 0);
    expect(books.objections).toEqual([]);
    expect(books.compared).toBeGreaterThan(20);
  });

  const FAULTS = ['gap', 'duplicate', 'reorder', 'garbage', 'crossed'].map((fault) => `${fault} */book 1%`);
  it.each<Run>([
    { folder: 'binance/spot-2024-08-08', symbols: ['BTC/USDT'], speed: 10, clients: 4, cuts: 30, meanMs: 500 },
    { folder: 'kraken/v2-transcoded-2021-04-05', symbols: ['BTC/USD'], speed: 4, clients: 4, cuts: 30, meanMs: 500 },
    { folder: 'coinbase/advanced-2026-08-09', symbols: ['BTC/USD'], speed: 1, clients: 4, cuts: 30, meanMs: 500 },
    { folder: 'kucoin/spot-2021-04-25', symbols: ['SNX/BTC'], speed: 1, clients: 4, cuts: 30, meanMs: 500 },
  ])('$folder: faults at 1 % of the frames never make a wrong book look live', async (run) => {
    const extra = run.folder.startsWith('kraken') ? ['wrong-checksum */book 1%'] : [];
    const { books } = await replay({ ...run, faults: [...FAULTS, ...extra, 'disconnect * 0.1%'].join('; ') });
    expect(books.objections).toEqual([]);
    expect(books.compared).toBeGreaterThan(20);
  });
});

describe('books against the simulation', () => {
  it('every book shown as live is one that the simulated exchange had, through faults and disconnects', async () => {
    const clock = { now: () => Date.now(), monotonic: () => performance.now() };
    const [source] = createSimulation({ venues: ['binance'], seed: 3, clock, symbols: ['BTC/USDT'] });
    const truth = new TapeTruth(DEPTH);
    const start = source!.start.bind(source);
    source!.start = (sink) => {
      truth.begin('BTC/USDT', source!.book('BTC/USDT')!);
      start((event: TapeEvent) => {
        truth.onEvent(event);
        sink(event);
      });
    };
    const faults = ['gap', 'duplicate', 'reorder', 'garbage', 'crossed'].map((fault) => `${fault} */book 1%`);
    const stack = await stackOf([source!], faults.join('; '));
    const options = { port: stack.port, venue: 'binance', symbols: ['BTC/USDT'], clients: 4, seed: 9 };
    const books = new BookClients({ ...options, truth: (symbol) => truth.truths.get(symbol)! });
    cleanups.push(() => books.stop());
    await books.start();
    await books.cutAtRandom(60, 800);
    await until('all books live again', 20_000, () => books.live() === books.total);
    expect(books.objections).toEqual([]);
    expect(books.compared).toBeGreaterThan(100);
  });
});
