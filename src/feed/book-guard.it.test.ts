import { beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../kernel/random.ts';
import { loadExchangeClass } from './adapter-ccxt.ts';
import { bestLevels, guardBook, isCrossed, isSpoiled, rangeOf } from './book-guard.ts';
import type { CcxtBook, CcxtExchange } from './ccxt-surface.ts';

let exchange: CcxtExchange;
beforeAll(async () => {
  exchange = new (await loadExchangeClass('kraken'))({});
});

const guarded = (snapshotLevels?: number, ignoresZeroPrice = false): CcxtBook =>
  guardBook(exchange.orderBook({}), { ignoresZeroPrice, snapshotLevels });
const prices = (levels: Float64Array): number[] => [...levels].filter((_, index) => index % 2 === 0);

describe("guard around ccxt's book", () => {
  it('deletes levels whose size comes as the text "0", which ccxt alone would keep', () => {
    const plain = exchange.orderBook({});
    plain.bids.storeArray(['100.5', '2']);
    plain.bids.storeArray(['100.5', '0']);
    expect(plain.bids).toHaveLength(1);
    const book = guarded();
    book.bids.storeArray(['100.5', '2']);
    book.bids.storeArray(['99.5', '1']);
    book.bids.storeArray(['100.5', '0']);
    expect([...bestLevels(book, book.bids, 10)]).toEqual([99.5, 1]);
    expect(isSpoiled(book)).toBe(false);
  });

  it('keeps impossible values out and never believes the book again', () => {
    for (const level of [
      [Number.NaN, 1],
      [Infinity, 1],
      [-1, 1],
      [0, 1],
      [1, -1],
      [1, Number.NaN],
      [1, Infinity],
      [1, undefined],
      [1, null],
      ['x', '1'],
      [],
    ]) {
      const book = guarded();
      book.asks.storeArray([2, 1]);
      book.asks.storeArray(level);
      expect([...bestLevels(book, book.asks, 10)]).toEqual([2, 1]);
      expect(isSpoiled(book)).toBe(true);
    }
  });

  it.each([[[1, 1]], [['1', '1']]])('lets no side grow without end, and believes no book that would: %j', (level) => {
    const book = guarded();
    book.bids.length = 100_000;
    book.bids.storeArray(level);
    expect(book.bids).toHaveLength(100_000);
    expect(isSpoiled(book)).toBe(true);
  });

  it('takes a price of 0 for a message to be ignored where the exchange means it so', () => {
    const book = guarded(undefined, true);
    book.asks.storeArray([0, 5]);
    expect(book.asks).toHaveLength(0);
    expect(isSpoiled(book)).toBe(false);
  });

  it('calls a locked book crossed and a one-sided one not', () => {
    const book = guarded();
    book.bids.storeArray([100, 1]);
    expect(isCrossed(book)).toBe(false);
    book.asks.storeArray([100.5, 1]);
    expect(isCrossed(book)).toBe(false);
    book.bids.storeArray([100.5, 1]);
    expect(isCrossed(book)).toBe(true);
  });
});

/** An exchange with more levels than its snapshots tell. */
class DeepMarket {
  readonly bids = new Map<number, number>();
  nonce = 0;
  readonly #random = seededRandom(11);

  constructor() {
    for (let price = 1; price <= 500; price++) this.bids.set(price, 1);
  }

  /** The market falls: bids are taken from above, and sizes change anywhere. */
  change(best: number): [number, number] {
    this.nonce += 1;
    const anywhere = this.#random() < 0.5;
    const price = anywhere ? Math.max(1, best - Math.floor(this.#random() * 150)) : best;
    const size = anywhere ? Math.floor(this.#random() * 5) : 0;
    if (size === 0) this.bids.delete(price);
    else this.bids.set(price, size);
    return [price, size];
  }

  best(count: number): [number, number][] {
    return [...this.bids].toSorted((a, b) => b[0] - a[0]).slice(0, count);
  }

  snapshot(): { nonce: number; bids: [number, number][]; asks: [] } {
    return { nonce: this.nonce, bids: this.best(100), asks: [] };
  }
}

describe('range of a book', () => {
  it('shows no level that an unknown one may lie before, while the market moves to the end of what is known', () => {
    const market = new DeepMarket();
    const book = guarded(100);
    book.reset(market.snapshot());
    const range = rangeOf(book)!;
    let shortest = 100;
    for (let step = 0; step < 400; step++) {
      const best = market.best(1)[0]![0];
      book.bids.storeArray(market.change(best));
      const shown = bestLevels(book, book.bids, 100);
      shortest = Math.min(shortest, shown.length / 2);
      const expected = market.best(shown.length / 2);
      expect(prices(shown)).toEqual(expected.map(([price]) => price));
      expect([...shown]).toEqual(expected.flat());
    }
    // ccxt's own idea of the top levels is another one by now.
    expect(shortest).toBeLessThan(10);
    expect(range.isNarrow(100)).toBe(true);
  });

  it('is widened by a further snapshot without taking back what the stream has said since', () => {
    const market = new DeepMarket();
    const book = guarded(100);
    book.reset(market.snapshot());
    const range = rangeOf(book)!;
    const step = (): void => {
      book.bids.storeArray(market.change(market.best(1)[0]![0]));
      book.nonce = market.nonce;
    };
    for (let round = 0; round < 12; round++) {
      for (let count = 0; count < 20; count++) step();
      range.prepare();
      for (let count = 0; count < 5; count++) step();
      const snapshot = market.snapshot();
      for (let count = 0; count < 25; count++) step();
      range.widen(snapshot);
      const shown = bestLevels(book, book.bids, 100);
      expect(shown.length / 2).toBeGreaterThan(60);
      expect([...shown]).toEqual(market.best(shown.length / 2).flat());
    }
  });

  it('knows no level beyond where it was cut', () => {
    const book = guarded(100);
    book.reset({ nonce: 1, bids: [], asks: Array.from({ length: 30 }, (_, rank) => [100 + rank, 1]) });
    book.asks.depth = 10;
    rangeOf(book)!.trim();
    expect(prices(bestLevels(book, book.asks, 50))).toEqual(Array.from({ length: 10 }, (_, rank) => 100 + rank));
    // What rested between is gone from the book and not from the market.
    book.asks.storeArray([125, 1]);
    expect(bestLevels(book, book.asks, 50).length / 2).toBe(10);
  });

  it('knows the whole side when the snapshot was not full', () => {
    const book = guarded(100);
    book.reset({ nonce: 1, bids: [[2, 1]], asks: [[3, 1]] });
    book.bids.storeArray([1, 1]);
    expect([...bestLevels(book, book.bids, 100)]).toEqual([2, 1, 1, 1]);
    expect(rangeOf(book)!.isNarrow(100)).toBe(false);
  });
});
