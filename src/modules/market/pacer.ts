import type { Clock } from '../../kernel/clock.ts';

/**
 * At most one run per interval: at once when the last is long enough ago, else by one timer at the interval's end.
 * The phase is the caller's own, not a grid shared by all: a source that ticks at the same pace would wait half an interval on a grid.
 */
export class Pacer {
  readonly #intervalMs: number;
  readonly #clock: Clock;
  readonly #run: () => boolean;
  #lastMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  /** `run` answers whether it did anything; an idle run does not start a new interval. */
  constructor(intervalMs: number, clock: Clock, run: () => boolean) {
    this.#intervalMs = intervalMs;
    this.#clock = clock;
    this.#run = run;
  }

  /** Milliseconds since the last run that did something. */
  get idleMs(): number {
    return this.#clock.monotonic() - this.#lastMs;
  }

  request(): void {
    const waitMs = this.#intervalMs - this.idleMs;
    if (waitMs <= 0) this.runNow();
    else this.wakeIn(waitMs);
  }

  /** Runs after `delayMs`, unless a run is scheduled already. */
  wakeIn(delayMs: number): void {
    this.#timer ??= setTimeout(() => this.runNow(), Math.ceil(delayMs));
  }

  runNow(): void {
    this.cancel();
    const startedMs = this.#clock.monotonic();
    if (this.#run()) this.#lastMs = startedMs;
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
