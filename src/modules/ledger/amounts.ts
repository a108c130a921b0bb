import { accepted, refused } from '../../kernel/outcome.ts';
import type { Outcome } from '../../kernel/outcome.ts';

/** Below this an amount, a balance and every sum of the ledger stay; the database checks the same number. */
export const AMOUNT_LIMIT = 10n ** 36n;
export const SCALE_LIMIT = 18;
/** Plain decimals only: no sign, no exponent, no leading zeros, no digits but ASCII's, nothing around. */
const AMOUNT_PATTERN = /^(0|[1-9][0-9]{0,35})(?:\.([0-9]{1,18}))?$/;
const AMOUNT_TEXT_LIMIT_CHARS = 56;
/** Prices and rates may be finer than any asset. */
const DECIMAL_PATTERN = /^(0|[1-9][0-9]{0,35})(?:\.([0-9]{1,36}))?$/;
const DECIMAL_TEXT_LIMIT_CHARS = 74;

/** `down` towards zero, `up` away from it; all numbers here are positive. */
export type Rounding = 'down' | 'up';

/** A positive decimal text in smallest units of an asset with `scale` decimals. More decimals are refused, never rounded. */
export function parseAmount(text: unknown, scale: number): Outcome<bigint, 'invalid_amount'> {
  const match = typeof text === 'string' && text.length <= AMOUNT_TEXT_LIMIT_CHARS ? AMOUNT_PATTERN.exec(text) : null;
  if (!match) return refused('invalid_amount', 'an amount is a plain decimal such as "12.5", as text');
  const fraction = match[2] ?? '';
  if (fraction.length > scale)
    return refused('invalid_amount', `an amount of this asset has at most ${scale} decimals`);
  const units = BigInt(match[1]! + fraction.padEnd(scale, '0'));
  if (units === 0n) return refused('invalid_amount', 'an amount is greater than zero');
  if (units >= AMOUNT_LIMIT) return refused('invalid_amount', 'an amount this large cannot be kept');
  return accepted(units);
}

/** The shortest plain decimal of a number of smallest units; negative ones keep their sign. */
export function formatAmount(units: bigint, scale: number): string {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0');
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, '');
  const whole = digits.slice(0, digits.length - scale);
  return `${units < 0n ? '-' : ''}${whole}${scale > 0 && fraction !== '' ? `.${fraction}` : ''}`;
}

/** A price or a rate, exactly: `units / 10^scale`. Null for text that is no plain decimal. */
export type ExactDecimal = Readonly<{ units: bigint; scale: number }>;

export function parseDecimal(text: unknown): ExactDecimal | null {
  const match = typeof text === 'string' && text.length <= DECIMAL_TEXT_LIMIT_CHARS ? DECIMAL_PATTERN.exec(text) : null;
  if (!match) return null;
  const fraction = match[2] ?? '';
  return { units: BigInt(match[1]! + fraction), scale: fraction.length };
}

/** What `quantity` smallest units of the base cost in smallest units of the quote. */
export function quoteUnits(
  trade: Readonly<{ quantity: bigint; price: ExactDecimal; baseScale: number; quoteScale: number }>,
  rounding: Rounding,
): bigint {
  const { quantity, price, baseScale, quoteScale } = trade;
  return divide(quantity * price.units * 10n ** BigInt(quoteScale), 10n ** BigInt(baseScale + price.scale), rounding);
}

/**
 * The fee on what somebody receives: at least `rate` of it, so that the rest, rounded down, is theirs; plus a flat part.
 * Never more than there is. Fee and rest add up to the gross exactly.
 */
export function feeUnits(gross: bigint, fee: Readonly<{ rate: ExactDecimal; flat: bigint }>): bigint {
  const share = divide(gross * fee.rate.units, 10n ** BigInt(fee.rate.scale), 'up') + fee.flat;
  return share > gross ? gross : share;
}

function divide(dividend: bigint, divisor: bigint, rounding: Rounding): bigint {
  const quotient = dividend / divisor;
  return rounding === 'up' && quotient * divisor !== dividend ? quotient + 1n : quotient;
}
