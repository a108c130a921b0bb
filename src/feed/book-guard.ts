import { BookRange } from './book-range.ts';
import type { CcxtBook, CcxtSide } from './ccxt-surface.ts';

/** Coinbase's BTC-USD has some 50,000 levels a side; ccxt's insertion is quadratic, so a made-up million would hang the thread. */
const LEVELS_LIMIT = 100_000;

/** What we know of a book that ccxt has made; it goes when the book goes. */
type Watched = {
  spoiled: boolean;
  range: BookRange | undefined;
  readonly touch: Readonly<{ bids: Touch; asks: Touch }>;
};
const watched = new WeakMap<CcxtBook, Watched>();

/**
 * How deep a side was stored into since somebody last asked. `sign` times a price is its depth: it rises from the best level on,
 * on either side.
 */
export type Touch = {
  readonly sign: 1 | -1;
  /** Depth of the deepest level stored; -Infinity: none. To be set back by whoever has read up to there. */
  worst: number;
  /** What lies deeper does not count. */
  bound: number;
};

/** Whether the book was handed a value no market has. It is not touched by it, and not to be believed any more. */
export function isSpoiled(book: CcxtBook): boolean {
  return watched.get(book)?.spoiled === true;
}

/** Undefined for a book of which the exchange streams every level. */
export function rangeOf(book: CcxtBook): BookRange | undefined {
  return watched.get(book)?.range;
}

/** Of a guarded book. */
export function touchOf(book: CcxtBook): Readonly<{ bids: Touch; asks: Touch }> {
  return watched.get(book)!.touch;
}

export type GuardOptions = Readonly<{ ignoresZeroPrice: boolean; snapshotLevels: number | undefined }>;

/**
 * Looks at every level on its way into a book that ccxt has just made. With `number = String` some exchanges' handlers store
 * text, and ccxt takes the text "0" for a size: levels would never be deleted. NaN would break the sides' binary search.
 */
export function guardBook(book: CcxtBook, options: GuardOptions): CcxtBook {
  const { snapshotLevels } = options;
  const range = snapshotLevels === undefined ? undefined : new BookRange(book, snapshotLevels);
  // All that is in the book already counts as touched.
  const touch: Watched['touch'] = {
    bids: { sign: -1, worst: Infinity, bound: Infinity },
    asks: { sign: 1, worst: Infinity, bound: Infinity },
  };
  const watch: Watched = { spoiled: false, range, touch };
  watched.set(book, watch);
  guardSide(book.bids, watch, touch.bids, options.ignoresZeroPrice);
  guardSide(book.asks, watch, touch.asks, options.ignoresZeroPrice);
  const reset = book.reset.bind(book);
  hide(book, 'reset', (snapshot: unknown) => {
    const answer = reset(snapshot);
    // Levels that the snapshot does not have are gone without having been stored.
    touch.bids.worst = touch.asks.worst = Infinity;
    range?.replaced();
    return answer;
  });
  return book;
}

function guardSide(side: CcxtSide, watch: Watched, touch: Touch, ignoresZeroPrice: boolean): void {
  const store = side.storeArray.bind(side);
  const { sign } = touch;
  const { range } = watch;
  hide(side, 'storeArray', (level: unknown[]) => {
    const [givenPrice, givenSize] = level;
    const price = typeof givenPrice === 'number' ? givenPrice : Number(givenPrice);
    const size = typeof givenSize === 'number' ? givenSize : Number(givenSize);
    if (price === 0 && ignoresZeroPrice) return;
    // The comparisons are false for NaN.
    const sound = price > 0 && price < Infinity && size >= 0 && size < Infinity && givenSize !== null;
    if (!sound || side.length >= LEVELS_LIMIT) {
      watch.spoiled = true;
      return;
    }
    if (price !== givenPrice) level[0] = price;
    if (size !== givenSize) level[1] = size;
    const depth = price * sign;
    if (depth > touch.worst && depth <= touch.bound) touch.worst = depth;
    range?.changed(side, price);
    store(level);
  });
  const limit = side.limit.bind(side);
  hide(side, 'limit', () => {
    limit();
    // Once the cut has gone deeper than the bound, what is stored behind it is within reach again.
    const last = side.at(-1);
    if (last === undefined || last[0] * sign < touch.bound) touch.bound = Infinity;
  });
}

/** An own property that loops over ccxt's arrays and objects do not meet. */
function hide(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, enumerable: false, writable: true, configurable: true });
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

/** Price, size, price, size of the best levels, best first; no level that another unknown one may lie before. */
export function bestLevels(book: CcxtBook, side: CcxtSide, limit: number): Float64Array<ArrayBuffer> {
  const count = rangeOf(book)?.known(side, limit) ?? Math.min(limit, side.length);
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
