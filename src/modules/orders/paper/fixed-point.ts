import { assert } from '../../../kernel/assert.ts';

/** Prices and quantities inside the engine: whole numbers of 10^-18, the finest unit of any paper asset. */
export const SCALE = 18;
export const UNIT = 10n ** BigInt(SCALE);

const PATTERN = /^(0|[1-9][0-9]*)(?:\.([0-9]+))?$/;
export type Rounding = 'up' | 'down';

/** Null for text that is not a plain, non-negative decimal. What is finer than the scale is rounded the way that is asked. */
export function fixedFrom(text: string, rounding: Rounding): bigint | null {
  const match = PATTERN.exec(text);
  if (match === null) return null;
  const fraction = match[2] ?? '';
  const kept = BigInt(match[1] + fraction.slice(0, SCALE).padEnd(SCALE, '0'));
  return rounding === 'up' && /[1-9]/.test(fraction.slice(SCALE)) ? kept + 1n : kept;
}

/** For texts of our own, which always fit. */
export function exactly(text: string): bigint {
  const value = fixedFrom(text, 'down');
  assert(value !== null && fixedFrom(text, 'up') === value, 'paper engine: a decimal of ours is finer than 18 places');
  return value;
}

export function exactlyOrNull(text: string | null | undefined): bigint | null {
  return text === null || text === undefined ? null : exactly(text);
}

export function textOf(value: bigint): string {
  const digits = value.toString().padStart(SCALE + 1, '0');
  const whole = digits.slice(0, -SCALE);
  const fraction = digits.slice(-SCALE).replace(/0+$/, '');
  return fraction === '' ? whole : `${whole}.${fraction}`;
}

export function floorTo(value: bigint, step: bigint): bigint {
  return value - (value % step);
}

export function ceilTo(value: bigint, step: bigint): bigint {
  return floorTo(value + step - 1n, step);
}

export function least(left: bigint, right: bigint): bigint {
  return left < right ? left : right;
}

export function most(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}
