import type { Random } from '../../kernel/random.ts';

/** Waiting time of a Poisson process: mean 1 / `ratePerMs`. */
export function exponential(random: Random, ratePerMs: number): number {
  return -Math.log(1 - random()) / ratePerMs;
}

/** Standard normal (Box-Muller, one of the pair: two draws each, so that a sequence of draws is easy to reason about). */
export function gaussian(random: Random): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random()));
  return radius * Math.cos(2 * Math.PI * random());
}

/** Log-normal with mean 1; `sigma` is the standard deviation of its logarithm. */
export function logNormal(random: Random, sigma: number): number {
  return Math.exp(sigma * gaussian(random) - (sigma * sigma) / 2);
}

/** Whole number in [least, most]. */
export function wholeBetween(random: Random, least: number, most: number): number {
  return least + Math.floor(random() * (most - least + 1));
}

/** Points of a cumulative distribution: `value` at probability `at`, both rising. */
export type QuantileTable = readonly Readonly<{ at: number; value: number }>[];

/** How far the tails of a table of positive quantiles reach past its outermost quantiles. */
const TAIL_FACTOR = 3;

/** A table from measured quantiles (positive values), with tails added. */
export function quantileTable(probabilities: readonly number[], values: readonly number[]): QuantileTable {
  const inner = probabilities.map((at, index) => ({ at, value: values[index]! }));
  return [
    { at: 0, value: inner[0]!.value / TAIL_FACTOR },
    ...inner,
    { at: 1, value: inner.at(-1)!.value * TAIL_FACTOR },
  ];
}

/** Inverse transform sampling; between two points the logarithm of the value is linear. */
export function sampleQuantiles(random: Random, table: QuantileTable): number {
  const at = random();
  let index = 1;
  while (table[index]!.at < at) index += 1;
  const low = table[index - 1]!;
  const high = table[index]!;
  return low.value * (high.value / low.value) ** ((at - low.at) / (high.at - low.at));
}

/** Mean of what `sampleQuantiles` draws. */
export function meanOfQuantiles(table: QuantileTable): number {
  let mean = 0;
  for (let index = 1; index < table.length; index++) {
    const low = table[index - 1]!;
    const high = table[index]!;
    const logRatio = Math.log(high.value / low.value);
    // The mean of a log-uniform value; for a point mass the formula is 0 / 0.
    const segment = Math.abs(logRatio) < 1e-12 ? low.value : (high.value - low.value) / logRatio;
    mean += segment * (high.at - low.at);
  }
  return mean;
}
