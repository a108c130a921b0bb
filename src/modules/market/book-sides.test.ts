import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Level } from '../../protocol/messages.ts';
import type { Direction } from './book-sides.ts';
import { PublishedSide, isSoundBook } from './book-sides.ts';
import { LevelTexts } from './market-text.ts';

const DEPTH = 8;
const texts = new LevelTexts({ price: 1, size: 2 });

/** Few ticks and few sizes, so that levels stay, change, come, go and fall out of the tier. */
const side = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 1, max: 24 }), fc.integer({ min: 1, max: 3 })), {
    maxLength: 12,
    selector: ([tick]) => tick,
  })
  .map((levels) => new Map(levels));

function flat(levels: ReadonlyMap<number, number>, direction: Direction): Float64Array {
  const sorted = [...levels].toSorted(([left], [right]) => (left - right) * direction);
  return new Float64Array(sorted.flatMap(([tick, lots]) => [tick / 10, lots / 100]));
}

/** What a client has after it: absolute sizes, "0" deletes. */
function applied(levels: readonly Level[], changes: readonly Level[], direction: Direction): Level[] {
  const book = new Map(levels);
  for (const [price, size] of changes) {
    if (size === '0') expect(book.delete(price), `${price} was there`).toBe(true);
    else book.set(price, size);
  }
  return [...book].toSorted(([left], [right]) => (Number(left) - Number(right)) * direction);
}

it('changes add up to the top of every book, with nothing said of levels that stay as they are', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<Direction>(1, -1),
      fc.array(side, { minLength: 2, maxLength: 8 }),
      (direction, books) => {
        const published = new PublishedSide(direction, DEPTH);
        let client: Level[] = [];
        for (const levels of books) {
          const next = flat(levels, direction);
          const before = new Map(client);
          const changes = published.change(next, texts);
          for (const [price, size] of changes) expect(before.get(price)).not.toBe(size);
          client = applied(client, changes, direction);
          const rest = next.subarray(0, DEPTH * 2);
          const expected = Array.from({ length: rest.length / 2 }, (_, rank) => [
            texts.price(rest[rank * 2]!),
            texts.size(rest[rank * 2 + 1]!),
          ]);
          expect(client).toEqual(expected);
          expect(published.levels(texts)).toEqual(expected);
        }
      },
    ),
    { numRuns: 3_000, seed: 6 },
  );
});

it('what was published does not follow the array it was taken from', () => {
  const published = new PublishedSide(1, DEPTH);
  const next = new Float64Array([1, 1, 2, 1]);
  published.change(next, texts);
  next[1] = 5;
  expect(published.levels(texts)).toEqual([
    ['1.0', '1.00'],
    ['2.0', '1.00'],
  ]);
  expect(published.change(next, texts)).toEqual([['1.0', '5.00']]);
});

it('no book with a level that a diff or a text could not carry is called sound', () => {
  const at = fc.integer({ min: 0, max: 5 });
  const bad = fc.constantFrom(Number.NaN, Infinity, -Infinity, 0, -1, 1e-31, 1e21);
  fc.assert(
    fc.property(fc.constantFrom<Direction>(1, -1), at, bad, fc.boolean(), (direction, rank, value, isPrice) => {
      const levels = new Map(Array.from({ length: 6 }, (_, tick) => [tick + 1, 1]));
      const [good, spoiled] = [flat(levels, direction), flat(levels, direction)];
      spoiled[rank * 2 + (isPrice ? 0 : 1)] = value;
      const empty = new Float64Array();
      const book = (part: Float64Array) => ({
        venue: 'v',
        symbol: 's',
        ingestTs: 0,
        ...(direction === 1 ? { bids: empty, asks: part } : { bids: part, asks: empty }),
      });
      expect(isSoundBook(book(good), 6)).toBe(true);
      expect(isSoundBook(book(spoiled), 6)).toBe(false);
      expect(isSoundBook(book(spoiled), rank)).toBe(true);
    }),
    { numRuns: 2_000, seed: 7 },
  );
});

it('prices that repeat or run the wrong way are not sound', () => {
  const of = (...levels: number[]) => ({
    venue: 'v',
    symbol: 's',
    ingestTs: 0,
    bids: new Float64Array(),
    asks: new Float64Array(levels),
  });
  expect(isSoundBook(of(1, 1, 1, 1), 8)).toBe(false);
  expect(isSoundBook(of(2, 1, 1, 1), 8)).toBe(false);
  expect(isSoundBook(of(1, 1, 2), 8)).toBe(false);
  expect(isSoundBook(of(), 8)).toBe(true);
});
