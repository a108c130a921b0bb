import type { StreamState } from '../../protocol/messages.ts';
import { coarse, larger } from './fixed.ts';
import type { Fixed } from './fixed.ts';

/** The live book as orders are priced with it: up to 100 levels a side, best first, prices and sizes as decimal texts. */
export type BookView = Readonly<{
  stream: string;
  epoch: string;
  seq: number;
  exchangeSeq: number | null;
  /** Since the exchange last confirmed it. */
  ageMs: number;
  status: StreamState['status'];
  bids: readonly (readonly [price: string, size: string])[];
  asks: readonly (readonly [price: string, size: string])[];
  /** Of the last public trade; null when it is not known. */
  last: string | null;
}>;

export interface BookSource {
  /** Null: there is none (yet). May wait a moment for the first one of a market that nobody looked at before. */
  book(venue: string, symbol: string): BookView | null | Promise<BookView | null>;
}

export type Level = Readonly<{ price: Fixed; size: Fixed }>;

/** Beyond this age nothing is priced with a book, whatever its stream says of itself. */
export const BOOK_AGE_LIMIT_MS = 30_000;

export function isFresh(book: BookView | null): book is BookView {
  return book !== null && book.status === 'live' && book.ageMs <= BOOK_AGE_LIMIT_MS;
}

/** What an order of this side would meet. */
export function opposite(book: BookView, side: 'buy' | 'sell'): Level[] {
  return (side === 'buy' ? book.asks : book.bids).map(([price, size]) => ({
    price: coarse(price),
    size: coarse(size),
  }));
}

/** The last trade's price, else the middle of the book; null when there is neither. */
export function referencePrice(book: BookView): Fixed | null {
  if (book.last !== null) return coarse(book.last);
  const [bid, ask] = [book.bids[0]?.[0], book.asks[0]?.[0]];
  if (bid === undefined || ask === undefined) return null;
  return larger(1n, (coarse(bid) + coarse(ask)) / 2n);
}
