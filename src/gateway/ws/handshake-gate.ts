import type { Socket } from 'node:net';
import { TokenBucket } from '../../kernel/token-bucket.ts';

/**
 * Handshakes of one process. Measured: one, with its welcome and the snapshots that follow, costs about a millisecond, so that
 * thousands of clients who lost another server in one moment would stand still those who are served here.
 */
const HANDSHAKES = { capacity: 100, refillPerSecond: 500 } as const;
/** Who would wait longer than a client's patience (10 s until `welcome`) is better off elsewhere, or later. */
const WAITING_LIMIT = 3_000;

export type HandshakePace = Readonly<{ capacity: number; refillPerSecond: number; waitingLimit: number }>;
export const HANDSHAKE_PACE: HandshakePace = { ...HANDSHAKES, waitingLimit: WAITING_LIMIT };

/** Lets handshakes through at a bounded rate, first come first served; the excess waits in a bounded queue. */
export class HandshakeGate {
  readonly #pace: HandshakePace;
  readonly #clockMs: () => number;
  readonly #bucket: TokenBucket;
  readonly #waiting = new Map<Socket, () => void>();
  #timer: NodeJS.Timeout | undefined;

  constructor(pace: HandshakePace, clockMs: () => number) {
    this.#pace = pace;
    this.#clockMs = clockMs;
    this.#bucket = new TokenBucket(pace, clockMs());
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Runs `proceed` now or when its turn comes, unless the socket has closed by then. False: too many wait. */
  enter(socket: Socket, proceed: () => void): boolean {
    if (this.#waiting.size === 0 && this.#bucket.tryTake(this.#clockMs())) {
      proceed();
      return true;
    }
    if (this.#waiting.size >= this.#pace.waitingLimit) return false;
    this.#waiting.set(socket, proceed);
    socket.once('close', () => this.#waiting.delete(socket));
    this.#schedule();
    return true;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting.clear();
  }

  #schedule(): void {
    if (this.#waiting.size === 0) return;
    this.#timer ??= setTimeout(() => this.#admit(), Math.max(1, this.#bucket.waitMs(this.#clockMs())));
  }

  #admit(): void {
    this.#timer = undefined;
    for (const [socket, proceed] of this.#waiting) {
      if (!this.#bucket.tryTake(this.#clockMs())) break;
      this.#waiting.delete(socket);
      proceed();
    }
    this.#schedule();
  }
}
