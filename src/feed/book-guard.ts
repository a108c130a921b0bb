import { assert } from '../kernel/assert.ts';
import { BookRange } from './book-range.ts';
import type { CcxtBook, CcxtSide } from './ccxt-surface.ts';

/** Coinbase's BTC-USD has some 50,000 levels a side; ccxt's insertion is quadratic, so a made-up million would hang the thread. */
const LEVELS_LIMIT = 100_000;

/**
 * What we know of a book, and of each of its sides, lies in the object itself and the functions set on it are the same for all:
 * with a closure for every side the call sites inside ccxt would see as many functions as there are books and inline none.
 */
const GUARD = Symbol('guard');

/**
 * How deep a side was stored into since somebody last asked. `sign` times a price is its depth: it rises from the best level on,
 * on either side.
 */
export type Touch = {
  readonly sign: 1 | -1;
  /** Depth of the deepest level stored; -Infinity: none. To be set back by whoever has read up to there. */
  worst: number;
  /** Who has set `worst` back last: to anybody else it does not tell all. */
  reader: object | undefined;
  /** What lies deeper does not count. */
  bound: number;
};

type SideGuard = Touch & {
  readonly of: BookGuard;
  /** ccxt's own. */
  readonly store: CcxtSide['storeArray'];
  readonly limit: CcxtSide['limit'];
};
type BookGuard = {
  spoiled: boolean;
  readonly ignoresZeroPrice: boolean;
  readonly range: BookRange | undefined;
  /** ccxt's own. */
  readonly reset: CcxtBook['reset'];
};
type GuardedSide = CcxtSide & { readonly [GUARD]: SideGuard };
type GuardedBook = CcxtBook & { readonly [GUARD]?: BookGuard };

/** Whether the book was handed a value no market has. It is not touched by it, and not to be believed any more. */
export function isSpoiled(book: CcxtBook): boolean {
  return (book as GuardedBook)[GUARD]?.spoiled === true;
}

/** Undefined for a book of which the exchange streams every level. */
export function rangeOf(book: CcxtBook): BookRange | undefined {
  return (book as GuardedBook)[GUARD]?.range;
}

/** Of a side of a guarded book. */
export function touchOf(side: CcxtSide): Touch {
  return (side as GuardedSide)[GUARD];
}

export type GuardOptions = Readonly<{ ignoresZeroPrice: boolean; snapshotLevels: number | undefined }>;

/**
 * Looks at every level on its way into a book that ccxt has just made. With `number = String` some exchanges' handlers store
 * text, and ccxt takes the text "0" for a size: levels would never be deleted. NaN would break the sides' binary search.
 */
export function guardBook(book: CcxtBook, options: GuardOptions): CcxtBook {
  const { ignoresZeroPrice, snapshotLevels } = options;
  assert(!Object.hasOwn(book, GUARD), 'book guard: guarded already');
  const range = snapshotLevels === undefined ? undefined : new BookRange(book, snapshotLevels);
  const guard: BookGuard = { spoiled: false, ignoresZeroPrice, range, reset: ownMethod(book, 'reset') };
  guardSide(book.bids, -1, guard);
  guardSide(book.asks, 1, guard);
  hide(book, GUARD, guard);
  hide(book, 'reset', resetGuarded);
  return book;
}

function guardSide(side: CcxtSide, sign: 1 | -1, of: BookGuard): void {
  // All that is in the book already counts as touched.
  const guard: SideGuard = {
    sign,
    worst: Infinity,
    reader: undefined,
    bound: Infinity,
    of,
    store: ownMethod(side, 'storeArray'),
    limit: ownMethod(side, 'limit'),
  };
  hide(side, GUARD, guard);
  hide(side, 'storeArray', storeGuarded);
  hide(side, 'limit', limitGuarded);
}

/** Unbound: to be called on the object that it is of. */
function ownMethod<Target, Name extends keyof Target>(target: Target, name: Name): Target[Name] {
  return target[name];
}

function storeGuarded(this: GuardedSide, level: unknown[]): void {
  const guard = this[GUARD];
  if (!(isSound(level[0], level[1]) && this.length < LEVELS_LIMIT) && !admits(this, level)) return;
  const price = level[0] as number;
  const depth = price * guard.sign;
  if (depth > guard.worst && depth <= guard.bound) guard.worst = depth;
  const { range } = guard.of;
  if (range?.awaiting === true) range.changed(this, price);
  guard.store.call(this, level);
}

/** The comparisons are false for NaN. */
function isSound(price: unknown, size: unknown): boolean {
  if (typeof price !== 'number' || typeof size !== 'number') return false;
  return price > 0 && price < Infinity && size >= 0 && size < Infinity;
}

/** Makes numbers of texts; false for a level that is to be left out, and then says so where that is a fault. */
function admits(side: GuardedSide, level: unknown[]): boolean {
  const { of } = side[GUARD];
  const price = Number(level[0]);
  if (price === 0 && of.ignoresZeroPrice) return false;
  // `Number(null)` is a 0 like any other.
  const size = level[1] === null ? NaN : Number(level[1]);
  if (!isSound(price, size) || side.length >= LEVELS_LIMIT) {
    of.spoiled = true;
    return false;
  }
  level[0] = price;
  level[1] = size;
  return true;
}

function limitGuarded(this: GuardedSide): void {
  const guard = this[GUARD];
  guard.limit.call(this);
  // Once the cut has gone deeper than the bound, what is stored behind it is within reach again.
  const last = this.at(-1);
  if (last === undefined || last[0] * guard.sign < guard.bound) guard.bound = Infinity;
}

function resetGuarded(this: CcxtBook, snapshot: unknown): CcxtBook {
  const guard = (this as GuardedBook)[GUARD]!;
  const answer = guard.reset.call(this, snapshot);
  // Levels that the snapshot does not have are gone without having been stored.
  touchOf(this.bids).worst = touchOf(this.asks).worst = Infinity;
  guard.range?.replaced();
  return answer;
}

/** An own property that loops over ccxt's arrays and objects do not meet. */
function hide(target: object, name: string | symbol, value: unknown): void {
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
