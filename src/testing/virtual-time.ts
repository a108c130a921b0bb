import type { Clock } from '../kernel/clock.ts';

type Timer = { dueMs: number; run: () => void; cancelled: boolean };

/**
 * Plays a timeline as fast as the processor can: timers and immediates of the code under test fire at their own virtual time,
 * so that a second's worth of pacing costs a second's worth of work and no waiting.
 */
export class VirtualTime {
  readonly clock: Clock = { now: () => Math.trunc(this.#epochMs + this.#nowMs), monotonic: () => this.#nowMs };
  readonly #epochMs: number;
  #nowMs = performance.now();
  /** Sorted by due time; never more than one per stream or so. */
  #timers: Timer[] = [];
  #immediates: Timer[] = [];

  constructor(epochMs: number) {
    this.#epochMs = epochMs - this.#nowMs;
  }

  /** Replaces the process's own timers; what they hold already still fires in real time. */
  install(): void {
    const replaced = {
      setTimeout: (run: () => void, delayMs = 0) => this.#add(run, Math.max(1, delayMs)),
      clearTimeout: (timer: Timer | undefined) => void (timer !== undefined && (timer.cancelled = true)),
      setImmediate: (run: () => void) => {
        const timer = { dueMs: 0, run, cancelled: false };
        this.#immediates.push(timer);
        return timer;
      },
      clearImmediate: (timer: Timer | undefined) => void (timer !== undefined && (timer.cancelled = true)),
    };
    Object.assign(globalThis, replaced);
  }

  /** Fires what is due on the way, one turn each. */
  advanceTo(targetMs: number): void {
    for (let next = this.#timers[0]; next !== undefined && next.dueMs <= targetMs; next = this.#timers[0]) {
      this.#timers.shift();
      if (next.cancelled) continue;
      this.#nowMs = next.dueMs;
      next.run();
      this.endTurn();
    }
    this.#nowMs = targetMs;
  }

  endTurn(): void {
    while (this.#immediates.length > 0) {
      const turn = this.#immediates;
      this.#immediates = [];
      for (const { run, cancelled } of turn) if (!cancelled) run();
    }
  }

  #add(run: () => void, delayMs: number): Timer {
    const timer = { dueMs: this.#nowMs + delayMs, run, cancelled: false };
    let at = this.#timers.length;
    while (at > 0 && this.#timers[at - 1]!.dueMs > timer.dueMs) at -= 1;
    this.#timers.splice(at, 0, timer);
    return timer;
  }
}
