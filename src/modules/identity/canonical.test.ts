import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalText } from './canonical.ts';

const json = fc.jsonValue({ maxDepth: 5 });

describe('the canonical text of an operation', () => {
  it('is the same whatever the order of the fields', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), json), fc.infiniteStream(fc.nat()), (value, order) => {
        const shuffled = Object.entries(value)
          .map((entry) => ({ entry, at: order.next().value as number }))
          .sort((a, b) => a.at - b.at)
          .map(({ entry }) => entry);
        expect(canonicalText(Object.fromEntries(shuffled))).toBe(canonicalText(value));
      }),
    );
  });

  it('differs for values that differ, and holds all of them', () => {
    fc.assert(
      fc.property(json, json, (left, right) => {
        const [a, b] = [canonicalText(left), canonicalText(right)];
        fc.pre(a !== null && b !== null);
        expect(JSON.parse(a)).toEqual(JSON.parse(JSON.stringify(left)));
        expect(a === b).toBe(isSame(left, right));
      }),
    );
  });

  it('does not confuse what looks alike', () => {
    const texts = [
      { a: '1' },
      { a: 1 },
      { a: [1] },
      { a: { 0: 1 } },
      { a: null },
      {},
      { a: 'b","c":"d' },
      { a: 'b', c: 'd' },
      { a: true },
      { a: 'true' },
      { '': 1 },
    ].map(canonicalText);
    expect(new Set(texts).size).toBe(texts.length);
    expect(canonicalText({ a: undefined })).toBe(canonicalText({}));
  });

  it('is refused for what is no JSON, too deep or too long', () => {
    let deep: unknown = 1;
    for (let depth = 0; depth < 50; depth++) deep = [deep];
    for (const value of [
      deep,
      { a: Number.NaN },
      { a: Infinity },
      { a: 1n },
      { a: () => 1 },
      { a: 'x'.repeat(20_000) },
    ])
      expect(canonicalText(value)).toBeNull();
  });
});

function isSame(left: unknown, right: unknown): boolean {
  try {
    expect(JSON.parse(JSON.stringify(left))).toStrictEqual(JSON.parse(JSON.stringify(right)));
    return true;
  } catch {
    return false;
  }
}
