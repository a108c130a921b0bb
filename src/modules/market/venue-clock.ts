import type { Clock } from '../../kernel/clock.ts';

/** How long one sample of the difference is believed. */
const SAMPLE_AGE_MS = 10_000;
/** Clocks that differ by less than this are the same time, badly set. */
const RUNNING_SLACK_MS = 300_000;

/**
 * What the time is at an exchange. Candles close by the exchange's clock, which is ours only for a live and well-set one:
 * a recording plays years ago. The least delayed sample of the last 10 to 20 seconds counts.
 */
export class VenueClock {
  readonly #clock: Clock;
  #best = -Infinity;
  #previousBest = -Infinity;
  #turnMs = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A message that the exchange stamped `exchangeTs` has come just now. */
  saw(exchangeTs: number | undefined, ingestTs: number): void {
    if (exchangeTs === undefined || !Number.isFinite(exchangeTs)) return;
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#turnMs >= SAMPLE_AGE_MS) {
      this.#previousBest = this.#best;
      this.#best = -Infinity;
      this.#turnMs = nowMs;
    }
    this.#best = Math.max(this.#best, exchangeTs - ingestTs);
  }

  /** A candle that opened at `openTs` was said to be running just now: the only hint that some candle streams give. */
  sawRunning(openTs: number, timeframeMs: number, ingestTs: number): void {
    const nowTs = this.now();
    const fits = nowTs >= openTs - RUNNING_SLACK_MS && nowTs <= openTs + timeframeMs + RUNNING_SLACK_MS;
    if (!fits) this.saw(openTs, ingestTs);
  }

  now(): number {
    const difference = Math.max(this.#best, this.#previousBest);
    return this.#clock.now() + (difference === -Infinity ? 0 : difference);
  }
}
