import { assert } from '../kernel/assert.ts';
import type { Batch, BookEvent, ThreadEvent } from './thread-protocol.ts';

type OtherEvent = Exclude<ThreadEvent, BookEvent>;

/**
 * A batch as it crosses to the main thread. Structured clone walks objects property by property and copies an array of doubles
 * at once, so books cross as doubles, and a batch of nothing but known books as a single array.
 */
export type PackedBatch = Float64Array<ArrayBuffer> | (Readonly<{ type: 'batch' }> & BatchWithEvents);
type BatchWithEvents = Readonly<{
  /** None of them comes after a book of its own upstream. */
  events: readonly OtherEvent[];
  /** Keys of upstreams whose first book is in this batch; numbered from 0 in the order of their appearance. */
  names: readonly string[];
  books: Float64Array<ArrayBuffer>;
}>;

/** The batch's own number. */
const BATCH_HEADER = 1;
/** The number of the upstream's key, doubles of the bids, of the asks, exchange's id, its time, ours; NaN: it does not tell. */
const BOOK_HEADER = 6;

/** The thread's end; the keys that it numbers are as many as the upstreams that the venue has. */
export class BatchPacker {
  readonly #numbers = new Map<string, number>();

  pack({ batch, events }: Batch): PackedBatch {
    const others: OtherEvent[] = [];
    const names: string[] = [];
    let length = BATCH_HEADER;
    for (const event of events) {
      if (event.type === 'book') length += BOOK_HEADER + event.bids.length + event.asks.length;
      else others.push(event);
    }
    const books = new Float64Array(length);
    books[0] = batch;
    let at = BATCH_HEADER;
    for (const event of events) if (event.type === 'book') at = this.#put(books, at, event, names);
    return others.length === 0 && names.length === 0 ? books : { type: 'batch', events: others, names, books };
  }

  #put(books: Float64Array, at: number, event: BookEvent, names: string[]): number {
    const { key, bids, asks } = event;
    books[at] = this.#numberOf(key, names);
    books[at + 1] = bids.length;
    books[at + 2] = asks.length;
    books[at + 3] = event.exchangeSeq ?? NaN;
    books[at + 4] = event.exchangeTs ?? NaN;
    books[at + 5] = event.ingestTs;
    books.set(bids, at + BOOK_HEADER);
    books.set(asks, at + BOOK_HEADER + bids.length);
    return at + BOOK_HEADER + bids.length + asks.length;
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

  /** Calls `take` with the events in an order in which they may be applied; answers the batch's number. */
  unpack(packed: PackedBatch, take: (event: ThreadEvent) => void): number {
    const books = packed instanceof Float64Array ? packed : packed.books;
    if (!(packed instanceof Float64Array)) {
      this.#names.push(...packed.names);
      for (const event of packed.events) take(event);
    }
    for (let at = BATCH_HEADER; at < books.length;) at = this.#take(books, at, take);
    return books[0]!;
  }

  #take(books: Float64Array<ArrayBuffer>, at: number, take: (event: ThreadEvent) => void): number {
    const key = this.#names[books[at]!];
    assert(key !== undefined, 'batch: a book without a name');
    const asksAt = at + BOOK_HEADER + books[at + 1]!;
    const end = asksAt + books[at + 2]!;
    // Copies: a view would keep the whole batch for as long as one quiet book of it is the newest.
    const bids = books.slice(at + BOOK_HEADER, asksAt);
    const event: Mutable<BookEvent> = {
      type: 'book',
      key,
      bids,
      asks: books.slice(asksAt, end),
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
