import type { Clock } from '../../kernel/clock.ts';

/**
 * A run that is due within this share of the interval happens at once: what comes at the same pace as it may leave, a little
 * early or late each time, would be held and woken up for every other time. What is early is added to the next interval.
 */
const EARLY_SHARE = 0.25;

/**
 * At most one run per interval, in the mean: at once when the last is long enough ago, else by one timer at the interval's end.
 * The phase is the caller's own, not a grid shared by all: a source that ticks at the same pace would wait half an interval on a grid.
 */
export class Pacer {
  readonly #intervalMs: number;
  readonly #earlyMs: number;
  readonly #clock: Clock;
  readonly #run: () => boolean;
  #lastMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  /** `run` answers whether it did anything; an idle run does not start a new interval. */
  constructor(intervalMs: number, clock: Clock, run: () => boolean) {
    this.#intervalMs = intervalMs;
    this.#earlyMs = intervalMs * EARLY_SHARE;
    this.#clock = clock;
    this.#run = run;
  }

  /** Milliseconds since the last run that did something. */
  get idleMs(): number {
    return this.#clock.monotonic() - this.#lastMs;
  }

  request(): void {
    const waitMs = this.#intervalMs - this.idleMs;
    if (waitMs <= this.#earlyMs) this.runNow();
    else this.wakeIn(waitMs);
  }

  /** Runs after `delayMs`, unless a run is scheduled already. */
  wakeIn(delayMs: number): void {
    this.#timer ??= setTimeout(() => this.runNow(), Math.ceil(delayMs));
  }

  runNow(): void {
    this.cancel();
    const startedMs = this.#clock.monotonic();
    if (!this.#run()) return;
    const earlyMs = Math.min(this.#earlyMs, Math.max(0, this.#lastMs + this.#intervalMs - startedMs));
    this.#lastMs = startedMs + earlyMs;
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
