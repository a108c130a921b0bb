import type { TapeBook, TapeLevel } from './tape.ts';

/** One side of a book, best first. Prices are compared as numbers (equal decimals give equal doubles); texts are kept as they came. */
class BookSide {
  readonly levels: TapeLevel[] = [];
  readonly #prices: number[] = [];
  readonly #descending: boolean;

  constructor(descending: boolean) {
    this.#descending = descending;
  }

  set(level: TapeLevel): void {
    const price = Number(level[0]);
    const at = this.#indexOf(price);
    const known = this.#prices[at] === price;
    if (Number(level[1]) === 0) {
      if (!known) return;
      this.#prices.splice(at, 1);
      this.levels.splice(at, 1);
    } else if (known) {
      this.levels[at] = level;
    } else {
      this.#prices.splice(at, 0, price);
      this.levels.splice(at, 0, level);
    }
  }

  clear(): void {
    this.levels.length = 0;
    this.#prices.length = 0;
  }

  /** Drops everything past the best `count` levels. */
  cut(count: number): void {
    if (this.levels.length <= count) return;
    this.levels.length = count;
    this.#prices.length = count;
  }

  /** Index of `price`, or of the first level that is worse. */
  #indexOf(price: number): number {
    let low = 0;
    let high = this.#prices.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const better = this.#descending ? this.#prices[middle]! > price : this.#prices[middle]! < price;
      if (better) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A full-depth order book kept from absolute sizes. */
export class DepthBook {
  readonly #bids = new BookSide(true);
  readonly #asks = new BookSide(false);
  lastId = 0;
  ts = 0;

  get bids(): readonly TapeLevel[] {
    return this.#bids.levels;
  }

  get asks(): readonly TapeLevel[] {
    return this.#asks.levels;
  }

  replace(book: TapeBook): void {
    this.#bids.clear();
    this.#asks.clear();
    this.apply(book);
  }

  apply(change: TapeBook): void {
    for (const level of change.bids) this.#bids.set(level);
    for (const level of change.asks) this.#asks.set(level);
    this.lastId = change.lastId;
    this.ts = change.ts;
  }

  cut(count: number): void {
    this.#bids.cut(count);
    this.#asks.cut(count);
  }
}

/** The change that turns the levels `from` into the levels `to`: absolute sizes, "0" for what is gone. */
export function levelsBetween(from: readonly TapeLevel[], to: readonly TapeLevel[]): TapeLevel[] {
  const target = new Map(to.map((level) => [Number(level[0]), level]));
  const change: TapeLevel[] = [];
  for (const [price, size] of from) {
    const wanted = target.get(Number(price));
    if (wanted === undefined) change.push([price, '0']);
    else if (Number(wanted[1]) !== Number(size)) change.push(wanted);
  }
  const known = new Set(from.map((level) => Number(level[0])));
  for (const level of to) if (!known.has(Number(level[0]))) change.push(level);
  return change;
}
