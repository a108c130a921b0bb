import type { CcxtBook, CcxtSide } from './ccxt-surface.ts';

/** Coinbase's BTC-USD has some 50,000 levels a side; ccxt's insertion is quadratic, so a made-up million would hang the thread. */
const LEVELS_LIMIT = 100_000;

/** Books that were handed a value no market has. The book is not touched by it, and not to be believed any more. */
const spoiled = new WeakSet<CcxtBook>();

export function isSpoiled(book: CcxtBook): boolean {
  return spoiled.has(book);
}

/**
 * Looks at every level on its way into a book that ccxt has just made. With `number = String` some exchanges' handlers store
 * text, and ccxt takes the text "0" for a size: levels would never be deleted. NaN would break the sides' binary search.
 */
export function guardBook(book: CcxtBook, options: Readonly<{ ignoresZeroPrice: boolean }>): CcxtBook {
  guardSide(book, book.bids, options.ignoresZeroPrice);
  guardSide(book, book.asks, options.ignoresZeroPrice);
  return book;
}

function guardSide(book: CcxtBook, side: CcxtSide, ignoresZeroPrice: boolean): void {
  const store = side.storeArray.bind(side);
  Object.defineProperty(side, 'storeArray', {
    enumerable: false,
    value: (level: unknown[]) => {
      const price = Number(level[0]);
      const size = Number(level[1]);
      if (price === 0 && ignoresZeroPrice) return;
      // The comparisons are false for NaN. An id-keyed level may leave its price out, and is judged when the book is read.
      const sound = price > 0 && price < Infinity && size >= 0 && size < Infinity && level[1] !== null;
      if (!sound || side.length >= LEVELS_LIMIT) {
        spoiled.add(book);
        return;
      }
      level[0] = price;
      level[1] = size;
      store(level);
    },
  });
}

/** Best bid at or above best ask: no exchange is at rest like that, so something was lost. */
export function isCrossed(book: CcxtBook): boolean {
  const bid = book.bids[0]?.[0];
  const ask = book.asks[0]?.[0];
  return bid !== undefined && ask !== undefined && bid >= ask;
}

/** The middle of the book, or the one side there is; undefined for an empty book. */
export function middlePrice(book: CcxtBook): number | undefined {
  const bid = book.bids[0]?.[0];
  const ask = book.asks[0]?.[0];
  return bid === undefined || ask === undefined ? (bid ?? ask) : (bid + ask) / 2;
}

/** Drops levels beyond the depth that ccxt was asked for: it does so only in `watch*`, which we do not call for every change. */
export function trimBook(book: CcxtBook): void {
  for (const side of [book.bids, book.asks]) {
    if (side.length > 2 * side.depth) side.limit();
  }
}

/** Price, size, price, size of the best levels, best first. */
export function bestLevels(side: CcxtSide, limit: number): Float64Array<ArrayBuffer> {
  const count = Math.min(limit, side.length);
  const levels = new Float64Array(count * 2);
  for (let rank = 0; rank < count; rank++) {
    const level = side[rank]!;
    levels[rank * 2] = level[0];
    levels[rank * 2 + 1] = level[1];
  }
  return levels;
}

export function sameLevels(a: Float64Array, b: Float64Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}
