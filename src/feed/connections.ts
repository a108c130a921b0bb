import type { BackoffPolicy } from '../kernel/backoff.ts';
import { backoffDelayMs } from '../kernel/backoff.ts';
import type { Random } from '../kernel/random.ts';
import type { CcxtClient } from './ccxt-surface.ts';

/** A connection that lasted this long was a good one: the next redial starts with a short pause. */
const STABLE_MS = 10_000;
/** Streams of a lost connection come back spread over this time. */
const SPREAD_MS = 250;

/** The open sockets of one exchange, and how long to wait after one is lost. Time is monotonic milliseconds. */
export class Connections {
  readonly #policy: BackoffPolicy;
  readonly #random: Random;
  readonly #open = new Map<CcxtClient, { readonly sinceMs: number; lastFrameMs: number }>();
  #redials = 0;
  #lastLossMs = -Infinity;

  constructor(policy: BackoffPolicy, random: Random) {
    this.#policy = policy;
    this.#random = random;
  }

  get size(): number {
    return this.#open.size;
  }

  has(client: CcxtClient): boolean {
    return this.#open.has(client);
  }

  opened(client: CcxtClient, nowMs: number): void {
    this.#open.set(client, { sinceMs: nowMs, lastFrameMs: nowMs });
  }

  received(client: CcxtClient, nowMs: number): void {
    const connection = this.#open.get(client);
    if (connection !== undefined) connection.lastFrameMs = nowMs;
  }

  /** Since the last frame of any kind; undefined when the socket is not open. */
  silentMs(client: CcxtClient, nowMs: number): number | undefined {
    const connection = this.#open.get(client);
    return connection && nowMs - connection.lastFrameMs;
  }

  /** Answers whether it had been open at all, and the pause before the next dial. */
  lost(client: CcxtClient, nowMs: number): { wasOpen: boolean; pauseMs: number } {
    const connection = this.#open.get(client);
    this.#open.delete(client);
    const stable = connection !== undefined && nowMs - connection.sinceMs > STABLE_MS;
    // The sockets of one exchange usually fall together: that is one loss.
    const together = nowMs - this.#lastLossMs < this.#policy.baseMs;
    this.#lastLossMs = nowMs;
    if (stable) this.#redials = 0;
    else if (!together) this.#redials += 1;
    const pauseMs = this.#redials === 0 ? 0 : backoffDelayMs(this.#policy, this.#redials - 1, this.#random);
    return { wasOpen: connection !== undefined, pauseMs };
  }

  /** So that streams do not come back all at once. */
  spreadMs(): number {
    return this.#random() * SPREAD_MS;
  }

  clear(): void {
    this.#open.clear();
  }
}
