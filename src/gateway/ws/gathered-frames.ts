import type { Frame } from './frame.ts';
import type { Outbound } from './egress.ts';
import type { Subscription } from './topic.ts';

const INITIAL_ROOM = 1_024;
const NONE = -1;

/**
 * The frames that wait for their window, of all sockets: one list per socket, all lists in shared columns, so that a socket for which
 * nothing waits holds nothing.
 */
export class GatheredFrames {
  readonly #outbounds: (Outbound | null)[] = [];
  /** Null for replies and events. */
  readonly #subscriptions: (Subscription | null)[] = [];
  /** 1: may share a message with its neighbours. */
  #batched = new Uint8Array(INITIAL_ROOM);
  #next = new Int32Array(INITIAL_ROOM);
  /** Since when it is on its way here (monotonic ms). */
  #sinceMs = new Float64Array(INITIAL_ROOM);
  /** Of the first of a list: when all of the list leaves at the latest (monotonic ms). */
  #dueMs = new Float64Array(INITIAL_ROOM);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(outbound: Outbound, subscription: Subscription | null, batched: boolean, sinceMs: number): number {
    const entry = this.#size;
    if (entry === this.#next.length) this.#grow();
    this.#outbounds[entry] = outbound;
    this.#subscriptions[entry] = subscription;
    this.#batched[entry] = batched ? 1 : 0;
    this.#next[entry] = NONE;
    this.#sinceMs[entry] = sinceMs;
    this.#size += 1;
    return entry;
  }

  link(tail: number, entry: number): void {
    this.#next[tail] = entry;
  }

  /** The entry behind `entry`; -1 at the end. */
  after(entry: number): number {
    return this.#next[entry]!;
  }

  frame(entry: number): Frame {
    return this.#outbounds[entry]!.frame;
  }

  sinceMs(entry: number): number {
    return this.#sinceMs[entry]!;
  }

  dueMs(head: number): number {
    return this.#dueMs[head]!;
  }

  setDueMs(head: number, dueMs: number): void {
    this.#dueMs[head] = dueMs;
  }

  isBatched(entry: number): boolean {
    return this.#batched[entry] === 1;
  }

  /** Takes what belongs to subscriptions out of a list and keeps the rest, in order. */
  withoutStreams(
    head: number,
    onDropped: (outbound: Outbound, subscription: Subscription) => void,
  ): Readonly<{ head: number; tail: number }> {
    let kept = { head: NONE, tail: NONE };
    for (let entry = head; entry !== NONE;) {
      const next = this.#next[entry]!;
      const subscription = this.#subscriptions[entry]!;
      if (subscription !== null) onDropped(this.#outbounds[entry]!, subscription);
      else {
        this.#next[entry] = NONE;
        if (kept.tail !== NONE) this.#next[kept.tail] = entry;
        kept = { head: kept.head === NONE ? entry : kept.head, tail: entry };
      }
      entry = next;
    }
    if (kept.head !== NONE) this.#dueMs[kept.head] = this.#dueMs[head]!;
    return kept;
  }

  /** Forgets everything. */
  clear(): void {
    this.#outbounds.fill(null, 0, this.#size);
    this.#subscriptions.fill(null, 0, this.#size);
    this.#size = 0;
  }

  #grow(): void {
    this.#next = copied(this.#next, new Int32Array(this.#size * 2));
    this.#batched = copied(this.#batched, new Uint8Array(this.#size * 2));
    this.#sinceMs = copied(this.#sinceMs, new Float64Array(this.#size * 2));
    this.#dueMs = copied(this.#dueMs, new Float64Array(this.#size * 2));
  }
}

function copied<Column extends { set(from: Column): void }>(from: Column, to: Column): Column {
  to.set(from);
  return to;
}
