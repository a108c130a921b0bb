import type { Book } from '../client/index.ts';
import type { TapeEvent } from '../sandbox/index.ts';
import { reconstruct } from './raw-book.ts';
import type { RawLevel } from './raw-book.ts';

type Levels = readonly (readonly [string, string])[];
type Sides = Readonly<{ bids: Levels; asks: Levels }>;

/** Every state that one market's book goes through, in order, by exchange id where there is one; cut to the depth compared. */
export class MarketTruth {
  readonly #depth: number;
  readonly #byId = new Map<number, string>();
  readonly #byText = new Set<string>();
  #last = '';

  constructor(depth: number) {
    this.#depth = depth;
  }

  /** Also the states that a book has while an exchange's id is not known to us. */
  add(sides: Sides, id: number | undefined): void {
    this.#last = textOf(sides, this.#depth);
    this.#byText.add(this.#last);
    if (id !== undefined) this.#byId.set(id, this.#last);
  }

  get states(): number {
    return this.#byText.size;
  }

  /** A reason when the book is one that the exchange never had (at that id), else null. */
  objection(book: Book): string | null {
    const text = textOf(book, this.#depth);
    if (book.exchangeSeq !== undefined && this.#byId.size > 0) {
      const expected = this.#byId.get(book.exchangeSeq);
      if (expected === undefined) return `the exchange has no update ${book.exchangeSeq}`;
      return expected === text ? null : `at ${book.exchangeSeq} it should be\n${expected}\nand is\n${text}`;
    }
    return this.#byText.has(text) ? null : `the exchange never had\n${text}`;
  }

  isLast(book: Book): boolean {
    return textOf(book, this.#depth) === this.#last;
  }
}

/** One text per content: prices and sizes without trailing zeros, `0E-8` and the like read as numbers. */
function textOf({ bids, asks }: Sides, depth: number): string {
  const side = (levels: Levels): string =>
    levels
      .slice(0, depth)
      .map(([price, size]) => `${Number(price)}x${Number(size)}`)
      .join(' ');
  return `${side(bids)} | ${side(asks)}`;
}

/** Truth by the exchange's market name stripped to letters and digits: `BTC/USDT`, `BTCUSDT` and `BTC-USDT` are one. */
export function recordedTruth(folder: string, markets: readonly string[], depth: number): Map<string, MarketTruth> {
  const truths = new Map(markets.map((market) => [plainName(market), new MarketTruth(depth)]));
  for (const step of reconstruct(folder)) {
    truths.get(plainName(step.market))?.add(step.top(depth), step.numbered ? step.id : undefined);
  }
  return truths;
}

export function plainName(market: string): string {
  return market
    .replace(/:.*$/, '')
    .replace(/[^\p{L}\p{N}]/gu, '')
    .toUpperCase();
}

/** The same from a tape's events, for sources that are not recordings. */
export class TapeTruth {
  readonly #sides = new Map<string, { bids: Map<number, RawLevel>; asks: Map<number, RawLevel> }>();
  readonly truths = new Map<string, MarketTruth>();
  readonly #depth: number;

  constructor(depth: number) {
    this.#depth = depth;
  }

  begin(symbol: string, book: Sides & { lastId: number }): void {
    const index = (levels: Levels): Map<number, RawLevel> => new Map(levels.map((level) => [Number(level[0]), level]));
    this.#sides.set(symbol, { bids: index(book.bids), asks: index(book.asks) });
    this.truths.set(symbol, new MarketTruth(this.#depth));
    this.#note(symbol, book.lastId);
  }

  onEvent(event: TapeEvent): void {
    if (event.kind !== 'book') return;
    const sides = this.#sides.get(event.symbol);
    if (sides === undefined) return;
    for (const name of ['bids', 'asks'] as const) {
      for (const level of event[name]) {
        if (Number(level[1]) === 0) sides[name].delete(Number(level[0]));
        else sides[name].set(Number(level[0]), level);
      }
    }
    this.#note(event.symbol, event.lastId);
  }

  #note(symbol: string, id: number): void {
    const { bids, asks } = this.#sides.get(symbol)!;
    const sorted = (side: Map<number, RawLevel>, sign: number): RawLevel[] =>
      [...side].toSorted((a, b) => sign * (a[0] - b[0])).map(([, level]) => level);
    this.truths.get(symbol)!.add({ bids: sorted(bids, -1), asks: sorted(asks, 1) }, id);
  }
}
