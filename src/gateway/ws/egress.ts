import type { NativeWriter } from '../../platform/native-writer/native-writer.ts';
import type { StreamPosition } from '../../protocol/messages.ts';
import type { Frame } from './frame.ts';
import { FrameRows } from './frame-rows.ts';
import { GatheredFrames } from './gathered-frames.ts';
import type { Writes } from './hub-metrics.ts';
import type { Outbox } from './outbox.ts';
import type { Subscription } from './topic.ts';

/** Frames that wait for the end of their window, of all sockets together; one more, and everything leaves at once. */
const GATHERED_LIMIT_FRAMES = 262_144;
/** Node's timers may come so much early. */
const TIMER_GRAIN_MS = 1;
/** `dueMs` of what does not wait for a window. */
export const AT_ONCE = 0;
/** Of a socket to which nothing can go past its stream. */
const NO_DESCRIPTOR = -1;

/** A frame on its way, and what must be known when it is thrown away: shared by all receivers of one live message. */
export type Outbound = Readonly<{
  frame: Frame;
  /** Where its stream's receivers stood before it; null for what belongs to no stream. */
  before: StreamPosition | null;
  /** It says how far the source is to be believed: when it is thrown away, that must be said again. */
  tellsState: boolean;
  /** The window of its stream. */
  windowMs: number;
}>;

export type EgressSetup = Readonly<{
  native: NativeWriter | null;
  clockMs: () => number;
  writes: Writes;
  /** The native writer has refused a program, which is a fault of ours; it is not used any more. */
  onNativeFault: (error: unknown) => void;
}>;

/**
 * Everything for sockets leaves this process here. Frames gather until their window ends (without one: until this turn of the
 * event loop does), and then all that is due to one socket leaves in one system call, each frame still a message of its own.
 * With a native writer one call serves all sockets that have nothing on its way already; what that leaves over, and everything
 * where there is none, is written to the sockets' streams.
 */
export class Egress {
  readonly #writes: Writes;
  readonly #clockMs: () => number;
  readonly #onNativeFault: (error: unknown) => void;
  readonly #gathered = new GatheredFrames();
  readonly #rows = new FrameRows(this.#gathered);
  /** Outboxes with something gathered. One that has been emptied since may still be here, or be here twice. */
  #filled: Outbox[] = [];
  #urgent: Outbox[] = [];
  #drained: Outbox[] = [];
  /** Frames since `takeAdded`. */
  #added = 0;
  /** How many outboxes have something gathered. */
  #open = 0;
  #native: NativeWriter | null;
  /** The outboxes of a native send and what each has, in the order of the program. */
  readonly #sent: Outbox[] = [];
  readonly #sentBytes: number[] = [];
  #results = new Int32Array(1_024);
  #turnEndAwaited = false;
  #flushing = false;
  #timer: NodeJS.Timeout | undefined;
  #timerMs = Infinity;
  readonly #onTurnEnd = (): void => this.#endTurn();
  readonly #onTimer = (): void => this.#endWindow();

  constructor(setup: EgressSetup) {
    this.#native = setup.native;
    this.#writes = setup.writes;
    this.#clockMs = setup.clockMs;
    this.#onNativeFault = setup.onNativeFault;
  }

  /** `dueMs` (monotonic): when the frame leaves at the latest, and with it all that `outbox` has gathered by then. */
  add(outbox: Outbox, outbound: Outbound, subscription: Subscription | null, batched: boolean, dueMs: number): void {
    this.#added += 1;
    const entry = this.#gathered.add(outbound, subscription, batched);
    if (outbox.head === -1) {
      this.#open += 1;
      this.#filled.push(outbox);
      outbox.head = entry;
      outbox.dueMs = Infinity;
    } else this.#gathered.link(outbox.tail, entry);
    outbox.tail = entry;
    if (dueMs < outbox.dueMs) {
      outbox.dueMs = dueMs;
      if (dueMs === AT_ONCE) this.#hurry(outbox);
      else this.#wakeAt(dueMs);
    }
    if (this.#gathered.size >= GATHERED_LIMIT_FRAMES && !this.#flushing) this.#flushAll();
  }

  /** Sends now what `outbox` has gathered; at the end of the turn when others are being sent to just now. */
  flush(outbox: Outbox): void {
    if (this.#flushing) this.#hurry(outbox);
    else this.#flush([outbox]);
  }

  /** Takes what streams have gathered out again and leaves replies and events. */
  dropStreams(outbox: Outbox, onDropped: (outbound: Outbound, subscription: Subscription) => void): void {
    if (outbox.head === -1) return;
    const kept = this.#gathered.withoutStreams(outbox.head, onDropped);
    outbox.head = kept.head;
    outbox.tail = kept.tail;
    if (kept.head === -1) this.#emptied();
  }

  discard(outbox: Outbox): void {
    if (outbox.head === -1) return;
    outbox.head = -1;
    outbox.tail = -1;
    this.#emptied();
  }

  /** Calls `outbox.drained` at the end of this turn. */
  tellDrained(outbox: Outbox): void {
    this.#drained.push(outbox);
    this.#awaitTurnEnd();
  }

  /** How many frames were added since the last call. */
  takeAdded(): number {
    const added = this.#added;
    this.#added = 0;
    return added;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timerMs = Infinity;
  }

  #hurry(outbox: Outbox): void {
    this.#urgent.push(outbox);
    this.#awaitTurnEnd();
  }

  #awaitTurnEnd(): void {
    if (this.#turnEndAwaited) return;
    this.#turnEndAwaited = true;
    process.nextTick(this.#onTurnEnd);
  }

  #wakeAt(dueMs: number): void {
    if (dueMs >= this.#timerMs) return;
    clearTimeout(this.#timer);
    this.#timerMs = dueMs;
    this.#timer = setTimeout(this.#onTimer, Math.max(0, dueMs - this.#clockMs()));
  }

  #endTurn(): void {
    this.#turnEndAwaited = false;
    const urgent = this.#urgent;
    this.#urgent = [];
    this.#flush(urgent);
    const drained = this.#drained;
    this.#drained = [];
    for (const outbox of drained) outbox.drained();
  }

  #endWindow(): void {
    this.#timerMs = Infinity;
    const nowMs = this.#clockMs();
    const due: Outbox[] = [];
    const rest: Outbox[] = [];
    let nextMs = Infinity;
    for (const outbox of this.#filled) {
      if (outbox.head === -1) continue;
      if (outbox.dueMs <= nowMs + TIMER_GRAIN_MS) due.push(outbox);
      else {
        rest.push(outbox);
        nextMs = Math.min(nextMs, outbox.dueMs);
      }
    }
    this.#filled = rest;
    this.#flush(due);
    if (nextMs < Infinity) this.#wakeAt(nextMs);
  }

  #flushAll(): void {
    const filled = this.#filled;
    this.#filled = [];
    this.#flush(filled);
  }

  #flush(outboxes: readonly Outbox[]): void {
    this.#rows.begin();
    this.#flushing = true;
    for (const outbox of this.#native === null ? outboxes : this.#sendNatively(outboxes)) {
      if (outbox.head === -1) continue;
      const rowAt = this.#handOver(outbox, NO_DESCRIPTOR);
      this.#writes.stream += 1;
      outbox.write(this.#rows.joined(rowAt));
      // Not for the native writer.
      this.#rows.length = rowAt;
    }
    this.#flushing = false;
    this.#emptied(0);
  }

  /** Answers where the outbox's row stands; its bytes and messages are those of `rows`. */
  #handOver(outbox: Outbox, descriptor: number): number {
    const rows = this.#rows;
    const rowAt = rows.put(descriptor, outbox.head, outbox.wire.codec);
    outbox.handOver(rows.messages, rows.bytes);
    this.#open -= 1;
    return rowAt;
  }

  /**
   * Answers those that take the ordinary way. They have to wait: from the first descriptor that is read until all have been sent to,
   * no socket may be written to, because what a write finds out can close one, and then its descriptor belongs to somebody else.
   */
  #sendNatively(outboxes: readonly Outbox[]): Outbox[] {
    const others: Outbox[] = [];
    const sent = this.#sent;
    const sentBytes = this.#sentBytes;
    sent.length = 0;
    sentBytes.length = 0;
    for (const outbox of outboxes) {
      if (outbox.head === -1) continue;
      const descriptor = outbox.wire.descriptor();
      if (descriptor === NO_DESCRIPTOR) {
        others.push(outbox);
        continue;
      }
      this.#handOver(outbox, descriptor);
      sent.push(outbox);
      sentBytes.push(this.#rows.bytes);
    }
    if (sent.length > 0) this.#sendRows();
    return others;
  }

  #sendRows(): void {
    const rows = this.#rows;
    const sent = this.#sent;
    if (this.#results.length < sent.length) this.#results = new Int32Array(sent.length * 2);
    const results = this.#results;
    try {
      this.#native!.send(rows.buffers, rows.program, rows.length, results);
      this.#writes.native += sent.length;
    } catch (error) {
      // It refuses before it sends anything.
      results.fill(0);
      this.#native = null;
      this.#onNativeFault(error);
    }
    let rowAt = 0;
    for (let index = 0; index < sent.length; index++) {
      const taken = results[index]!;
      if (taken === this.#sentBytes[index]) sent[index]!.leftAtOnce();
      else {
        this.#writes.partial += 1;
        // A broken socket takes nothing either: its stream finds out by itself.
        sent[index]!.write(rows.joined(rowAt).subarray(Math.max(0, taken)));
      }
      rowAt = rows.after(rowAt);
    }
  }

  /** The columns are used again as soon as nothing is gathered by anybody. */
  #emptied(outboxes = 1): void {
    this.#open -= outboxes;
    if (this.#open > 0) return;
    this.#gathered.clear();
    this.#filled = [];
  }
}
