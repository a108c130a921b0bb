import { assert } from './assert.ts';

/** First in, first out, never longer than `limit`. Full means `offer` answers false: the caller decides what to lose. */
export class BoundedQueue<T> {
  readonly limit: number;
  #items: T[] = [];
  #head = 0;

  constructor(limit: number) {
    assert(Number.isInteger(limit) && limit > 0, 'bounded queue: limit must be a positive integer');
    this.limit = limit;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  offer(item: T): boolean {
    if (this.length >= this.limit) return false;
    this.#items.push(item);
    return true;
  }

  take(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#head += 1;
    // Compact once half of the array is spent, so that a steady queue does not grow and taking stays O(1) on average.
    if (this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  takeAll(): T[] {
    const items = this.#head === 0 ? this.#items : this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    return items;
  }
}
