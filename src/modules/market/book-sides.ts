import type { Level } from '../../protocol/messages.ts';
import type { FeedBook } from './upstream.ts';
import type { LevelTexts } from './market-text.ts';

/** No market has prices or sizes outside of this, and their texts would have exponents or not fit the wire. */
const VALUE_MIN = 1e-30;
const VALUE_MAX = 1e20;

/** `1` for asks (best is lowest), `-1` for bids. */
export type Direction = 1 | -1;

/** True when both sides are strictly ordered, best first, with positive finite values: what a diff relies on. */
export function isSoundBook(book: FeedBook, depth: number): boolean {
  return isSoundSide(book.bids, -1, depth) && isSoundSide(book.asks, 1, depth);
}

function isSoundSide(side: Float64Array, direction: Direction, depth: number): boolean {
  if (side.length % 2 !== 0) return false;
  const end = Math.min(side.length, depth * 2);
  let previous = direction === 1 ? 0 : VALUE_MAX * 2;
  for (let index = 0; index < end; index += 2) {
    const price = side[index]!;
    const size = side[index + 1]!;
    // Written so that NaN fails.
    if (!((price - previous) * direction > 0 && price >= VALUE_MIN && price <= VALUE_MAX)) return false;
    if (!(size >= VALUE_MIN && size <= VALUE_MAX)) return false;
    previous = price;
  }
  return true;
}

/** The top of one side as it was last published: price, size, price, size ... in one buffer that is reused. */
export class PublishedSide {
  readonly #direction: Direction;
  readonly #values: Float64Array;
  #length = 0;

  constructor(direction: Direction, depth: number) {
    this.#direction = direction;
    this.#values = new Float64Array(depth * 2);
  }

  replace(side: Float64Array): void {
    this.#length = Math.min(side.length, this.#values.length);
    this.#values.set(side.length === this.#length ? side : side.subarray(0, this.#length));
  }

  levels(texts: LevelTexts, limit = Infinity): Level[] {
    const levels: Level[] = [];
    const end = Math.min(this.#length, limit * 2);
    for (let index = 0; index < end; index += 2) {
      levels.push([texts.price(this.#values[index]!), texts.size(this.#values[index + 1]!)]);
    }
    return levels;
  }

  /** What turns the published side into the top of `next`: absolute sizes, "0" for a level that is gone or fell out of the tier. */
  changesTo(next: Float64Array, texts: LevelTexts): Level[] {
    const changes: Level[] = [];
    const old = this.#values;
    const oldEnd = this.#length;
    const nextEnd = Math.min(next.length, old.length);
    let from = 0;
    let to = 0;
    while (from < oldEnd && to < nextEnd) {
      const gap = (next[to]! - old[from]!) * this.#direction;
      if (gap > 0) {
        changes.push([texts.price(old[from]!), '0']);
        from += 2;
        continue;
      }
      if (gap < 0 || next[to + 1] !== old[from + 1]) {
        changes.push([texts.price(next[to]!), texts.size(next[to + 1]!)]);
      }
      if (gap === 0) from += 2;
      to += 2;
    }
    for (; from < oldEnd; from += 2) changes.push([texts.price(old[from]!), '0']);
    for (; to < nextEnd; to += 2) changes.push([texts.price(next[to]!), texts.size(next[to + 1]!)]);
    return changes;
  }
}
