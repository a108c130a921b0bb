import { TokenBucket } from '../../kernel/token-bucket.ts';
import type { ConnectionLimits } from '../../protocol/limits.ts';

/** `abuse`: refused so often without a pause that the connection should be closed. */
export type Admittance = 'ok' | 'refused' | 'abuse';

/** What one connection may send: a token bucket, and strikes for what comes in spite of it. A pause that refills the bucket clears them. */
export class InboundGuard {
  readonly #bucket: TokenBucket;
  readonly #burst: number;
  readonly #strikesLimit: number;
  #strikes = 0;

  constructor(limits: ConnectionLimits, nowMs: number) {
    const { inboundBurst: capacity, inboundMessagesPerSecond: refillPerSecond } = limits;
    this.#bucket = new TokenBucket({ capacity, refillPerSecond }, nowMs);
    this.#burst = capacity;
    this.#strikesLimit = limits.rateStrikes;
  }

  admit(nowMs: number): Admittance {
    if (this.#strikes > 0 && this.#bucket.waitMs(nowMs, this.#burst) === 0) this.#strikes = 0;
    if (this.#bucket.tryTake(nowMs)) return 'ok';
    this.#strikes += 1;
    return this.#strikes > this.#strikesLimit ? 'abuse' : 'refused';
  }

  /** Milliseconds until the next message would be admitted. */
  retryAfterMs(nowMs: number): number {
    return this.#bucket.waitMs(nowMs);
  }
}
