import type { Level } from '../../../protocol/messages.ts';
import { fixedFrom } from './fixed-point.ts';

/** `eaten`: what paper orders took from this level since its size last changed; it stays taken for everyone. */
export type BookLevel = { readonly price: bigint; readonly size: bigint; eaten: bigint };

/** `1` for asks (best is lowest), `-1` for bids. */
export type Direction = 1 | -1;

export function availableAt(level: BookLevel): bigint {
  return level.size > level.eaten ? level.size - level.eaten : 0n;
}

/**
 * One side of the visible book, best first. What lies beyond the last visible level is unknown, not empty: a level that falls
 * out of a full tier has not been deleted at the exchange.
 */
export class BookLevels {
  readonly direction: Direction;
  readonly #depth: number;
  #levels: BookLevel[] = [];

  constructor(direction: Direction, depth: number) {
    this.direction = direction;
    this.#depth = depth;
  }

  get all(): readonly BookLevel[] {
    return this.#levels;
  }

  get best(): BookLevel | undefined {
    return this.#levels[0];
  }

  /** Positive when `left` is worse than `right` on this side. */
  compare(left: bigint, right: bigint): number {
    return left === right ? 0 : left > right === (this.direction === 1) ? 1 : -1;
  }

  at(price: bigint): BookLevel | undefined {
    const index = this.#indexOf(price);
    const level = this.#levels[index];
    return level?.price === price ? level : undefined;
  }

  /** Displayed at this price; null where the book does not reach. */
  displayedAt(price: bigint): bigint | null {
    const level = this.at(price);
    if (level !== undefined) return level.size;
    return this.covers(price) ? 0n : null;
  }

  covers(price: bigint): boolean {
    const last = this.#levels.at(-1);
    return this.#levels.length < this.#depth || last === undefined || this.compare(price, last.price) <= 0;
  }

  /** What is eaten stays eaten at a level that is as it was. */
  replace(levels: readonly Level[]): void {
    const before = new Map(this.#levels.map((level) => [level.price, level]));
    this.#levels = [];
    for (const text of levels) {
      const level = this.#parse(text);
      if (level === null || level.size === 0n) continue;
      const old = before.get(level.price);
      this.#levels.push(old !== undefined && old.size === level.size ? old : level);
    }
  }

  /** Absolute sizes, "0" deletes. Answers the prices that changed. */
  apply(changes: readonly Level[]): bigint[] {
    const prices: bigint[] = [];
    for (const text of changes) {
      const level = this.#parse(text);
      if (level === null) continue;
      prices.push(level.price);
      const index = this.#indexOf(level.price);
      const there = this.#levels[index];
      if (there?.price !== level.price) {
        if (level.size > 0n) this.#levels.splice(index, 0, level);
      } else if (level.size === 0n) this.#levels.splice(index, 1);
      else if (level.size !== there.size) this.#levels[index] = level;
    }
    return prices;
  }

  /** A trade that the book does not show yet: takes it off the levels that it must have hit. */
  eatThrough(price: bigint, quantity: bigint): void {
    let left = quantity;
    for (const level of this.#levels) {
      if (left === 0n || this.compare(level.price, price) > 0) return;
      const eaten = availableAt(level) < left ? availableAt(level) : left;
      level.eaten += eaten;
      left -= eaten;
    }
  }

  /** Finer than our unit: rounded so that no order is better off for it. */
  #parse(text: Level): BookLevel | null {
    const price = fixedFrom(text[0], this.direction === 1 ? 'up' : 'down');
    const size = fixedFrom(text[1], 'down');
    return price === null || size === null ? null : { price, size, eaten: 0n };
  }

  #indexOf(price: bigint): number {
    let low = 0;
    let high = this.#levels.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compare(this.#levels[middle]!.price, price) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
