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
  if (end === 0) return true;
  // Ordered prices are within bounds when the outermost are. All comparisons are written so that NaN fails.
  const first = side[0]!;
  const last = side[end - 2]!;
  if (!(first >= VALUE_MIN && first <= VALUE_MAX && last >= VALUE_MIN && last <= VALUE_MAX)) return false;
  let previous = direction === 1 ? 0 : VALUE_MAX * 2;
  for (let index = 0; index < end; index += 2) {
    const price = side[index]!;
    const size = side[index + 1]!;
    if (!((price - previous) * direction > 0 && size >= VALUE_MIN && size <= VALUE_MAX)) return false;
    previous = price;
  }
  return true;
}

/** The top of one side as it was last published, with the texts of its prices: most of them stay from change to change. */
export class PublishedSide {
  readonly #direction: Direction;
  readonly #depth: number;
  /** Price, size, price, size ... */
  readonly #values: Float64Array;
  /** Two arrays that take turns when levels come or go. */
  #prices: string[] = [];
  #sparePrices: string[] = [];
  #length = 0;

  constructor(direction: Direction, depth: number) {
    this.#direction = direction;
    this.#depth = depth;
    this.#values = new Float64Array(depth * 2);
  }

  levels(texts: LevelTexts, limit = Infinity): Level[] {
    const levels: Level[] = [];
    const count = Math.min(this.#length, limit);
    for (let rank = 0; rank < count; rank++)
      levels.push([this.#prices[rank]!, texts.size(this.#values[rank * 2 + 1]!)]);
    return levels;
  }

  /** Becomes the top of `next`, with all texts made anew. */
  replace(next: Float64Array, texts: LevelTexts): void {
    this.#length = 0;
    this.change(next, texts);
  }

  /**
   * Becomes the top of `next`; answers what turns one into the other: absolute sizes, "0" for a level that is gone or fell out
   * of the tier.
   */
  change(next: Float64Array, texts: LevelTexts): Level[] {
    const changes: Level[] = [];
    const values = this.#values;
    const prices = this.#prices;
    const count = Math.min(next.length >> 1, this.#depth);
    const common = Math.min(count, this.#length);
    // Most changes are of sizes only, and above the first level that comes or goes nothing has to move.
    let rank = 0;
    for (; rank < common; rank++) {
      const at = rank * 2;
      if (next[at] !== values[at]) break;
      const size = next[at + 1]!;
      if (size === values[at + 1]) continue;
      values[at + 1] = size;
      changes.push([prices[rank]!, texts.size(size)]);
    }
    if (rank < count || rank < this.#length) this.#merge(next, rank, texts, changes);
    return changes;
  }

  /** The rest of `change`, from the first rank at which prices differ. */
  #merge(next: Float64Array, rank: number, texts: LevelTexts, changes: Level[]): void {
    const old = this.#values;
    const oldPrices = this.#prices;
    const prices = this.#sparePrices;
    const direction = this.#direction;
    const oldCount = this.#length;
    const count = Math.min(next.length >> 1, this.#depth);
    for (let kept = 0; kept < rank; kept++) prices[kept] = oldPrices[kept]!;
    let from = rank;
    let to = rank;
    while (from < oldCount && to < count) {
      const price = next[to * 2]!;
      const gap = (price - old[from * 2]!) * direction;
      if (gap > 0) {
        changes.push([oldPrices[from]!, '0']);
        from += 1;
        continue;
      }
      const size = next[to * 2 + 1]!;
      if (gap < 0) {
        const text = texts.price(price);
        prices[to] = text;
        changes.push([text, texts.size(size)]);
      } else {
        const text = oldPrices[from]!;
        prices[to] = text;
        if (size !== old[from * 2 + 1]) changes.push([text, texts.size(size)]);
        from += 1;
      }
      to += 1;
    }
    for (; from < oldCount; from++) changes.push([oldPrices[from]!, '0']);
    for (; to < count; to++) {
      const text = texts.price(next[to * 2]!);
      prices[to] = text;
      changes.push([text, texts.size(next[to * 2 + 1]!)]);
    }
    prices.length = count;
    old.set(next.length === count * 2 ? next : next.subarray(0, count * 2));
    [this.#prices, this.#sparePrices] = [prices, oldPrices];
    this.#length = count;
  }
}
