import { backoffDelayMs } from '../kernel/backoff.ts';
import type { Random } from '../kernel/random.ts';
import type { CircuitPolicy } from './settings.ts';

export type CircuitState = 'closed' | 'open' | 'half_open';

/** Stops asking an exchange that keeps failing: open after failures in a row, one trial after a growing pause. */
export class CircuitBreaker {
  readonly #policy: CircuitPolicy;
  readonly #random: Random;
  #state: CircuitState = 'closed';
  #failures = 0;
  #openings = 0;
  #retryAtMs = 0;

  constructor(policy: CircuitPolicy, random: Random) {
    this.#policy = policy;
    this.#random = random;
  }

  get state(): CircuitState {
    return this.#state;
  }

  /** Answers whether this success closed the circuit. */
  succeeded(): boolean {
    const closed = this.#state !== 'closed';
    this.#state = 'closed';
    this.#failures = 0;
    this.#openings = 0;
    return closed;
  }

  /** Answers whether this failure opened the circuit. `notBeforeMs` is a time the exchange itself has named (a ban). */
  failed(nowMs: number, notBeforeMs = 0): boolean {
    this.#failures += 1;
    if (this.#state === 'open') return false;
    if (this.#state === 'closed' && this.#failures < this.#policy.failures) return false;
    const pauseMs = backoffDelayMs(this.#policy.pause, this.#openings, this.#random);
    this.#openings += 1;
    this.#state = 'open';
    this.#retryAtMs = Math.max(nowMs + pauseMs, notBeforeMs);
    return true;
  }

  /** True once per opening, when the pause is over: the caller makes one trial. */
  tryHalfOpen(nowMs: number): boolean {
    if (this.#state !== 'open' || nowMs < this.#retryAtMs) return false;
    this.#state = 'half_open';
    return true;
  }
}
