import type { SilencePolicy } from './settings.ts';

/** Weight of the newest interval in the learned one: about the last ten count. */
const LEARNING_RATE = 0.1;

/**
 * How long one stream may say nothing before it is called stale, learned from its own rate: a fixed budget is too long
 * for a busy book and too short for an illiquid one.
 */
export class SilenceBudget {
  readonly #policy: SilencePolicy;
  #lastMs: number;
  #intervalMs: number | undefined;

  constructor(policy: SilencePolicy, nowMs: number) {
    this.#policy = policy;
    this.#lastMs = nowMs;
  }

  get budgetMs(): number {
    const { minMs, maxMs, initialMs, factor } = this.#policy;
    if (this.#intervalMs === undefined) return initialMs;
    return Math.min(maxMs, Math.max(minMs, this.#intervalMs * factor));
  }

  /** Something has come. A pause that was an outage is no news about the stream's usual rate. */
  heard(nowMs: number): void {
    const intervalMs = nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    if (intervalMs <= 0 || intervalMs > this.budgetMs) return;
    this.#intervalMs =
      this.#intervalMs === undefined ? intervalMs : this.#intervalMs + LEARNING_RATE * (intervalMs - this.#intervalMs);
  }

  /** Counting starts anew, for instance because the stream is being subscribed again. */
  restart(nowMs: number): void {
    this.#lastMs = nowMs;
  }

  spent(nowMs: number): boolean {
    return nowMs - this.#lastMs > this.budgetMs;
  }
}
