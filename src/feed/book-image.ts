import type { Touch } from './book-guard.ts';
import { rangeOf, touchOf } from './book-guard.ts';
import type { BookRange } from './book-range.ts';
import type { CcxtBook, CcxtSide } from './ccxt-surface.ts';

/**
 * The best levels of one of ccxt's sides as one flat array, kept up to date by reading only as deep as something was stored:
 * what lies beyond cannot have changed, but for the far end, where levels come into view and drop out of it.
 */
class SideImage {
  readonly #values: Float64Array<ArrayBuffer>;
  #length = 0;
  #view: Float64Array<ArrayBuffer>;

  constructor(limit: number) {
    this.#values = new Float64Array(limit * 2);
    this.#view = this.#values.subarray(0, 0);
  }

  /** A view: true until the next call of `update`. */
  get levels(): Float64Array<ArrayBuffer> {
    if (this.#view.length !== this.#length * 2) this.#view = this.#values.subarray(0, this.#length * 2);
    return this.#view;
  }

  /** Takes over the `count` best levels of `side`; answers whether any of them may have changed. */
  update(side: CcxtSide, touch: Touch, count: number): boolean {
    const { sign } = touch;
    // Two symbols may have one book of ccxt's: what the other's image has read in between is not known here.
    const worst = touch.reader === this ? touch.worst : Infinity;
    touch.reader = this;
    touch.worst = -Infinity;
    const before = this.#length;
    const touched = worst > -Infinity;
    const changed = touched || count !== before;
    if (changed) {
      const oldHead = touched ? this.#rankAfter(worst * sign, sign) : 0;
      const head = touched ? headOf(side, sign, worst, count, oldHead) : 0;
      if (!this.#splice(side, count, head, oldHead)) this.#copy(side, 0, count);
      this.#length = count;
    }
    touch.bound = count === this.#values.length / 2 ? sign * side[count - 1]![0] : Infinity;
    return changed;
  }

  /** Reads everything anew; answers whether the image had been true. */
  verify(side: CcxtSide): boolean {
    for (let rank = 0; rank < this.#length; rank++) {
      const level = side[rank];
      if (level?.[0] === this.#values[rank * 2] && level?.[1] === this.#values[rank * 2 + 1]) continue;
      this.#copy(side, 0, this.#length);
      return false;
    }
    return true;
  }

  /**
   * The best `head` levels of the side are new and stand where `oldHead` have stood. False when the side does not end as it should:
   * then it was changed in a way that nobody saw.
   */
  #splice(side: CcxtSide, count: number, head: number, oldHead: number): boolean {
    const values = this.#values;
    const kept = Math.min(this.#length - oldHead, count - head);
    if (kept > 0 && head !== oldHead) values.copyWithin(head * 2, oldHead * 2, (oldHead + kept) * 2);
    this.#copy(side, 0, head);
    this.#copy(side, head + Math.max(0, kept), count);
    return count === 0 || values[count * 2 - 2] === side[count - 1]![0];
  }

  /** How many levels of the image are no deeper than `price`. */
  #rankAfter(price: number, sign: 1 | -1): number {
    const values = this.#values;
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((values[middle * 2]! - price) * sign <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #copy(side: CcxtSide, from: number, to: number): void {
    const values = this.#values;
    for (let rank = from; rank < to; rank++) {
      const level = side[rank]!;
      values[rank * 2] = level[0];
      values[rank * 2 + 1] = level[1];
    }
  }
}

/** How many of the `count` best levels of a side are no deeper than `depth`; most often as many as in the image. */
function headOf(side: CcxtSide, sign: 1 | -1, depth: number, count: number, guess: number): number {
  const within = (rank: number): boolean => sign * side[rank]![0] <= depth;
  if (guess <= count && (guess === 0 || within(guess - 1)) && (guess === count || !within(guess))) return guess;
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (within(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The best levels of one book. A new book of ccxt's needs a new image. */
export class BookImage {
  readonly #book: CcxtBook;
  readonly #limit: number;
  readonly #bids: SideImage;
  readonly #asks: SideImage;

  constructor(book: CcxtBook, limit: number) {
    this.#book = book;
    this.#limit = limit;
    this.#bids = new SideImage(limit);
    this.#asks = new SideImage(limit);
  }

  get bids(): Float64Array<ArrayBuffer> {
    return this.#bids.levels;
  }

  get asks(): Float64Array<ArrayBuffer> {
    return this.#asks.levels;
  }

  isOf(book: CcxtBook): boolean {
    return this.#book === book;
  }

  /** Takes over what has been stored since the last call; answers whether a level of the image may have changed. */
  update(): boolean {
    const { bids, asks } = this.#book;
    const range = rangeOf(this.#book);
    const bidsChanged = this.#bids.update(bids, touchOf(bids), this.#known(bids, range));
    const asksChanged = this.#asks.update(asks, touchOf(asks), this.#known(asks, range));
    return bidsChanged || asksChanged;
  }

  /** Compares with the book level by level, after `update`; mends and answers false when they differ. */
  verify(): boolean {
    const bidsTrue = this.#bids.verify(this.#book.bids);
    return this.#asks.verify(this.#book.asks) && bidsTrue;
  }

  #known(side: CcxtSide, range: BookRange | undefined): number {
    return range === undefined ? Math.min(this.#limit, side.length) : range.known(side, this.#limit);
  }
}
