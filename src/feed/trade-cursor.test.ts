import { describe, expect, it } from 'vitest';
import { TradeCursor } from './trade-cursor.ts';

type Row = { id: number };
const rows = (first: number, count: number): Row[] =>
  Array.from({ length: count }, (_, index) => ({ id: first + index }));
const ids = (found: readonly unknown[]): number[] => found.map((row) => (row as Row).id);

describe('TradeCursor', () => {
  it('finds every appended trade although the cache drops its oldest', () => {
    const cursor = new TradeCursor();
    const cache = rows(0, 10);
    expect(ids(cursor.appended(cache))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (let next = 10; next < 500; next += 3) {
      cache.push(...rows(next, 3));
      cache.splice(0, cache.length - 10);
      expect(ids(cursor.appended(cache))).toEqual([next, next + 1, next + 2]);
    }
    expect(cursor.appended(cache)).toEqual([]);
  });

  it('looks at the whole of a new cache, and of a rewound one', () => {
    const cursor = new TradeCursor();
    const cache = rows(0, 5);
    cursor.appended(cache);
    expect(cursor.appended([...cache])).toHaveLength(5);
    cursor.rewind();
    expect(cursor.appended(cache)).toHaveLength(5);
  });

  it('passes each trade once, and remembers a bounded number of them', () => {
    const cursor = new TradeCursor();
    for (let id = 0; id < 10_000; id++) {
      expect(cursor.isNew(String(id))).toBe(true);
      expect(cursor.isNew(String(id))).toBe(false);
      if (id >= 1_000) expect(cursor.isNew(String(id - 999))).toBe(false);
    }
    expect(cursor.isNew('0')).toBe(true);
  });
});
