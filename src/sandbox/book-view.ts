import type { TapeBook, TapeLevel } from './tape.ts';

/**
 * The top of a book as a client that cuts at `depth` holds it. Kraken's protocol: a level that falls out of range is not
 * mentioned (the client drops it), one that comes into range because another was deleted is sent like a new one.
 */
export class BookView {
  readonly depth: number;
  bids: readonly TapeLevel[];
  asks: readonly TapeLevel[];

  constructor(book: TapeBook, depth: number) {
    this.depth = depth;
    this.bids = book.bids.slice(0, depth);
    this.asks = book.asks.slice(0, depth);
  }

  /** Moves the view to the present book; answers what a client has to be told. */
  follow(book: TapeBook): { bids: TapeLevel[]; asks: TapeLevel[] } {
    const bids = book.bids.slice(0, this.depth);
    const asks = book.asks.slice(0, this.depth);
    const change = { bids: changes(this.bids, bids, this.depth, -1), asks: changes(this.asks, asks, this.depth, 1) };
    this.bids = bids;
    this.asks = asks;
    return change;
  }
}

/** `direction` is 1 where a higher price is worse (asks), -1 where it is better (bids). Both lists are best first. */
function changes(from: readonly TapeLevel[], to: readonly TapeLevel[], depth: number, direction: 1 | -1): TapeLevel[] {
  const result: TapeLevel[] = [];
  let at = 0;
  for (const level of to) {
    const price = direction * Number(level[0]);
    while (at < from.length && direction * Number(from[at]![0]) < price) result.push([from[at++]![0], '0']);
    const known = from[at];
    if (known !== undefined && direction * Number(known[0]) === price) {
      at += 1;
      if (known[1] !== level[1]) result.push(level);
    } else {
      result.push(level);
    }
  }
  // What is left is worse than everything in view: gone if the view is not full, else merely out of range.
  if (to.length < depth) for (const [price] of from.slice(at)) result.push([price, '0']);
  return result;
}
