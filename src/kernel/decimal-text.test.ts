import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalFromNumber, canonicalFromText, decimalsOfTick, isMarketDecimal } from './decimal-text.ts';

describe('canonical decimals', () => {
  it.each([
    [61837.63, 2, '61837.63'],
    [61837.6, 2, '61837.60'],
    [61837, 0, '61837'],
    [0, 3, '0.000'],
    [1e-8, 8, '0.00000001'],
    [1e21, 0, '1000000000000000000000'],
    // Finer than the market's metadata says: the digits stay.
    [0.12345, 2, '0.12345'],
    [1.5e-7, 5, '0.00000015'],
  ])('%d with %d decimals is %s', (value, decimals, text) => {
    expect(canonicalFromNumber(value, decimals)).toBe(text);
  });

  it.each([
    ['61837.63000000', 2, '61837.63'],
    ['1.50000000', 5, '1.50000'],
    ['7', 2, '7.00'],
    ['7.', 0, '7'],
    ['0E-8', 3, '0.000'],
    ['1e-7', 5, '0.0000001'],
    ['123456789012345678.12345678', 2, '123456789012345678.12345678'],
  ])('%s with %d decimals is %s', (given, decimals, text) => {
    expect(canonicalFromText(given, decimals)).toBe(text);
  });

  it('says the same of a number and of its text, for every text of up to 15 digits', () => {
    const digits = fc.integer({ min: 0, max: 999_999_999_999_999 });
    fc.assert(
      fc.property(digits, fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: 8 }), (value, places, decimals) => {
        const raw = String(value).padStart(places + 1, '0');
        const text = places === 0 ? raw : `${raw.slice(0, -places)}.${raw.slice(-places)}`;
        expect(canonicalFromNumber(Number(text), decimals)).toBe(canonicalFromText(text, decimals));
      }),
    );
  });

  it.each([
    [0.01, 2],
    [0.5, 1],
    [1, 0],
    [10, 0],
    [1e-8, 8],
  ])('a tick of %d has %d decimals', (tick, decimals) => expect(decimalsOfTick(tick)).toBe(decimals));

  it.each([
    'NaN',
    'Infinity',
    '1e5',
    '0x1f',
    '1_000',
    '+1',
    '.5',
    '5.',
    '',
    ' 1',
    '1\n',
    '１２',
    '00.1',
    '9'.repeat(65),
  ])('refuses %j as a market decimal', (text) => expect(isMarketDecimal(text)).toBe(false));
});
