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
 * both would make a delta mean something else than the level it came from. Remembers recent texts, since a level that
 * changes in one tier changes in the others too and prices come back all the time.
 */
export class LevelTexts {
  readonly #decimals: MarketDecimals;
  readonly #prices = new Map<number, string>();
  readonly #sizes = new Map<number, string>();

  constructor(decimals: MarketDecimals) {
    this.#decimals = decimals;
  }

  price(value: number): string {
    const known = this.#prices.get(value);
    if (known !== undefined) return known;
    const canonical = canonicalFromNumber(value, this.#decimals.price);
    return remember(this.#prices, value, Number(canonical) === value ? canonical : plainText(value));
  }

  size(value: number): string {
    const known = this.#sizes.get(value);
    if (known !== undefined) return known;
    const canonical = canonicalFromNumber(value, this.#decimals.size);
    return remember(this.#sizes, value, Number(canonical) > 0 ? canonical : plainText(value));
  }
}

/** Texts per book and kind; past it the memory starts anew, which costs one formatting per live level. */
const TEXTS_LIMIT = 2_048;

function remember(texts: Map<number, string>, value: number, text: string): string {
  if (texts.size >= TEXTS_LIMIT) texts.clear();
  texts.set(value, text);
  return text;
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
