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

/** How many wait now, and what became of all: let through at once or in their turn, given up by the client, or too many. */
export type HandshakeCounts = { waiting: number; atOnce: number; inTurn: number; abandoned: number; refused: number };

/** Lets handshakes through at a bounded rate, first come first served; the excess waits in a bounded queue. */
export class HandshakeGate {
  readonly #pace: HandshakePace;
  readonly #clockMs: () => number;
  readonly #counts: HandshakeCounts;
  readonly #bucket: TokenBucket;
  readonly #waiting = new Map<Socket, () => void>();
  #timer: NodeJS.Timeout | undefined;

  constructor(pace: HandshakePace, clockMs: () => number, counts: HandshakeCounts) {
    this.#pace = pace;
    this.#clockMs = clockMs;
    this.#counts = counts;
    this.#bucket = new TokenBucket(pace, clockMs());
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Runs `proceed` now or when its turn comes, unless the socket has closed by then. False: too many wait. */
  enter(socket: Socket, proceed: () => void): boolean {
    if (this.#waiting.size === 0 && this.#bucket.tryTake(this.#clockMs())) {
      this.#counts.atOnce += 1;
      proceed();
      return true;
    }
    if (this.#waiting.size >= this.#pace.waitingLimit) {
      this.#counts.refused += 1;
      return false;
    }
    this.#waiting.set(socket, proceed);
    this.#counts.waiting += 1;
    listen(socket);
    socket.once('close', () => {
      if (this.#leave(socket)) this.#counts.abandoned += 1;
    });
    this.#schedule();
    return true;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#counts.waiting -= this.#waiting.size;
    this.#waiting.clear();
  }

  /** False when it did not wait any more. */
  #leave(socket: Socket): boolean {
    if (!this.#waiting.delete(socket)) return false;
    this.#counts.waiting -= 1;
    return true;
  }

  #schedule(): void {
    if (this.#waiting.size === 0) return;
    this.#timer ??= setTimeout(() => this.#admit(), Math.max(1, this.#bucket.waitMs(this.#clockMs())));
  }

  #admit(): void {
    this.#timer = undefined;
    for (const [socket, proceed] of this.#waiting) {
      if (!this.#bucket.tryTake(this.#clockMs())) break;
      this.#leave(socket);
      stopListening(socket);
      this.#counts.inTurn += 1;
      proceed();
    }
    this.#schedule();
  }
}

/** Only who reads learns that the peer has gone. Nobody may speak before the handshake is answered (RFC 6455, 4.1): who does is cut. */
function listen(socket: Socket): void {
  socket.on('data', destroyIt);
  socket.on('end', destroyIt);
}

/** Leaves the socket as Node's HTTP server gives it to an upgrade: whoever listens next starts the reading. */
function stopListening(socket: Socket): void {
  socket.off('data', destroyIt);
  socket.off('end', destroyIt);
  socket.pause();
  (socket as { readableFlowing: boolean | null }).readableFlowing = null;
}

function destroyIt(this: Socket): void {
  this.destroy();
}
