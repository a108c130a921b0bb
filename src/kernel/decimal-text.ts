import { Decimal } from 'decimal.js';

// Own constructor: the global default of 20 digits would round, and toString would print exponents.
const Exact = Decimal.clone({ precision: 60, rounding: Decimal.ROUND_HALF_EVEN, toExpNeg: -60, toExpPos: 60 });

/** A plain decimal: optional minus, digits, optional fraction. No exponent, no leading zeros, ASCII only. */
export const DECIMAL_PATTERN = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$/;

/** Float64 carries 15 decimal digits faithfully; past that the shortest text of the double is no longer the source's text. */
const FAITHFUL_DIGITS = 15;

/**
 * The canonical text of a price or size: plain notation with at least the market's number of decimals.
 * A value finer than the market's metadata says keeps its extra digits: metadata can be late, data must not be rounded away.
 */
export function canonicalFromNumber(value: number, decimals: number): string {
  // The shortest text that gives the same double is the source's text, as long as the source had at most 15 digits.
  const shortest = String(value);
  if (shortest.length <= FAITHFUL_DIGITS + 1 && !shortest.includes('e')) return canonicalFromText(shortest, decimals);
  const exact = new Exact(value);
  return exact.precision() <= FAITHFUL_DIGITS ? canonicalFromText(exact.toFixed(), decimals) : value.toFixed(decimals);
}

/** The same for a decimal that an exchange sent as text (or that JSON.parse turned into a number on the way). */
export function canonicalFromText(text: string, decimals: number): string {
  const plain = DECIMAL_PATTERN.test(text) ? text : new Exact(text).toFixed();
  const point = plain.indexOf('.');
  if (point === -1) return decimals === 0 ? plain : `${plain}.${'0'.repeat(decimals)}`;
  let end = plain.length;
  const least = point + 1 + decimals;
  while (end > least && plain.charCodeAt(end - 1) === 48) end -= 1;
  const cut = end === point + 1 ? plain.slice(0, point) : plain.slice(0, end);
  return end < least ? cut + '0'.repeat(least - end) : cut;
}

/** True for text that is a finite decimal a market can carry; refuses NaN, Infinity, hex, exponents beyond reason. */
export function isMarketDecimal(text: string): boolean {
  return text.length <= MARKET_DECIMAL_LIMIT_CHARS && DECIMAL_PATTERN.test(text);
}
const MARKET_DECIMAL_LIMIT_CHARS = 64;

/** Decimal places of a tick such as 0.01 -> 2, 0.5 -> 1, 1 -> 0, 10 -> 0, 1e-8 -> 8. */
export function decimalsOfTick(tick: number): number {
  return Math.max(0, new Exact(tick).decimalPlaces());
}
