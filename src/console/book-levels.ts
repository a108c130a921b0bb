import type { Level } from '../client/index.ts';

/** One line of a ladder. `total` is the size up to and including it; `share` its part of the largest total shown, 0 to 1. */
export type Rung = { price: string; size: string; total: string; share: number };
export type LadderSide = 'bids' | 'asks';

/** A ladder offers steps of so many ticks, as long as one step stays below this share of the price. */
const STEP_TICKS = [10n, 50n, 100n, 500n, 1_000n, 5_000n, 10_000n, 50_000n, 100_000n];
const STEP_SHARE_LIMIT = 0.005;

/**
 * The best `count` rungs of one side, best first. With a step, levels fall into steps: bids down, asks up, so that nobody is
 * shown a better price than there is. Exact: sums of decimal text, not of floats.
 */
export function rungsOf(levels: readonly Level[], side: LadderSide, step: string | null, count: number): Rung[] {
  const grouped = step === null ? levels.slice(0, count) : groupLevels(levels, side, step, count);
  const decimals = Math.max(0, ...grouped.map(([, size]) => decimalsOf(size)));
  let sum = 0n;
  const sums = grouped.map(([, size]) => (sum += unitsOf(size, decimals)));
  const whole = Number(sum);
  return grouped.map(([price, size], index) => ({
    price,
    size,
    total: textOf(sums[index]!, decimals),
    share: whole === 0 ? 0 : Number(sums[index]!) / whole,
  }));
}

function groupLevels(levels: readonly Level[], side: LadderSide, step: string, count: number): Level[] {
  const decimals = Math.max(decimalsOf(step), ...levels.map(([price]) => decimalsOf(price)));
  const sizeDecimals = Math.max(0, ...levels.map(([, size]) => decimalsOf(size)));
  const width = unitsOf(step, decimals);
  const steps: { price: bigint; size: bigint }[] = [];
  for (const [price, size] of levels) {
    const units = unitsOf(price, decimals);
    const down = (units / width) * width;
    const place = side === 'asks' && down !== units ? down + width : down;
    const last = steps.at(-1);
    if (last?.price === place) last.size += unitsOf(size, sizeDecimals);
    else if (steps.length === count) break;
    else steps.push({ price: place, size: unitsOf(size, sizeDecimals) });
  }
  const shown = decimalsOf(step);
  return steps.map(({ price, size }) => [
    textOf(price / 10n ** BigInt(decimals - shown), shown),
    textOf(size, sizeDecimals),
  ]);
}

/** The distance between best bid and best ask; null without both. `basisPoints` of the middle. */
export function spreadOf(
  bids: readonly Level[],
  asks: readonly Level[],
): Readonly<{ text: string; basisPoints: number }> | null {
  const bid = bids[0]?.[0];
  const ask = asks[0]?.[0];
  if (bid === undefined || ask === undefined) return null;
  const decimals = Math.max(decimalsOf(bid), decimalsOf(ask));
  const difference = unitsOf(ask, decimals) - unitsOf(bid, decimals);
  const basisPoints = ((Number(ask) - Number(bid)) / ((Number(ask) + Number(bid)) / 2)) * 10_000;
  return { text: textOf(difference, decimals), basisPoints };
}

/** Steps worth offering at this price, as decimal text, finest first. */
export function stepsOf(tick: string, price: string | undefined): string[] {
  const decimals = decimalsOf(tick);
  const units = unitsOf(tick, decimals);
  const widest = Number(price ?? 0) * STEP_SHARE_LIMIT;
  return STEP_TICKS.map((ticks) => trimZeros(textOf(units * ticks, decimals))).filter((step) => Number(step) <= widest);
}

export function decimalsOf(text: string): number {
  const point = text.indexOf('.');
  return point === -1 ? 0 : text.length - point - 1;
}

/** A decimal text in units of 10^-decimals; `decimals` is at least what the text has. */
export function unitsOf(text: string, decimals: number): bigint {
  const point = text.indexOf('.');
  if (point === -1) return BigInt(text + '0'.repeat(decimals));
  return BigInt(text.slice(0, point) + text.slice(point + 1) + '0'.repeat(decimals - decimalsOf(text)));
}

export function textOf(units: bigint, decimals: number): string {
  const sign = units < 0n ? '-' : '';
  const digits = (units < 0n ? -units : units).toString().padStart(decimals + 1, '0');
  return decimals === 0 ? sign + digits : `${sign}${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
}

export function trimZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
