import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { FeedTrade } from '../modules/market/upstream.ts';
import { Outbox } from './outbox.ts';
import type { BookEvent, ThreadEvent } from './thread-protocol.ts';

const KEY = 'trades:x:A/B';
const BOOK = 'book:x:A/B';
const trade = (id: number): FeedTrade => ({ id: String(id), price: '1', size: '1', side: null, ts: id });
const trades = (first: number, count: number): FeedTrade[] =>
  Array.from({ length: count }, (_, index) => trade(first + index));

describe('Outbox', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  function open(over: { creditBatches?: number; tradesWaiting?: number } = {}) {
    const batches: ThreadEvent[][] = [];
    const outbox = new Outbox({
      post: ({ events }) => void batches.push([...events]),
      now: () => performance.now(),
      bookIntervalMs: 20,
      creditBatches: 2,
      tradesWaiting: 100,
      ...over,
    });
    let nonce = 0;
    const readBook = (): BookEvent => {
      const levels = () => new Float64Array([1, nonce]);
      return { type: 'book', key: BOOK, bids: levels(), asks: levels(), exchangeSeq: nonce, ingestTs: 0 };
    };
    outbox.open(KEY);
    outbox.open(BOOK, readBook);
    const change = (): void => {
      nonce += 1;
      outbox.bookChanged(BOOK);
    };
    return { outbox, batches, change };
  }
  const seqs = (batches: ThreadEvent[][]): unknown[] =>
    batches.flat().map((event) => (event.type === 'book' ? event.exchangeSeq : event.type));

  it('posts the first change of a book at once and then not more often than agreed, the latest each time', () => {
    const { batches, change } = open({ creditBatches: 1_000 });
    for (let ms = 0; ms < 100; ms++) {
      change();
      vi.advanceTimersByTime(1);
    }
    const posted = seqs(batches);
    expect(posted[0]).toBe(1);
    expect(posted.length).toBeGreaterThanOrEqual(4);
    expect(posted.length).toBeLessThanOrEqual(6);
    vi.advanceTimersByTime(50);
    expect(seqs(batches).at(-1)).toBe(100);
  });

  it('gathers the books of a busy venue, but lets nothing else wait for them', () => {
    const { outbox, batches } = open({ creditBatches: 1_000 });
    const markets = Array.from({ length: 30 }, (_, index) => `book:x:M${index}/B`);
    for (const key of markets) {
      const event = { type: 'book' as const, key, bids: new Float64Array(), asks: new Float64Array(), ingestTs: 0 };
      outbox.open(key, () => event);
    }
    // As an exchange sends them: each market every 100 ms, one after the other.
    for (let turn = 0; turn < 300; turn++) {
      outbox.bookChanged(markets[turn % 30]!);
      vi.advanceTimersByTime(turn % 3 === 0 ? 4 : 3);
    }
    vi.advanceTimersByTime(20);
    expect(batches.flat()).toHaveLength(300);
    expect(batches.length).toBeLessThanOrEqual(53);
    outbox.bookChanged(markets[0]!);
    vi.advanceTimersByTime(5);
    const before = batches.length;
    outbox.bookChanged(markets[1]!);
    outbox.ticker(KEY, { last: '1' }, undefined, 0);
    vi.advanceTimersByTime(1);
    expect(batches).toHaveLength(before + 1);
    expect(batches.at(-1)!.map(({ type }) => type)).toContain('ticker');
    expect(batches.at(-1)!.map(({ type }) => type)).toContain('book');
  });

  it('holds a bounded amount for a main thread that takes nothing, and the latest book when it comes back', () => {
    const { outbox, batches, change } = open();
    for (let round = 0; round < 1_000; round++) {
      change();
      vi.advanceTimersByTime(30);
    }
    expect(batches).toHaveLength(2);
    expect(outbox.conflated).toBeGreaterThan(900);
    outbox.ack(2);
    vi.advanceTimersByTime(30);
    expect(batches).toHaveLength(3);
    expect(seqs(batches).at(-1)).toBe(1_000);
  });

  it('refuses trades past the limit instead of growing, and says so to its caller', () => {
    const { outbox, batches } = open({ creditBatches: 1 });
    outbox.trades(KEY, trades(1, 1), 0);
    vi.advanceTimersByTime(1);
    expect(outbox.trades(KEY, trades(2, 100), 0)).toBe(true);
    expect(outbox.trades(KEY, trades(102, 1), 0)).toBe(false);
    outbox.doubt(KEY, 'overflow');
    outbox.fresh(KEY);
    outbox.ack(1);
    vi.advanceTimersByTime(1);
    expect(batches[1]!.map(({ type }) => type)).toEqual(['trades', 'doubt', 'fresh']);
    expect(outbox.trades(KEY, trades(200, 100), 0)).toBe(true);
  });

  it('keeps the order of data, doubt, its end and fresh data', () => {
    const { outbox, batches } = open();
    outbox.trades(KEY, trades(1, 2), 0);
    outbox.doubt(KEY, 'trade id gap');
    outbox.fresh(KEY);
    outbox.trades(KEY, trades(5, 1), 0);
    vi.advanceTimersByTime(1);
    expect(batches[0]!.map(({ type }) => type)).toEqual(['trades', 'doubt', 'fresh', 'trades']);
  });

  it('never posts a book that was doubted after it changed', () => {
    const { outbox, batches, change } = open();
    change();
    outbox.doubt(BOOK, 'checksum mismatch');
    vi.advanceTimersByTime(100);
    expect(seqs(batches)).toEqual(['doubt']);
    outbox.fresh(BOOK);
    change();
    vi.advanceTimersByTime(1);
    expect(seqs(batches)).toEqual(['doubt', 'fresh', 2]);
  });

  it('merges doubts that pile up, so that a broken stream cannot fill the memory', () => {
    const { outbox, batches } = open({ creditBatches: 1 });
    outbox.ticker(KEY, { last: '1' }, undefined, 0);
    vi.advanceTimersByTime(1);
    for (let round = 0; round < 1_000; round++) {
      outbox.doubt(KEY, 'disconnected');
      outbox.fresh(KEY);
      outbox.ticker(KEY, { last: String(round) }, undefined, 0);
      outbox.ticker(KEY, { bid: String(round) }, undefined, 0);
    }
    outbox.ack(1);
    vi.advanceTimersByTime(1);
    expect(batches[1]!.map(({ type }) => type)).toEqual(['doubt', 'fresh', 'ticker']);
    expect(batches[1]![2]).toMatchObject({ fields: { last: '999', bid: '999' } });
  });

  it('keeps history and running candles apart and the latest of each', () => {
    const { outbox, batches } = open({ creditBatches: 1 });
    const candle = (ts: number, close: string) => ({ ts, open: '1', high: '9', low: '1', close, volume: '1' });
    outbox.candles(KEY, [candle(0, '1')], true, 0);
    outbox.candles(KEY, [candle(60, '2')], false, 0);
    outbox.candles(KEY, [candle(60, '3')], false, 0);
    outbox.candles(KEY, [candle(0, '4')], true, 0);
    vi.advanceTimersByTime(1);
    expect(batches[0]).toMatchObject([
      { history: true, candles: [{ ts: 0, close: '4' }] },
      { history: false, candles: [{ ts: 60, close: '3' }] },
    ]);
  });

  it('delivers nothing of a stream that has been given up', () => {
    const { outbox, batches, change } = open();
    change();
    outbox.trades(KEY, trades(1, 1), 0);
    outbox.close(BOOK);
    outbox.close(KEY);
    outbox.trades(KEY, trades(2, 1), 0);
    vi.advanceTimersByTime(100);
    expect(batches).toEqual([]);
  });
});
