import { BoundedQueue } from '../../kernel/bounded-queue.ts';
import { AT_ONCE } from './egress.ts';
import type { Codec } from './codec.ts';
import type { Egress, Outbound } from './egress.ts';
import type { Traffic } from './hub-metrics.ts';
import type { Subscription } from './topic.ts';
import type { Wire } from './wire.ts';

/**
 * At most this much is handed to the socket at a time, and nothing more until all of it has left; the rest waits here, where it
 * is counted exactly and can still be thrown away. Streams and libraries have no cap of their own.
 */
const WINDOW_BYTES = 65_536;
const WINDOW_FRAMES = 256;

/** What has not left this process yet. `ageMs` is the age of the oldest of it. */
export type Backlog = Readonly<{ frames: number; bytes: number; ageMs: number }>;

/** `subscription` is null for replies and events. */
type Waiting = Readonly<{ outbound: Outbound; subscription: Subscription | null; sinceMs: number }>;
export type OnDropped = (outbound: Outbound, subscription: Subscription) => void;

export interface OutboxOwner {
  /** After `awaitRoom`: everything has left. */
  onDrain(): void;
  /** The socket has not taken everything that it was handed. Called while others are being sent to: to be looked into later. */
  onHeldUp(): void;
}

/**
 * One connection's way out: first in, first out. A frame is gathered (in the egress, until its window ends), then handed to the
 * socket; while that has not taken everything, frames wait, never more than `waitingLimit`.
 */
export class Outbox {
  readonly wire: Wire;
  readonly codec: Codec;
  readonly #egress: Egress;
  readonly #traffic: Traffic;
  readonly #owner: OutboxOwner;
  readonly #waitingLimit: number;
  /** The egress's: this outbox's list of gathered frames. */
  head = -1;
  tail = -1;
  #waiting: BoundedQueue<Waiting> | null = null;
  #waitingBytes = 0;
  #gatheredFrames = 0;
  #gatheredBytes = 0;
  #handedFrames = 0;
  #handedBytes = 0;
  /** Since when the oldest of what was handed over is on its way. */
  #handedSinceMs = 0;
  #roomAwaited = false;
  /** The delivery's: live messages do not go straight through, because snapshots stand for them. */
  conflating = false;
  /** The delivery's: live messages wait for their streams' windows. */
  gathers = false;
  /** The delivery's: windows of the streams of all live messages taken, added up. */
  windowsMs = 0;

  constructor(wire: Wire, egress: Egress, traffic: Traffic, owner: OutboxOwner, waitingLimit: number) {
    this.wire = wire;
    this.codec = wire.codec;
    this.#egress = egress;
    this.#traffic = traffic;
    this.#owner = owner;
    this.#waitingLimit = waitingLimit;
  }

  get frames(): number {
    return this.#handedFrames + this.#gatheredFrames + (this.#waiting?.length ?? 0);
  }

  get bytes(): number {
    return this.#handedBytes + this.#gatheredBytes + this.#waitingBytes;
  }

  /** The next frame would not have to wait for the socket. */
  get hasRoom(): boolean {
    return this.#handedFrames === 0 && this.#waiting === null;
  }

  backlog(nowMs: number): Backlog {
    const { frames, bytes } = this;
    if (frames === 0) return { frames, bytes, ageMs: 0 };
    const sinceMs = this.#handedFrames === 0 && this.head !== -1 ? this.#egress.sinceMs(this) : this.#handedSinceMs;
    return { frames, bytes, ageMs: Math.max(0, nowMs - sinceMs) };
  }

  /** False when the queue is full: the frame is lost, and the connection with it. */
  send(outbound: Outbound, subscription: Subscription | null, nowMs: number, dueMs: number): boolean {
    if (this.hasRoom) {
      this.#gather(outbound, subscription, isBatched(subscription), nowMs, dueMs);
      return true;
    }
    return this.#wait({ outbound, subscription, sinceMs: nowMs });
  }

  /** The short way of a live message, of which almost all take it. False when it is closed: then the delivery decides. */
  takeLive(outbound: Outbound, subscription: Subscription, batched: boolean, nowMs: number, dueMs: number): boolean {
    if (this.conflating || this.#handedFrames !== 0 || this.#waiting !== null) return false;
    this.windowsMs += outbound.windowMs;
    this.#gather(outbound, subscription, batched, nowMs, batched || this.gathers ? dueMs : AT_ONCE);
    return true;
  }

  /** Has `onDrain` called when everything has left. */
  awaitRoom(): void {
    this.#roomAwaited = true;
  }

  /** Throws away what streams have gathered and waiting and keeps replies and events, in order. Answers how many frames went. */
  dropStreamFrames(onDropped: OnDropped): number {
    let dropped = 0;
    this.#egress.dropStreams(this, (outbound, subscription) => {
      dropped += 1;
      this.#gatheredFrames -= 1;
      this.#gatheredBytes -= outbound.frame.bytes.length;
      onDropped(outbound, subscription);
    });
    for (const each of this.#takeWaiting()) {
      if (each.subscription === null) {
        this.#wait(each);
        continue;
      }
      dropped += 1;
      onDropped(each.outbound, each.subscription);
    }
    return dropped;
  }

  /** Hands over what was gathered, window or not: it cannot be thrown away any more. */
  handGathered(): void {
    if (this.head !== -1) this.#egress.flush(this);
  }

  /** Hands everything over, whatever the socket has taken: the connection is about to be closed. */
  flush(): void {
    this.handGathered();
    const waiting = this.#takeWaiting();
    if (waiting.length === 0) return;
    this.wire.write(Buffer.concat(waiting.map(({ outbound }) => outbound.frame.bytes)), () => undefined);
  }

  discard(): void {
    this.#egress.discard(this);
    this.#takeWaiting();
    this.#gatheredFrames = 0;
    this.#gatheredBytes = 0;
    this.#handedFrames = 0;
    this.#handedBytes = 0;
  }

  /** The egress's: what was gathered leaves now, as so many messages. Answers how many frames that were; what does not leave is to be written. */
  handOver(messages: number, bytes: number): number {
    const frames = this.#gatheredFrames;
    this.head = -1;
    this.#gatheredFrames = 0;
    this.#gatheredBytes = 0;
    this.#traffic.frames += messages;
    this.#traffic.bytes += bytes;
    if (this.#roomAwaited && this.#waiting === null) this.#egress.tellDrained(this);
    return frames;
  }

  /** The egress's: the socket's stream is to take these bytes of `frames` that were handed over. */
  write(bytes: Buffer, frames: number, sinceMs: number): void {
    this.#handedFrames = frames;
    this.#handedBytes = bytes.length;
    this.#handedSinceMs = sinceMs;
    if (this.wire.write(bytes, () => this.#left())) {
      this.#handedFrames = 0;
      this.#handedBytes = 0;
    } else this.#owner.onHeldUp();
  }

  /** The egress's: the end of the turn in which everything has left. */
  drained(): void {
    if (!this.#roomAwaited || !this.hasRoom) return;
    this.#roomAwaited = false;
    this.#owner.onDrain();
  }

  /** The socket has taken everything: what has gathered meanwhile leaves in one go, within the window. */
  #left(): void {
    // After a close.
    if (this.#handedFrames === 0) return;
    this.#handedFrames = 0;
    this.#handedBytes = 0;
    while (this.#waiting !== null && this.#handedFrames === 0) {
      const next = this.#waiting.take();
      if (next === undefined) {
        this.#waiting = null;
        break;
      }
      this.#waitingBytes -= next.outbound.frame.bytes.length;
      const { outbound, subscription, sinceMs } = next;
      this.#gather(outbound, subscription, isBatched(subscription), sinceMs, AT_ONCE);
    }
    this.handGathered();
    this.drained();
  }

  #gather(
    outbound: Outbound,
    subscription: Subscription | null,
    batched: boolean,
    sinceMs: number,
    dueMs: number,
  ): void {
    this.#gatheredFrames += 1;
    this.#gatheredBytes += outbound.frame.bytes.length;
    this.#egress.add(this, outbound, subscription, batched, sinceMs, dueMs);
    if (this.#gatheredFrames >= WINDOW_FRAMES || this.#gatheredBytes >= WINDOW_BYTES) this.handGathered();
  }

  #wait(waiting: Waiting): boolean {
    this.#waiting ??= new BoundedQueue(this.#waitingLimit);
    if (!this.#waiting.offer(waiting)) return false;
    this.#waitingBytes += waiting.outbound.frame.bytes.length;
    return true;
  }

  #takeWaiting(): Waiting[] {
    const waiting = this.#waiting?.takeAll() ?? [];
    this.#waiting = null;
    this.#waitingBytes = 0;
    return waiting;
  }
}

function isBatched(subscription: Subscription | null): boolean {
  return subscription !== null && subscription.batchMs !== null;
}
