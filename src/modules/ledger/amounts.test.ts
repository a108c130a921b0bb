import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AMOUNT_LIMIT, feeUnits, formatAmount, parseAmount, parseDecimal, quoteUnits } from './amounts.ts';
import type { ExactDecimal } from './amounts.ts';

/** What other people's programs send as an amount; none of it may be understood as one. */
const BAD_AMOUNTS: readonly unknown[] = [
  '1e309',
  '-1e309',
  '1e-400',
  'NaN',
  'Infinity',
  '-Infinity',
  '-0',
  '-1',
  '0',
  '0.0',
  '00.1',
  '+1',
  '.5',
  '5.',
  '1e5',
  '1E-8',
  '1e1000000000',
  '0x1f',
  '0b11',
  '1_000',
  '1,000',
  '1.000,5',
  ' 1 ',
  ' 1',
  '1\n',
  '1\u0000',
  '１２',
  '١٢',
  '²',
  '−1',
  '1.5.5',
  '',
  '.',
  null,
  undefined,
  [],
  ['5'],
  {},
  true,
  0,
  -0,
  1,
  2 ** 53,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  5n,
  '0.1000000000000000055511151231257827',
  `${'1'.repeat(40)}.${'1'.repeat(40)}`,
  '0.1234567890123456789',
  '9'.repeat(10_240),
  { toString: () => '5' },
];

describe('reading an amount', () => {
  it.each(BAD_AMOUNTS.map((text) => [inspect(text).slice(0, 60), text]))('does not take %s for one', (_, text) => {
    expect(parseAmount(text, 18)).toMatchObject({ ok: false, code: 'invalid_amount' });
  });

  it('refuses more decimals than the asset has instead of rounding them away', () => {
    expect(parseAmount('1.23', 2)).toEqual({ ok: true, value: 123n });
    expect(parseAmount('1.234', 2)).toMatchObject({ ok: false });
    expect(parseAmount('1.230', 2)).toMatchObject({ ok: false });
    expect(parseAmount('1.0', 0)).toMatchObject({ ok: false });
  });

  it('refuses what the ledger cannot keep', () => {
    expect(parseAmount((AMOUNT_LIMIT - 1n).toString(), 0)).toEqual({ ok: true, value: AMOUNT_LIMIT - 1n });
    expect(parseAmount((10n ** 18n).toString(), 18)).toMatchObject({ ok: false });
    expect(parseAmount((10n ** 18n - 1n).toString(), 18)).toMatchObject({ ok: true });
  });

  it('gives back every amount that it wrote', () => {
    const scale = fc.integer({ min: 0, max: 18 });
    const units = fc.bigInt({ min: 1n, max: AMOUNT_LIMIT - 1n });
    fc.assert(
      fc.property(units, scale, (value, decimals) => {
        expect(parseAmount(formatAmount(value, decimals), decimals)).toEqual({ ok: true, value });
        expect(formatAmount(-value, decimals)).toBe(`-${formatAmount(value, decimals)}`);
      }),
    );
    expect(formatAmount(0n, 8)).toBe('0');
    expect(formatAmount(5n, 2)).toBe('0.05');
    expect(formatAmount(1250n, 2)).toBe('12.5');
    expect(formatAmount(1200n, 0)).toBe('1200');
  });
});

describe('rounding', () => {
  const exact: fc.Arbitrary<ExactDecimal> = fc.record({
    units: fc.bigInt({ min: 0n, max: 10n ** 20n }),
    scale: fc.integer({ min: 0, max: 18 }),
  });

  it('pays at most one unit more than is received, and never less', () => {
    const trades = fc.record({
      quantity: fc.bigInt({ min: 1n, max: 10n ** 24n }),
      price: exact,
      baseScale: fc.integer({ min: 0, max: 18 }),
      quoteScale: fc.integer({ min: 0, max: 18 }),
    });
    fc.assert(
      fc.property(trades, (trade) => {
        const [paid, received] = [quoteUnits(trade, 'up'), quoteUnits(trade, 'down')];
        expect(paid - received === 0n || paid - received === 1n).toBe(true);
        const [cost, one] = [
          trade.quantity * trade.price.units * 10n ** BigInt(trade.quoteScale),
          10n ** BigInt(trade.baseScale + trade.price.scale),
        ];
        expect(received * one <= cost && cost <= paid * one).toBe(true);
      }),
    );
  });

  it('takes a fee of at least the rate, at most one unit more, never more than there is', () => {
    const rate = fc.record({ units: fc.bigInt({ min: 0n, max: 10n ** 6n }), scale: fc.constant(6) });
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: AMOUNT_LIMIT - 1n }), rate, (gross, fee) => {
        const taken = feeUnits(gross, { rate: fee, flat: 0n });
        expect(taken * 10n ** 6n >= gross * fee.units || taken === gross).toBe(true);
        expect((taken - 1n) * 10n ** 6n < gross * fee.units).toBe(true);
        expect(taken <= gross).toBe(true);
      }),
    );
  });

  it('knows the usual cases', () => {
    const price = parseDecimal('64250.13')!;
    const trade = { quantity: 12_345n, price, baseScale: 8, quoteScale: 2 };
    expect([quoteUnits(trade, 'down'), quoteUnits(trade, 'up')]).toEqual([793n, 794n]);
    expect(feeUnits(10_000n, { rate: parseDecimal('0.001')!, flat: 0n })).toBe(10n);
    expect(feeUnits(10_001n, { rate: parseDecimal('0.001')!, flat: 5n })).toBe(16n);
    expect(feeUnits(3n, { rate: parseDecimal('0.001')!, flat: 5n })).toBe(3n);
    expect(parseDecimal('1e5')).toBeNull();
  });
});
