import { Decimal } from 'decimal.js';
import { canonicalFromNumber, canonicalFromText, isMarketDecimal } from '../../kernel/decimal-text.ts';

/** What an exchange may send for a number: plain or with an exponent, ASCII, no hex, no NaN. */
const SOURCE_DECIMAL = /^[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,2})?$/;
const SOURCE_DECIMAL_LIMIT_CHARS = 64;
/** Market metadata beyond this is nonsense, and `toFixed` throws past 100. */
const DECIMALS_LIMIT = 30;

export type MarketDecimals = Readonly<{ price: number; size: number }>;
export const UNKNOWN_DECIMALS: MarketDecimals = { price: 0, size: 0 };

export function boundedDecimals(market: { priceDecimals: number; sizeDecimals: number }): MarketDecimals {
  return {
    price: Math.min(DECIMALS_LIMIT, market.priceDecimals),
    size: Math.min(DECIMALS_LIMIT, market.sizeDecimals),
  };
}

/** The wire text of a non-negative decimal from an exchange; null when it is not one, whatever it is. */
export function wireDecimal(text: unknown, decimals: number): string | null {
  if (typeof text !== 'string' || text.length > SOURCE_DECIMAL_LIMIT_CHARS || !SOURCE_DECIMAL.test(text)) return null;
  const wire = canonicalFromText(text, decimals);
  return isMarketDecimal(wire) ? wire : null;
}

/**
 * Wire texts of book levels. Two different doubles never share a price text, and a size that is there never reads zero:
 * both would make a delta mean something else than the level it came from.
 */
export class LevelTexts {
  readonly #price: DecimalWriter;
  readonly #size: DecimalWriter;

  constructor(decimals: MarketDecimals) {
    this.#price = new DecimalWriter(decimals.price, (canonical, value) => Number(canonical) === value);
    this.#size = new DecimalWriter(decimals.size, (canonical) => Number(canonical) > 0);
  }

  price(value: number): string {
    return this.#price.write(value);
  }

  size(value: number): string {
    return this.#size.write(value);
  }
}

/** With more the sum in `assemble` would leave the integers that are fast. */
const FAST_DECIMALS_LIMIT = 9;
/** Integers up to here have at most the 15 digits that a double carries faithfully. */
const FAST_INTEGER_LIMIT = 1e15;
/** Texts that took the long way are remembered; past this the memory starts anew. */
const TEXTS_LIMIT = 2_048;
/** The last digits of a text come from a table, and what stands before them from another: two pieces are joined faster than digits are made. */
const TAIL_DIGITS = 4;
const TAIL_UNITS = 10 ** TAIL_DIGITS;
const HEADS_LIMIT = 4_096;

/** What texts of so many decimals are joined from; `heads` is filled as it is needed, and nothing is ever taken out of either. */
type Pieces = Readonly<{ heads: string[]; tails: readonly string[] }>;
/** By decimals; shared by all markets. */
const pieces = new Map<number, Pieces>();

/** The canonical text of doubles, with a short way for those that are a whole number of the market's smallest units. */
class DecimalWriter {
  readonly #decimals: number;
  /** Ten to the power of the decimals; 0 where the short way is closed. */
  readonly #scale: number;
  readonly #heads: string[];
  readonly #tails: readonly string[];
  readonly #isFaithful: (canonical: string, value: number) => boolean;
  readonly #texts = new Map<number, string>();

  constructor(decimals: number, isFaithful: (canonical: string, value: number) => boolean) {
    this.#decimals = decimals;
    this.#scale = decimals <= FAST_DECIMALS_LIMIT ? 10 ** decimals : 0;
    ({ heads: this.#heads, tails: this.#tails } = piecesOf(Math.min(decimals, FAST_DECIMALS_LIMIT)));
    this.#isFaithful = isFaithful;
  }

  write(value: number): string {
    const scale = this.#scale;
    const units = Math.round(value * scale);
    // The quotient of two exact integers is rounded once: it is `value` only if `value` is the double of that very decimal.
    if (!(units > 0 && units < FAST_INTEGER_LIMIT && units / scale === value)) return this.#writeSlowly(value);
    const head = Math.trunc(units / TAIL_UNITS);
    if (head >= HEADS_LIMIT || (head === 0 && scale < TAIL_UNITS)) return assemble(units, scale);
    return (this.#heads[head] ?? this.#fillHeads(head)) + this.#tails[units - head * TAIL_UNITS]!;
  }

  /** In order: an array with holes would be slow. */
  #fillHeads(last: number): string {
    for (let head = this.#heads.length; head <= last; head++) {
      const text = assemble(head * TAIL_UNITS, this.#scale);
      this.#heads.push(text.slice(0, text.length - this.#tails[0]!.length));
    }
    return this.#heads[last]!;
  }

  #writeSlowly(value: number): string {
    const known = this.#texts.get(value);
    if (known !== undefined) return known;
    const canonical = canonicalFromNumber(value, this.#decimals);
    const text = this.#isFaithful(canonical, value) ? canonical : plainText(value);
    if (this.#texts.size >= TEXTS_LIMIT) this.#texts.clear();
    this.#texts.set(value, text);
    return text;
  }
}

function assemble(units: number, scale: number): string {
  if (scale === 1) return `${units}`;
  const whole = Math.floor(units / scale);
  return `${whole}.${`${units - whole * scale + scale}`.slice(1)}`;
}

function piecesOf(decimals: number): Pieces {
  let found = pieces.get(decimals);
  if (found !== undefined) return found;
  const tails = Array.from({ length: TAIL_UNITS }, (_, units) => {
    const digits = String(units).padStart(TAIL_DIGITS, '0');
    const whole = TAIL_DIGITS - decimals;
    return whole > 0 && decimals > 0 ? `${digits.slice(0, whole)}.${digits.slice(whole)}` : digits;
  });
  found = { heads: [], tails };
  pieces.set(decimals, found);
  return found;
}

function plainText(value: number): string {
  return new Decimal(value).toFixed();
}

/** The exact sum, with as many decimals as the finer of the two. */
export function sumOfDecimals(left: string, right: string): string {
  return Exact.add(left, right).toFixed(Math.max(decimalsOf(left), decimalsOf(right)));
}
/** 60 digits are more than any market's volume of a day needs. */
const Exact = Decimal.clone({ precision: 60 });

function decimalsOf(text: string): number {
  const point = text.indexOf('.');
  return point === -1 ? 0 : text.length - point - 1;
}
