import { formatAmount, parseDecimal } from '../ledger/index.ts';

/** Prices and quantities as whole numbers of 1e-18, which is also the smallest unit of a paper asset. Exact; never a float. */
export type Fixed = bigint;

export const FIXED_SCALE = 18;
export const ONE = 10n ** 18n;

/** Throws on more than 18 decimals and on text that is no decimal: whoever calls has checked, or it is our own mistake. */
export function fixed(text: string): Fixed {
  const value = tryFixed(text);
  if (value === null) throw new RangeError(`not a decimal with at most ${FIXED_SCALE} places: ${text}`);
  return value;
}

export function tryFixed(text: string): Fixed | null {
  const decimal = parseDecimal(text);
  if (decimal === null || decimal.scale > FIXED_SCALE) return null;
  return decimal.units * 10n ** BigInt(FIXED_SCALE - decimal.scale);
}

/** A decimal that may be finer than 1e-18, cut off there: only for what bounds something, never for money. */
export function coarse(text: string): Fixed {
  const decimal = parseDecimal(text);
  if (decimal === null) throw new RangeError(`not a decimal: ${text}`);
  if (decimal.scale <= FIXED_SCALE) return decimal.units * 10n ** BigInt(FIXED_SCALE - decimal.scale);
  return decimal.units / 10n ** BigInt(decimal.scale - FIXED_SCALE);
}

/** Shortest plain text. */
export function plain(value: Fixed): string {
  return formatAmount(value, FIXED_SCALE);
}

/** The product of two, rounded to 1e-18. */
export function times(one: Fixed, other: Fixed, rounding: 'down' | 'up'): Fixed {
  return divide(one * other, ONE, rounding);
}

export function divide(dividend: bigint, divisor: bigint, rounding: 'down' | 'up'): bigint {
  const quotient = dividend / divisor;
  return rounding === 'up' && quotient * divisor !== dividend ? quotient + 1n : quotient;
}

/** The nearest multiple of `step` at or below (`down`) or at or above (`up`). */
export function toStep(value: Fixed, step: Fixed, rounding: 'down' | 'up'): Fixed {
  return divide(value, step, rounding) * step;
}

export const smaller = (one: bigint, other: bigint): bigint => (one < other ? one : other);
export const larger = (one: bigint, other: bigint): bigint => (one > other ? one : other);
