import { assert } from '../kernel/assert.ts';
import type { Batch, BookEvent, ThreadEvent } from './thread-protocol.ts';

type OtherEvent = Exclude<ThreadEvent, BookEvent>;

/**
 * A batch as it crosses to the main thread. Structured clone walks objects property by property, so books cross as doubles, and a
 * batch of few and known books as a single array. The arrays are moved, not copied: see `buffersOf`.
 */
export type PackedBatch = Float64Array<ArrayBuffer> | BatchWithEvents;
type BatchWithEvents = Readonly<{
  type: 'batch';
  batch: number;
  /** None of them comes after a book of its own upstream. */
  events: readonly OtherEvent[];
  /** Keys of upstreams whose first book is in this batch; numbered from 0 in the order of their appearance. */
  names: readonly string[];
  books: readonly Float64Array<ArrayBuffer>[];
}>;

/**
 * The books of one array share its memory for as long as one of them is the newest of its market, on the main thread: a quiet
 * market's book holds the memory of at most this many.
 */
const BOOKS_PER_ARRAY = 8;
/** The batch's own number. */
const ARRAY_HEADER = 1;
/** The number of the upstream's key, doubles of the bids, of the asks, exchange's id, its time, ours; NaN: it does not tell. */
const BOOK_HEADER = 6;

/** For the transfer list of whoever posts a batch: the other end gets the memory itself, and this one is left without. */
export function buffersOf(packed: PackedBatch): ArrayBuffer[] {
  return packed instanceof Float64Array ? [packed.buffer] : packed.books.map(({ buffer }) => buffer);
}

/** The thread's end; the keys that it numbers are as many as the upstreams that the venue has. */
export class BatchPacker {
  readonly #numbers = new Map<string, number>();

  pack({ batch, events }: Batch): PackedBatch {
    const others: OtherEvent[] = [];
    const waiting: BookEvent[] = [];
    for (const event of events) {
      if (event.type === 'book') waiting.push(event);
      else others.push(event);
    }
    const names: string[] = [];
    const books: Float64Array<ArrayBuffer>[] = [];
    for (let from = 0; from < waiting.length; from += BOOKS_PER_ARRAY) {
      books.push(this.#packBooks(batch, waiting, from, names));
    }
    const alone = books.length === 1 && others.length === 0 && names.length === 0;
    return alone ? books[0]! : { type: 'batch', batch, events: others, names, books };
  }

  #packBooks(batch: number, events: readonly BookEvent[], from: number, names: string[]): Float64Array<ArrayBuffer> {
    const to = Math.min(events.length, from + BOOKS_PER_ARRAY);
    let length = ARRAY_HEADER;
    for (let index = from; index < to; index++) {
      length += BOOK_HEADER + events[index]!.bids.length + events[index]!.asks.length;
    }
    const books = new Float64Array(length);
    books[0] = batch;
    let at = ARRAY_HEADER;
    for (let index = from; index < to; index++) at = this.#put(books, at, events[index]!, names);
    return books;
  }

  #put(books: Float64Array, at: number, event: BookEvent, names: string[]): number {
    const { key, bids, asks } = event;
    const bidsAt = at + BOOK_HEADER;
    const asksAt = bidsAt + bids.length;
    books[at] = this.#numberOf(key, names);
    books[at + 1] = bids.length;
    books[at + 2] = asks.length;
    books[at + 3] = event.exchangeSeq ?? NaN;
    books[at + 4] = event.exchangeTs ?? NaN;
    books[at + 5] = event.ingestTs;
    books.set(bids, bidsAt);
    books.set(asks, asksAt);
    return asksAt + asks.length;
  }

  #numberOf(key: string, names: string[]): number {
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#numbers.size;
    this.#numbers.set(key, number);
    names.push(key);
    return number;
  }
}

/** The main thread's end, one for each thread. */
export class BatchUnpacker {
  readonly #names: string[] = [];

  /**
   * Calls `take` with the events in an order in which they may be applied; answers the batch's number. The books are views of what
   * was posted, which nobody else has any more.
   */
  unpack(packed: PackedBatch, take: (event: ThreadEvent) => void): number {
    if (packed instanceof Float64Array) {
      this.#takeBooks(packed, take);
      return packed[0]!;
    }
    this.#names.push(...packed.names);
    for (const event of packed.events) take(event);
    for (const books of packed.books) this.#takeBooks(books, take);
    return packed.batch;
  }

  #takeBooks(books: Float64Array<ArrayBuffer>, take: (event: ThreadEvent) => void): void {
    for (let at = ARRAY_HEADER; at < books.length;) at = this.#take(books, at, take);
  }

  #take(books: Float64Array<ArrayBuffer>, at: number, take: (event: ThreadEvent) => void): number {
    const key = this.#names[books[at]!];
    assert(key !== undefined, 'batch: a book without a name');
    const bidsAt = at + BOOK_HEADER;
    const asksAt = bidsAt + books[at + 1]!;
    const end = asksAt + books[at + 2]!;
    const event: Mutable<BookEvent> = {
      type: 'book',
      key,
      bids: books.subarray(bidsAt, asksAt),
      asks: books.subarray(asksAt, end),
      ingestTs: books[at + 5]!,
    };
    const exchangeSeq = books[at + 3]!;
    const exchangeTs = books[at + 4]!;
    if (!Number.isNaN(exchangeSeq)) event.exchangeSeq = exchangeSeq;
    if (!Number.isNaN(exchangeTs)) event.exchangeTs = exchangeTs;
    take(event);
    return end;
  }
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
