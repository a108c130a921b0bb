import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createLog } from '../platform/log.ts';
import { CAPTURES_DIR, CAPTURES_PRESENT, sayWhatIsSkipped } from '../testing/captures.ts';
import { lastBooks } from '../testing/raw-book.ts';
import type { RawLevel } from '../testing/raw-book.ts';
import { idOf as kucoinId } from './venues/kucoin-rest.ts';
import { instIdOf } from './venues/okx-rest.ts';
import { openRecording } from './index.ts';
import type { RecordingSource } from './index.ts';
import type { TapeEvent, TapeLevel } from './tape.ts';

sayWhatIsSkipped('looping recordings');

const FOLDERS = [
  'binance/spot-2024-08-08',
  'binance/spot-2021-04-05',
  'binance/spot-2021-10-12',
  'binance/usdm-2024-08-08',
  'binance/usdm-2021-07-22',
  'kraken/v2-transcoded-2021-04-05',
  'coinbase/advanced-2026-08-09',
  'kucoin/spot-2021-04-25',
  'okx/2022-05-13',
];
const PASSES = 3;
const ALL_LEVELS = 100_000;

type Book = { bids: Map<number, number>; asks: Map<number, number>; lastId: number };
/** What a client that never reconnects would notice. */
type Watch = {
  books: Map<string, Book>;
  tradeIds: Map<string, string>;
  lastTs: Map<string, number>;
  rawAfterFirstPass: number;
  /** Symbols whose bridge into the present pass has been seen. */
  bridged: Set<string>;
};

describe.skipIf(!CAPTURES_PRESENT)('a looping recording', () => {
  it.each(FOLDERS)('%s: every pass ends with the recorded books and nothing runs backwards', async (folder) => {
    const path = join(CAPTURES_DIR, folder);
    const log = createLog({ level: 'silent' });
    const [source] = await openRecording(path, { speed: 0, loop: true, log });
    const ends = lastBooks(path, ALL_LEVELS);
    const watch: Watch = {
      books: startBooks(source!),
      tradeIds: new Map(),
      lastTs: new Map(),
      rawAfterFirstPass: 0,
      bridged: new Set(),
    };
    const starts = startBooks(source!);
    let pass = 0;
    source!.start((event) => {
      if (source!.passes !== pass) {
        pass = source!.passes;
        watch.bridged.clear();
        expectEnds(source!, watch, ends, pass);
        if (pass === PASSES) source!.stop();
      }
      follow(source!, watch, event);
      const book =
        pass > 0 && event.kind === 'book' && !watch.bridged.has(event.symbol) && watch.books.get(event.symbol);
      if (!book) return;
      watch.bridged.add(event.symbol);
      const start = starts.get(event.symbol)!;
      expect([sorted(book.bids, -1), sorted(book.asks, 1)]).toEqual([sorted(start.bids, -1), sorted(start.asks, 1)]);
    });
    await source!.finished;
    expect(source!.failure).toBeUndefined();
    expect(pass).toBe(PASSES);
    expect(watch.rawAfterFirstPass).toBe(0);
  });
});

describe.skipIf(!CAPTURES_PRESENT)('a recording played once', () => {
  it.each(FOLDERS)(
    '%s: stands still with the recorded books at full depth, numbered as the exchange did',
    async (folder) => {
      const path = join(CAPTURES_DIR, folder);
      const [source] = await openRecording(path, { speed: 0, loop: false, log: createLog({ level: 'silent' }) });
      source!.start(() => {});
      await source!.finished;
      expect(source!.failure).toBeUndefined();
      const ends = lastBooks(path, ALL_LEVELS);
      for (const { symbol } of source!.markets) {
        const end = ends.get(marketId(source!, symbol));
        const book = source!.book(symbol);
        if (end === undefined || book === undefined) continue;
        expect([...numbers(book.bids)], `${symbol} bids`).toEqual(pairs(end.bids));
        expect([...numbers(book.asks)], `${symbol} asks`).toEqual(pairs(end.asks));
        if (source!.numbered) expect(book.lastId).toBe(end.id);
      }
      expect(source!.passes).toBe(1);
    },
  );
});

function startBooks(source: RecordingSource): Map<string, Book> {
  return new Map(
    source.markets.flatMap(({ symbol }) => {
      const book = source.book(symbol);
      return book === undefined
        ? []
        : [[symbol, { bids: numbers(book.bids), asks: numbers(book.asks), lastId: book.lastId }]];
    }),
  );
}

function follow(source: RecordingSource, watch: Watch, event: TapeEvent): void {
  if (source.passes > 0 && event.raw !== undefined) watch.rawAfterFirstPass += 1;
  if (event.kind === 'trade') {
    const before = watch.tradeIds.get(event.symbol);
    if (before !== undefined) expect(idOrder(before, event.id), `${before} then ${event.id}`).toBeLessThan(0);
    watch.tradeIds.set(event.symbol, event.id);
  }
  if (event.kind !== 'book') return;
  expect(event.ts, 'book times').toBeGreaterThanOrEqual(watch.lastTs.get(event.symbol) ?? 0);
  watch.lastTs.set(event.symbol, event.ts);
  const book = watch.books.get(event.symbol);
  if (book === undefined) return;
  const chained = event.previousId === undefined ? event.firstId <= book.lastId + 1 : event.previousId <= book.lastId;
  expect(chained && event.lastId > book.lastId, `${event.symbol} ${event.firstId} after ${book.lastId}`).toBe(true);
  apply(book.bids, event.bids);
  apply(book.asks, event.asks);
  book.lastId = event.lastId;
  if (source.bookDepth !== undefined) {
    cut(book.bids, source.bookDepth, -1);
    cut(book.asks, source.bookDepth, 1);
  }
}

function expectEnds(source: RecordingSource, watch: Watch, ends: ReturnType<typeof lastBooks>, pass: number): void {
  for (const [symbol, book] of watch.books) {
    const market = marketId(source, symbol);
    const end = ends.get(market);
    if (end === undefined) continue;
    expect(sorted(book.bids, -1), `${market} bids after pass ${pass}`).toEqual(pairs(end.bids));
    expect(sorted(book.asks, 1), `${market} asks after pass ${pass}`).toEqual(pairs(end.asks));
    if (source.numbered && pass === 1) expect(book.lastId).toBe(end.id);
  }
}

function marketId(source: RecordingSource, symbol: string): string {
  switch (source.venue) {
    case 'kraken':
      return symbol;
    case 'okx':
      return instIdOf(symbol);
    case 'kucoin':
    case 'coinbase':
      return kucoinId(symbol);
    case 'binance':
    case 'binanceusdm':
      return symbol.split(':')[0]!.replace('/', '');
  }
}

/** Decimal ids by value, object ids by text. */
function idOrder(a: string, b: string): number {
  if (/^\d+$/.test(a) && /^\d+$/.test(b)) return BigInt(a) < BigInt(b) ? -1 : BigInt(a) > BigInt(b) ? 1 : 0;
  return a < b ? -1 : a > b ? 1 : 0;
}

function apply(side: Map<number, number>, levels: readonly TapeLevel[]): void {
  for (const [price, size] of levels) {
    if (Number(size) === 0) side.delete(Number(price));
    else side.set(Number(price), Number(size));
  }
}

function cut(side: Map<number, number>, depth: number, sign: number): void {
  if (side.size <= depth) return;
  for (const [price] of sorted(side, sign).slice(depth)) side.delete(price!);
}

function numbers(levels: readonly TapeLevel[]): Map<number, number> {
  return new Map(levels.map(([price, size]) => [Number(price), Number(size)]));
}

function sorted(side: Map<number, number>, sign: number): number[][] {
  return [...side].toSorted(([a], [b]) => sign * (a - b));
}

function pairs(levels: readonly RawLevel[]): number[][] {
  return levels.map(([price, size]) => [Number(price), Number(size)]);
}
