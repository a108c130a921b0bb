import { assert } from './assert.ts';

/** A rate limit: `capacity` tokens at most, refilled at `refillPerSecond`. Time comes from the caller (monotonic ms). */
export class TokenBucket {
  readonly #capacity: number;
  readonly #refillPerMs: number;
  #tokens: number;
  #updatedMs: number;

  constructor(limits: { capacity: number; refillPerSecond: number }, nowMs: number) {
    assert(limits.capacity > 0 && limits.refillPerSecond > 0, 'token bucket: limits must be positive');
    this.#capacity = limits.capacity;
    this.#refillPerMs = limits.refillPerSecond / 1000;
    this.#tokens = limits.capacity;
    this.#updatedMs = nowMs;
  }

  tryTake(nowMs: number, count = 1): boolean {
    this.#refill(nowMs);
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** Milliseconds until `count` tokens are there; 0 when they are there now. */
  waitMs(nowMs: number, count = 1): number {
    this.#refill(nowMs);
    return this.#tokens >= count ? 0 : Math.ceil((count - this.#tokens) / this.#refillPerMs);
  }

  #refill(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.#updatedMs);
    this.#updatedMs = Math.max(this.#updatedMs, nowMs);
    this.#tokens = Math.min(this.#capacity, this.#tokens + elapsedMs * this.#refillPerMs);
  }
}
