import { expect, it } from 'vitest';
import { BookView } from './book-view.ts';
import { DepthBook, levelsBetween } from './depth-book.ts';
import { seededRandom } from '../kernel/random.ts';
import type { TapeLevel } from './tape.ts';

const RUNS = 2000;

function randomBook(random: () => number): { book: DepthBook; step: () => void } {
  const book = new DepthBook();
  const step = (): void => {
    const price = (100 + Math.floor(random() * 40) / 2).toFixed(1);
    const level: TapeLevel = [price, random() < 0.4 ? '0.000' : (random() * 9).toFixed(3)];
    const bids = random() < 0.5 ? [level] : [];
    book.apply({ lastId: book.lastId + 1, ts: 0, bids, asks: bids.length === 0 ? [level] : [] });
  };
  return { book, step };
}

it('keeps both sides sorted and free of empty levels whatever comes', () => {
  const { book, step } = randomBook(seededRandom(1));
  for (let run = 0; run < RUNS; run++) {
    step();
    const prices = (levels: readonly TapeLevel[]): number[] => levels.map(([price]) => Number(price));
    expect(prices(book.bids)).toEqual(prices(book.bids).toSorted((a, b) => b - a));
    expect(prices(book.asks)).toEqual(prices(book.asks).toSorted((a, b) => a - b));
    expect([...book.bids, ...book.asks].filter(([, size]) => Number(size) === 0)).toEqual([]);
  }
  expect(book.lastId).toBe(RUNS);
});

it('takes "100" and "100.0" for one price, so that no level stands twice', () => {
  const book = new DepthBook();
  book.apply({ lastId: 1, ts: 0, bids: [['100', '1']], asks: [] });
  book.apply({ lastId: 2, ts: 0, bids: [['100.0', '2']], asks: [] });
  expect(book.bids).toEqual([['100.0', '2']]);
  book.apply({ lastId: 3, ts: 0, bids: [['100.00', '0E-8']], asks: [] });
  expect(book.bids).toEqual([]);
});

it('describes any book as a change of any other', () => {
  const one = randomBook(seededRandom(2));
  const two = randomBook(seededRandom(3));
  for (let run = 0; run < 200; run++) {
    one.step();
    two.step();
    const copy = new DepthBook();
    copy.replace(one.book);
    const bids = levelsBetween(one.book.bids, two.book.bids);
    copy.apply({ lastId: 1, ts: 0, bids, asks: levelsBetween(one.book.asks, two.book.asks) });
    expect(numbers(copy.bids)).toEqual(numbers(two.book.bids));
    expect(numbers(copy.asks)).toEqual(numbers(two.book.asks));
  }
});

it.each([1, 3, 10])('a client that cuts at %s levels by itself stays right on what a view tells it', (depth) => {
  const { book, step } = randomBook(seededRandom(4));
  for (let warm = 0; warm < 50; warm++) step();
  const view = new BookView(book, depth);
  const client = new DepthBook();
  client.replace({ lastId: 0, ts: 0, bids: view.bids, asks: view.asks });
  for (let run = 0; run < RUNS; run++) {
    step();
    client.apply({ lastId: 0, ts: 0, ...view.follow(book) });
    client.cut(depth);
    expect(client.bids).toEqual(book.bids.slice(0, depth));
    expect(client.asks).toEqual(book.asks.slice(0, depth));
  }
});

function numbers(levels: readonly TapeLevel[]): number[][] {
  return levels.map(([price, size]) => [Number(price), Number(size)]);
}
