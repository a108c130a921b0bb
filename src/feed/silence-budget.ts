import type { SilencePolicy } from './settings.ts';

/** Weight of the newest interval in the learned one: about the last ten count. */
const LEARNING_RATE = 0.1;
/** Fewer say nothing about a rate: exchanges often send two messages together at the start. */
const LEAST_INTERVALS = 5;

/**
 * How long one stream may say nothing before it is called stale, learned from its own rate: a fixed budget is too long
 * for a busy book and too short for an illiquid one.
 */
export class SilenceBudget {
  readonly #policy: SilencePolicy;
  #lastMs: number;
  #intervalMs = 0;
  #intervals = 0;

  constructor(policy: SilencePolicy, nowMs: number) {
    this.#policy = policy;
    this.#lastMs = nowMs;
  }

  get budgetMs(): number {
    const { minMs, maxMs, initialMs, factor } = this.#policy;
    if (this.#intervals < LEAST_INTERVALS) return initialMs;
    return Math.min(maxMs, Math.max(minMs, this.#intervalMs * factor));
  }

  /** Something has come. An outage counts too: it lengthens the budget of a busy stream only for its next few messages. */
  heard(nowMs: number): void {
    const intervalMs = Math.min(nowMs - this.#lastMs, this.#policy.maxMs);
    this.#lastMs = nowMs;
    if (intervalMs <= 0) return;
    const weight = Math.max(LEARNING_RATE, 1 / (this.#intervals + 1));
    this.#intervalMs += weight * (intervalMs - this.#intervalMs);
    this.#intervals += 1;
  }

  spent(nowMs: number): boolean {
    return nowMs - this.#lastMs > this.budgetMs;
  }
}
