import type { Outbound } from './egress.ts';

const INITIAL_ROOM = 1_024;
const NONE = -1;

/**
 * The frames that wait for their window, of all sockets: one list per socket, all lists in shared columns, so that a socket for which
 * nothing waits holds nothing.
 */
export class GatheredFrames {
  readonly #entries: (Outbound | null)[] = [];
  #next = new Int32Array(INITIAL_ROOM);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(outbound: Outbound): number {
    const entry = this.#size;
    if (entry === this.#next.length) {
      const larger = new Int32Array(entry * 2);
      larger.set(this.#next);
      this.#next = larger;
    }
    this.#entries[entry] = outbound;
    this.#next[entry] = NONE;
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

  get(entry: number): Outbound {
    return this.#entries[entry]!;
  }

  /** Takes what belongs to subscriptions out of a list and keeps the rest, in order. */
  withoutStreams(head: number, onDropped: (outbound: Outbound) => void): Readonly<{ head: number; tail: number }> {
    let kept = { head: NONE, tail: NONE };
    for (let entry = head; entry !== NONE;) {
      const next = this.#next[entry]!;
      const outbound = this.#entries[entry]!;
      if (outbound.subscription !== null) onDropped(outbound);
      else {
        this.#next[entry] = NONE;
        if (kept.tail !== NONE) this.#next[kept.tail] = entry;
        kept = { head: kept.head === NONE ? entry : kept.head, tail: entry };
      }
      entry = next;
    }
    return kept;
  }

  /** Forgets everything. */
  clear(): void {
    this.#entries.fill(null, 0, this.#size);
    this.#size = 0;
  }
}
