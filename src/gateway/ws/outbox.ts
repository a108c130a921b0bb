import { BoundedQueue } from '../../kernel/bounded-queue.ts';
import type { StreamPosition } from '../../protocol/messages.ts';
import type { Traffic } from './hub-metrics.ts';
import type { Subscription } from './topic.ts';
import type { Frame, Wire } from './wire.ts';

/**
 * At most this much is handed to the socket at a time; the rest waits here, where it is counted exactly and can still be
 * thrown away. engine.io's write buffer has no cap, and `ws.bufferedAmount` does not see it.
 */
const WINDOW_BYTES = 65_536;
const WINDOW_FRAMES = 64;

/** What has not left this process yet. `ageMs` is the age of the oldest of it. */
export type Backlog = Readonly<{ frames: number; bytes: number; ageMs: number }>;

/** `before` is where the subscription stood before this frame: the place to return to when the frame is thrown away. */
type Waiting = Readonly<{ frame: Frame; origin: Origin | null; sinceMs: number }>;
type Origin = Readonly<{ subscription: Subscription; before: StreamPosition }>;

/** One connection's way out: first in, first out, never more than `limits` frames waiting. */
export class Outbox {
  readonly #wire: Wire;
  readonly #traffic: Traffic;
  readonly #waiting: BoundedQueue<Waiting>;
  readonly #onDrain: () => void;
  readonly #onWritten = (): void => this.#written();
  #waitingBytes = 0;
  #handedFrames = 0;
  #handedBytes = 0;
  #oldestMs = 0;

  /** `onDrain` is called whenever everything handed to the socket has left and there may be room again. */
  constructor(options: { wire: Wire; traffic: Traffic; waitingLimitFrames: number; onDrain: () => void }) {
    this.#wire = options.wire;
    this.#traffic = options.traffic;
    this.#waiting = new BoundedQueue(options.waitingLimitFrames);
    this.#onDrain = options.onDrain;
  }

  get frames(): number {
    return this.#handedFrames + this.#waiting.length;
  }

  get bytes(): number {
    return this.#handedBytes + this.#waitingBytes;
  }

  /** The next frame would go straight to the socket. */
  get hasRoom(): boolean {
    return this.#waiting.length === 0 && this.#handedFrames < WINDOW_FRAMES && this.#handedBytes < WINDOW_BYTES;
  }

  backlog(nowMs: number): Backlog {
    return {
      frames: this.frames,
      bytes: this.bytes,
      ageMs: this.frames === 0 ? 0 : Math.max(0, nowMs - this.#oldestMs),
    };
  }

  /** False when the queue is full: the frame is lost, and the connection with it. */
  send(frame: Frame, subscription: Subscription | null, before: StreamPosition | null, nowMs: number): boolean {
    if (this.hasRoom) {
      this.#hand(frame, nowMs);
      return true;
    }
    const origin = subscription && before && { subscription, before };
    if (!this.#waiting.offer({ frame, origin, sinceMs: nowMs })) return false;
    this.#waitingBytes += frame.buffer.length;
    return true;
  }

  /** Throws away what streams have waiting and keeps replies and events, in order. Answers how many frames went. */
  dropStreamFrames(onDropped: (subscription: Subscription, before: StreamPosition) => void): number {
    const all = this.#waiting.takeAll();
    let dropped = 0;
    this.#waitingBytes = 0;
    for (const waiting of all) {
      if (waiting.origin !== null) {
        dropped += 1;
        onDropped(waiting.origin.subscription, waiting.origin.before);
        continue;
      }
      this.#waiting.offer(waiting);
      this.#waitingBytes += waiting.frame.buffer.length;
    }
    return dropped;
  }

  /** Hands everything over whatever the window says: the connection is about to be closed. */
  flush(): void {
    for (let next = this.#waiting.take(); next !== undefined; next = this.#waiting.take()) {
      this.#hand(next.frame, next.sinceMs);
    }
    this.#waitingBytes = 0;
  }

  discard(): void {
    this.#waiting.takeAll();
    this.#waitingBytes = 0;
    this.#handedFrames = 0;
    this.#handedBytes = 0;
  }

  #hand(frame: Frame, sinceMs: number): void {
    this.#oldestMs = this.#handedFrames === 0 ? sinceMs : Math.min(this.#oldestMs, sinceMs);
    this.#handedFrames += 1;
    this.#handedBytes += frame.buffer.length;
    this.#traffic.frames += 1;
    this.#traffic.bytes += frame.buffer.length;
    this.#wire.write(frame, this.#onWritten);
  }

  /** The window opens again only when all of it is out: what has gathered meanwhile then leaves in one system call. */
  #written(): void {
    if (this.#handedFrames === 0) return;
    this.#handedFrames -= 1;
    if (this.#handedFrames > 0) return;
    this.#handedBytes = 0;
    this.#pump();
    if (this.hasRoom) this.#onDrain();
  }

  #pump(): void {
    while (this.#handedFrames < WINDOW_FRAMES && this.#handedBytes < WINDOW_BYTES) {
      const next = this.#waiting.take();
      if (next === undefined) return;
      this.#waitingBytes -= next.frame.buffer.length;
      this.#hand(next.frame, next.sinceMs);
    }
  }
}
