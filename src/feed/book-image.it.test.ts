import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../kernel/random.ts';
import { CAPTURES_DIR, CAPTURES_PRESENT, sayWhatIsSkipped } from '../testing/captures.ts';
import { loadExchangeClass } from './adapter-ccxt.ts';
import { bestLevels, guardBook, rangeOf } from './book-guard.ts';
import { BookImage } from './book-image.ts';
import type { CcxtBook, CcxtExchange } from './ccxt-surface.ts';

const SNAPSHOT_LEVELS = 40;

let exchange: CcxtExchange;
beforeAll(async () => {
  exchange = new (await loadExchangeClass('binance'))({});
});

function expectTrue(image: BookImage, book: CcxtBook, limit: number): void {
  const before = [...image.bids, NaN, ...image.asks];
  const changed = image.update();
  expect(image.bids).toEqual(bestLevels(book, book.bids, limit));
  expect(image.asks).toEqual(bestLevels(book, book.asks, limit));
  if (!changed) expect([...image.bids, NaN, ...image.asks]).toEqual(before);
  expect(image.verify()).toBe(true);
}

/** One thing that happens to a book of ccxt's, decided by a seed of its own so that a failing run shrinks to few steps. */
function happen(book: CcxtBook, seed: number): void {
  const random = seededRandom(seed);
  const upTo = (limit: number): number => Math.floor(random() * limit);
  const middle = 500 + upTo(5);
  const levels = (sign: 1 | -1): [number, number][] =>
    Array.from(
      { length: upTo(SNAPSHOT_LEVELS + 20) },
      () => [middle + sign * (1 + upTo(120)), 1 + upTo(9)] as [number, number],
    );
  const kind = random();
  if (kind < 0.03) book.reset({ nonce: 1, bids: levels(-1), asks: levels(1) });
  else if (kind < 0.08) {
    for (const side of [book.bids, book.asks]) {
      side.depth = 5 + upTo(60);
      side.limit();
      side.depth = Number.MAX_SAFE_INTEGER;
    }
  } else if (kind < 0.12 && rangeOf(book) !== undefined) {
    rangeOf(book)!.prepare();
    rangeOf(book)!.widen({ nonce: 1, bids: levels(-1), asks: levels(1) });
  } else {
    const depth = random() < 0.5 ? 8 : 150;
    for (let change = upTo(12); change >= 0; change--) {
      const sign = random() < 0.5 ? 1 : -1;
      const size = random() < 0.4 ? 0 : 1 + upTo(9);
      (sign === 1 ? book.asks : book.bids).storeArray([500 + sign * (1 + upTo(depth)), size]);
    }
  }
}

describe('image of a book', () => {
  it.each([
    ['of a whole book', undefined, 20],
    ['of a book that is known between two prices', SNAPSHOT_LEVELS, 20],
    ['that is deeper than the book', undefined, 500],
  ])('%s is the book`s own best levels, whatever was stored between two looks', (_, snapshotLevels, limit) => {
    const turn = fc.array(fc.nat(), { maxLength: 6 });
    fc.assert(
      fc.property(fc.array(turn, { minLength: 1, maxLength: 60, size: 'max' }), (turns) => {
        const book = guardBook(exchange.orderBook({}), { ignoresZeroPrice: false, snapshotLevels });
        const image = new BookImage(book, limit);
        for (const seeds of turns) {
          for (const seed of seeds) happen(book, seed);
          expectTrue(image, book, limit);
        }
      }),
      { numRuns: 200, seed: 20261121 },
    );
  });

  it('takes over a book that was filled before anyone looked', () => {
    const filled = exchange.orderBook({ bids: [[99, 1]], asks: [[101, 2]] });
    const book = guardBook(filled, { ignoresZeroPrice: false, snapshotLevels: undefined });
    expectTrue(new BookImage(book, 10), book, 10);
    expect(book.bids).toHaveLength(1);
  });

  it('is true beside another image of the same book, whoever looks first: Coinbase answers two symbols with one', () => {
    const book = guardBook(exchange.orderBook({}), { ignoresZeroPrice: false, snapshotLevels: undefined });
    const images = [new BookImage(book, 10), new BookImage(book, 10)];
    for (let price = 100; price < 130; price++) book.asks.storeArray([price, 1]);
    for (const size of [7, 0, 3, 5]) {
      book.asks.storeArray([103, size]);
      for (const image of images.reverse()) expectTrue(image, book, 10);
    }
  });

  it('says that a level was changed behind the guard, and mends it', () => {
    const book = guardBook(exchange.orderBook({}), { ignoresZeroPrice: false, snapshotLevels: undefined });
    for (const price of [1, 2, 3]) book.bids.storeArray([price, 1]);
    const image = new BookImage(book, 10);
    image.update();
    book.bids[1]![1] = 7;
    expect(image.update()).toBe(false);
    expect(image.verify()).toBe(false);
    expectTrue(image, book, 10);
  });
});

sayWhatIsSkipped('image of recorded books');

describe.skipIf(!CAPTURES_PRESENT)('image of recorded books', () => {
  it.each(['spot-2024-08-08/btcusdt', 'spot-2021-04-05/session'])('%s: true after every frame', (name) => {
    const lines = gunzipSync(readFileSync(join(CAPTURES_DIR, 'binance', `${name}.jsonl.gz`)))
      .toString('utf8')
      .split('\n');
    const books = new Map<string, { book: CcxtBook; image: BookImage }>();
    let frames = 0;
    for (const line of lines) {
      if (line === '' || frames > 1_500) continue;
      const { url, raw } = JSON.parse(line) as { url?: string; raw?: string };
      if (url?.includes('/depth?') === true) {
        const book = guardBook(exchange.orderBook({}), { ignoresZeroPrice: false, snapshotLevels: 1_000 });
        const { lastUpdateId, bids, asks } = JSON.parse(raw!) as Record<string, unknown>;
        const numbers = (levels: unknown): number[][] => (levels as string[][]).map((level) => level.map(Number));
        book.reset({ nonce: lastUpdateId, bids: numbers(bids), asks: numbers(asks) });
        books.set(new URL(url).searchParams.get('symbol')!, { book, image: new BookImage(book, 100) });
      } else if (raw?.includes('"depthUpdate"') === true) {
        const frame = JSON.parse(raw) as { data?: Depth } & Depth;
        const { s, b, a } = frame.data ?? frame;
        const held = books.get(s);
        if (held === undefined) continue;
        for (const [price, size] of b) held.book.bids.storeArray([Number(price), Number(size)]);
        for (const [price, size] of a) held.book.asks.storeArray([Number(price), Number(size)]);
        expectTrue(held.image, held.book, 100);
        frames += 1;
      }
    }
    expect(frames).toBeGreaterThan(1_000);
  });
});

type Depth = { s: string; b: [string, string][]; a: [string, string][] };
