import fc from 'fast-check';
import { expect, it } from 'vitest';
import { canonicalFromNumber } from '../../kernel/decimal-text.ts';
import { LevelTexts } from './market-text.ts';

const decimals = fc.integer({ min: 0, max: 12 });
/** Prices as exchanges send them, some finer than their market's precision, and doubles that no text gave. */
const value = fc.oneof(
  fc
    .tuple(fc.integer({ min: 1, max: 999_999_999_999_999 }), fc.integer({ min: 0, max: 14 }))
    .map(([units, places]) => Number(`${units}e-${places}`)),
  fc.double({ min: 1e-12, max: 1e20, noNaN: true }),
  fc.integer({ min: 1, max: 1_000_000_000 }).map((units) => units / 100_000),
);

it('the short way writes what the long way writes, for every value and precision', () => {
  fc.assert(
    fc.property(decimals, decimals, value, (price, size, each) => {
      const texts = new LevelTexts({ price, size });
      const priceText = texts.price(each);
      const sizeText = texts.size(each);
      const canonical = canonicalFromNumber(each, price);
      if (Number(canonical) === each) expect(priceText).toBe(canonical);
      expect(Number(priceText)).toBe(each);
      if (Number(canonicalFromNumber(each, size)) > 0) expect(sizeText).toBe(canonicalFromNumber(each, size));
      expect(Number(sizeText)).toBeGreaterThan(0);
    }),
    { numRuns: 20_000, seed: 3 },
  );
});

it('two prices never share a text', () => {
  fc.assert(
    fc.property(decimals, value, (places, each) => {
      const texts = new LevelTexts({ price: places, size: places });
      const next = each * (1 + Number.EPSILON);
      if (next !== each) expect(texts.price(next)).not.toBe(texts.price(each));
    }),
    { numRuns: 5_000, seed: 4 },
  );
});

it('texts that are joined from tables are what the long way writes, at every edge of the tables and filled in any order', () => {
  const units = fc.oneof(
    fc.integer({ min: 1, max: 50_000_000 }),
    // Both sides of the last head, and of the first unit that has one.
    fc.constantFrom(1, 9_999, 10_000, 10_001, 99_999, 100_000, 40_949_999, 40_959_999, 40_960_000, 40_960_001),
  );
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10 }), fc.array(units, { minLength: 1, maxLength: 20 }), (places, many) => {
      const texts = new LevelTexts({ price: places, size: places });
      for (const each of many) {
        const double = Number(`${each}e-${places}`);
        expect(texts.size(double)).toBe(canonicalFromNumber(double, places));
      }
    }),
    { numRuns: 3_000, seed: 5 },
  );
});
