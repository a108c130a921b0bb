import { describe, expect, it } from 'vitest';
import { SanityBand } from './sanity-band.ts';

describe('SanityBand', () => {
  it('holds back a price a thousand times too high or almost nothing', () => {
    const band = new SanityBand();
    expect(band.accept(60_000, 0)).toBe(true);
    for (const price of [60_000_000, 60, 1e-9]) expect(band.accept(price, 1)).toBe(false);
    expect(band.accept(61_000, 2)).toBe(true);
  });

  it('follows a market that moves far, step by step', () => {
    const band = new SanityBand();
    for (let price = 1; price < 1e9; price *= 50) expect(band.accept(price, 0)).toBe(true);
  });

  it('believes a new level after several messages over some time, not a burst of one fault', () => {
    const band = new SanityBand();
    band.accept(100, 0);
    for (let count = 0; count < 50; count++) expect(band.accept(1e6 + count, 10)).toBe(false);
    expect(band.accept(100, 20)).toBe(true);
    expect(band.accept(1e6, 30)).toBe(false);
    expect(band.accept(1e6, 1_030)).toBe(false);
    expect(band.accept(1e6, 2_030)).toBe(true);
    expect(band.accept(100, 2_040)).toBe(false);
  });
});
