import type { NativeWriter } from '../../platform/native-writer/native-writer.ts';
import type { StreamPosition } from '../../protocol/messages.ts';
import type { Frame } from './frame.ts';
import { FrameRows } from './frame-rows.ts';
import { GatheredFrames } from './gathered-frames.ts';
import type { Writes } from './hub-metrics.ts';
import type { Outbox } from './outbox.ts';
import type { Subscription } from './topic.ts';

/** Frames that wait for the end of their window, of all sockets together; one more, and everything leaves at once. */
export const GATHERED_LIMIT_FRAMES = 262_144;
/** Node's timers may come so much early. */
const TIMER_GRAIN_MS = 1;
/** `dueMs` of what does not wait for a window. */
export const AT_ONCE = 0;
/** Of a socket to which nothing can go past its stream. */
const NO_DESCRIPTOR = -1;
const INITIAL_ROOM = 1_024;

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
  /** Outboxes whose frames wait for a window. One that has been emptied since may still be here, or be here twice. */
  #filled: Outbox[] = [];
  /** Those that are due at the end of this turn. */
  #urgent: Outbox[] = [];
  #drained: Outbox[] = [];
  /** Frames since `takeAdded`. */
  #added = 0;
  /** How many outboxes have something gathered. */
  #open = 0;
  #native: NativeWriter | null;
  #descriptors = new Int32Array(INITIAL_ROOM);
  /** The outboxes of a native send and what each has handed over, in the order of the program. */
  readonly #sent: Outbox[] = [];
  #sentBytes = new Int32Array(INITIAL_ROOM);
  #sentFrames = new Int32Array(INITIAL_ROOM);
  #sentSinceMs = new Float64Array(INITIAL_ROOM);
  #results = new Int32Array(INITIAL_ROOM);
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

  /**
   * `dueMs` (monotonic): when the frame leaves at the latest, and with it all that `outbox` has gathered by then. `sinceMs`
   * (monotonic): since when it is on its way.
   */
  add(
    outbox: Outbox,
    outbound: Outbound,
    subscription: Subscription | null,
    batched: boolean,
    sinceMs: number,
    dueMs: number,
  ): void {
    const gathered = this.#gathered;
    this.#added += 1;
    const entry = gathered.add(outbound, subscription, batched, sinceMs);
    if (outbox.head === -1) {
      this.#open += 1;
      outbox.head = entry;
      this.#await(outbox, dueMs);
    } else {
      gathered.link(outbox.tail, entry);
      if (dueMs < gathered.dueMs(outbox.head)) this.#await(outbox, dueMs);
    }
    outbox.tail = entry;
    if (gathered.size >= GATHERED_LIMIT_FRAMES && !this.#flushing) this.#flushAll();
  }

  /** Since when the first of what `outbox` has gathered is on its way (monotonic ms). */
  sinceMs(outbox: Outbox): number {
    return this.#gathered.sinceMs(outbox.head);
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

  #await(outbox: Outbox, dueMs: number): void {
    this.#gathered.setDueMs(outbox.head, dueMs);
    if (dueMs === AT_ONCE) return this.#hurry(outbox);
    this.#filled.push(outbox);
    this.#wakeAt(dueMs);
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
      const dueMs = this.#gathered.dueMs(outbox.head);
      if (dueMs <= nowMs + TIMER_GRAIN_MS) due.push(outbox);
      else {
        rest.push(outbox);
        nextMs = Math.min(nextMs, dueMs);
      }
    }
    this.#filled = rest;
    this.#flush(due);
    if (nextMs < Infinity) this.#wakeAt(nextMs);
  }

  #flushAll(): void {
    const all = [...this.#urgent, ...this.#filled];
    this.#filled = [];
    this.#urgent = [];
    this.#flush(all);
  }

  #flush(outboxes: readonly Outbox[]): void {
    this.#rows.begin();
    this.#flushing = true;
    const rows = this.#rows;
    for (const outbox of this.#native === null ? outboxes : this.#sendNatively(outboxes)) {
      if (outbox.head === -1) continue;
      const sinceMs = this.#gathered.sinceMs(outbox.head);
      const rowAt = rows.put(NO_DESCRIPTOR, outbox.head, outbox.codec);
      const frames = outbox.handOver(rows.messages, rows.bytes);
      this.#open -= 1;
      this.#writes.stream += 1;
      outbox.write(rows.joined(rowAt), frames, sinceMs);
      // Not for the native writer.
      rows.length = rowAt;
    }
    this.#flushing = false;
    this.#emptied(0);
  }

  /**
   * Answers those that take the ordinary way. They have to wait: from the first descriptor that is read until all have been sent to,
   * no socket may be written to, because what a write finds out can close one, and then its descriptor belongs to somebody else.
   */
  #sendNatively(outboxes: readonly Outbox[]): Outbox[] {
    const others: Outbox[] = [];
    const rows = this.#rows;
    const gathered = this.#gathered;
    const sent = this.#sent;
    sent.length = 0;
    if (this.#sentBytes.length < outboxes.length) this.#makeRoom(outboxes.length);
    const descriptors = this.#descriptors;
    // In a loop of its own: what is asked lies cold in memory, and so the processor fetches it for several sockets at once.
    for (let index = 0; index < outboxes.length; index++) descriptors[index] = outboxes[index]!.wire.descriptor();
    for (let index = 0; index < outboxes.length; index++) {
      const outbox = outboxes[index]!;
      const { head } = outbox;
      if (head === -1) continue;
      const descriptor = descriptors[index]!;
      if (descriptor === NO_DESCRIPTOR) {
        others.push(outbox);
        continue;
      }
      rows.put(descriptor, head, outbox.codec);
      const place = sent.length;
      this.#sentBytes[place] = rows.bytes;
      this.#sentSinceMs[place] = gathered.sinceMs(head);
      // Nothing else runs until all have been sent to: what is not taken is given back before anybody asks.
      this.#sentFrames[place] = outbox.handOver(rows.messages, rows.bytes);
      sent.push(outbox);
    }
    this.#open -= sent.length;
    if (sent.length > 0) this.#sendRows();
    return others;
  }

  #makeRoom(outboxes: number): void {
    const room = outboxes * 2;
    this.#descriptors = new Int32Array(room);
    this.#sentBytes = new Int32Array(room);
    this.#sentFrames = new Int32Array(room);
    this.#sentSinceMs = new Float64Array(room);
    this.#results = new Int32Array(room);
  }

  #sendRows(): void {
    const rows = this.#rows;
    const sent = this.#sent;
    const sentBytes = this.#sentBytes;
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
      if (taken !== sentBytes[index]) {
        this.#writes.partial += 1;
        // A broken socket takes nothing either: its stream finds out by itself.
        const rest = rows.joined(rowAt).subarray(Math.max(0, taken));
        sent[index]!.write(rest, this.#sentFrames[index]!, this.#sentSinceMs[index]!);
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
