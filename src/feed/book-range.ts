import type { CcxtBook, CcxtSide } from './ccxt-surface.ts';

/**
 * Exchanges that answer the first state of a book by REST give its best few hundred or thousand levels; what rests deeper is
 * streamed only when it changes. So a book is known between two prices only, and a market that moves towards one of them uncovers
 * levels of which nobody has told. The range says how deep a book may be shown; a further snapshot, asked for in time, widens it.
 */
export type Snapshot = Readonly<{
  nonce: number;
  bids: readonly (readonly number[])[];
  asks: readonly (readonly number[])[];
}>;

type SideRange = {
  /** The last price that is known; beyond it (away from the middle) there may be more than we hold. Infinite: all is known. */
  bound: number;
  /** Prices that have changed since a further snapshot was asked for: there the stream is the newer one. */
  changed: Set<number> | undefined;
};

export class BookRange {
  readonly #levels: number;
  readonly #book: CcxtBook;
  readonly #bids: SideRange = { bound: -Infinity, changed: undefined };
  readonly #asks: SideRange = { bound: Infinity, changed: undefined };
  /** A further snapshot is on its way: `changed` is to be told of what is stored. */
  awaiting = false;

  /** `levels`: how many levels a side the exchange's snapshot holds at most; fewer means that it is the whole side. */
  constructor(book: CcxtBook, levels: number) {
    this.#book = book;
    this.#levels = levels;
  }

  /** ccxt has just replaced all levels by a snapshot. */
  replaced(): void {
    this.#bids.bound = this.#boundOf(this.#book.bids, -Infinity);
    this.#asks.bound = this.#boundOf(this.#book.asks, Infinity);
    this.abandon();
  }

  /** A level is being stored. */
  changed(side: CcxtSide, price: number): void {
    (side === this.#book.bids ? this.#bids : this.#asks).changed?.add(price);
  }

  /** How many of a side's best levels are known to be all there are, at most `limit`. */
  known(side: CcxtSide, limit: number): number {
    const { bound } = side === this.#book.bids ? this.#bids : this.#asks;
    const most = Math.min(limit, side.length);
    if (!Number.isFinite(bound)) return most;
    // Only the far end can lie outside.
    let count = most;
    while (count > 0 && this.#beyond(side, side[count - 1]![0], bound)) count -= 1;
    return count;
  }

  /** Whether fewer than `least` levels of a side are known although there may be more. */
  isNarrow(least: number): boolean {
    const { bids, asks } = this.#book;
    return this.#isNarrowSide(bids, this.#bids, least) || this.#isNarrowSide(asks, this.#asks, least);
  }

  #isNarrowSide(side: CcxtSide, { bound }: SideRange, least: number): boolean {
    return Number.isFinite(bound) && this.known(side, least) < least;
  }

  /** A further snapshot is being asked for. */
  prepare(): void {
    this.#bids.changed = new Set();
    this.#asks.changed = new Set();
    this.awaiting = true;
  }

  abandon(): void {
    this.#bids.changed = undefined;
    this.#asks.changed = undefined;
    this.awaiting = false;
  }

  /** Adds what only the snapshot knows. To be called when the book has reached the snapshot's id, and not before `prepare`. */
  widen(snapshot: Snapshot): void {
    this.#widenSide(this.#book.bids, this.#bids, snapshot.bids);
    this.#widenSide(this.#book.asks, this.#asks, snapshot.asks);
    this.abandon();
  }

  /** Levels beyond the depth that ccxt was asked for are dropped: then they are not known any more. */
  trim(): void {
    this.#trimSide(this.#book.bids, this.#bids);
    this.#trimSide(this.#book.asks, this.#asks);
  }

  #trimSide(side: CcxtSide, range: SideRange): void {
    if (side.length <= 2 * side.depth) return;
    side.limit();
    range.bound = side.at(-1)![0];
  }

  #widenSide(side: CcxtSide, range: SideRange, levels: readonly (readonly number[])[]): void {
    const { changed, bound } = range;
    if (changed === undefined) return;
    const held = new Set(side.map((level) => level[0]));
    let furthest = levels.length < this.#levels ? this.#infinity(side) : bound;
    for (const [price, size] of levels) {
      if (price === undefined || size === undefined || !this.#beyond(side, price, bound)) continue;
      if (this.#beyond(side, price, furthest)) furthest = price;
      if (!held.has(price) && !changed.has(price)) side.storeArray([price, size]);
    }
    range.bound = furthest;
  }

  #boundOf(side: CcxtSide, infinity: number): number {
    return side.length < this.#levels ? infinity : side.at(-1)![0];
  }

  #infinity(side: CcxtSide): number {
    return side === this.#book.bids ? -Infinity : Infinity;
  }

  #beyond(side: CcxtSide, price: number, bound: number): boolean {
    return side === this.#book.bids ? price < bound : price > bound;
  }
}
