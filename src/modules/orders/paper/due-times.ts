import TinyQueue from 'tinyqueue';
import type { PaperOrder } from './paper-order.ts';

/** Entries that have been overtaken by then are cleared away: an order that is cancelled long before its time leaves one behind. */
const OVERTAKEN_LIMIT = 1_000;

/** `seq`: what is due at the same time is due in the order in which that was found out. */
type Entry = Readonly<{ order: PaperOrder; atMs: number; seq: number }>;

/** Orders by the moment at which time alone changes something about them; each has one such moment or none. */
export class DueTimes {
  #queue = new TinyQueue<Entry>([], earlierFirst);
  readonly #atMs = new Map<PaperOrder, number>();
  #seq = 0;

  /** Infinity: nothing is due. */
  get nextMs(): number {
    for (let first = this.#queue.peek(); first !== undefined; first = this.#queue.peek()) {
      if (this.#isValid(first)) return first.atMs;
      this.#queue.pop();
    }
    return Infinity;
  }

  /** Overtaken entries included. */
  get length(): number {
    return this.#queue.length;
  }

  set(order: PaperOrder, atMs: number): void {
    if (this.#atMs.get(order) === atMs) return;
    if (atMs === Infinity) return this.remove(order);
    this.#atMs.set(order, atMs);
    this.#queue.push({ order, atMs, seq: (this.#seq += 1) });
    this.#clear();
  }

  remove(order: PaperOrder): void {
    if (this.#atMs.delete(order)) this.#clear();
  }

  /** Those due at `nowMs` or before, which are not due any more afterwards. */
  take(nowMs: number): PaperOrder[] {
    const due: PaperOrder[] = [];
    while (this.nextMs <= nowMs) {
      const { order } = this.#queue.pop()!;
      this.#atMs.delete(order);
      due.push(order);
    }
    return due;
  }

  #isValid({ order, atMs }: Entry): boolean {
    return this.#atMs.get(order) === atMs;
  }

  #clear(): void {
    if (this.#queue.length <= 2 * this.#atMs.size + OVERTAKEN_LIMIT) return;
    this.#queue = new TinyQueue(
      this.#queue.data.filter((entry) => this.#isValid(entry)),
      earlierFirst,
    );
  }
}

function earlierFirst(one: Entry, other: Entry): number {
  return one.atMs - other.atMs || one.seq - other.seq;
}
