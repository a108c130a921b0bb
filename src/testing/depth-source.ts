import { DepthBook } from '../sandbox/depth-book.ts';
import type { TapeBook, TapeEvent, TapeLevel, TapeMarket, TapeSource } from '../sandbox/tape.ts';

/** Of each market, as Binance's `depth@100ms`. */
export const UPDATES_PER_SECOND = 10;
/** Of every market before its first change. */
export const FIRST_ID = 1_000;

const UPDATE_MS = 1_000 / UPDATES_PER_SECOND;
/** Shorter than the distance of two changes for any number of markets below a hundred, so that a client wakes for each. */
const TICK_MS = 1;
const BOOK_LEVELS = 400;
const MIDDLE_TICK = 1_000_000;

export function symbolsOf(markets: number): string[] {
  return Array.from({ length: markets }, (_, index) => `Q${String(index).padStart(3, '0')}/USDT`);
}

/**
 * An exchange with as many markets as one likes. Each changes `levels` levels of both sides ten times a second, one market after the
 * other, evenly: prices stay, sizes change. Ids rise by 1 with each change of a market.
 */
export class DepthSource implements TapeSource {
  readonly venue = 'binance';
  readonly origin = 'simulation';
  readonly markets: readonly TapeMarket[];
  readonly #levels: number;
  readonly #books: DepthBook[];
  readonly #bySymbol: ReadonlyMap<string, DepthBook>;
  readonly #prices = { bids: pricesOf(-1), asks: pricesOf(1) };
  #timer: NodeJS.Timeout | undefined;
  #startedMs = 0;
  #sent = 0;

  constructor(markets: number, levels: number) {
    const sizes = { tickSize: '0.01', lotSize: '0.00001', minSize: '0.00001', minNotional: '1' };
    this.markets = symbolsOf(markets).map((symbol) => ({
      symbol,
      base: symbol.split('/')[0]!,
      quote: 'USDT',
      ...sizes,
    }));
    this.#levels = levels;
    this.#books = this.markets.map(() => this.#firstBook());
    this.#bySymbol = new Map(this.markets.map(({ symbol }, index) => [symbol, this.#books[index]!]));
  }

  /** Of all markets together; a client that has missed nothing has the same. */
  get lastIds(): number {
    return this.#books.reduce((sum, { lastId }) => sum + lastId, 0);
  }

  now(): number {
    return Date.now();
  }

  start(sink: (event: TapeEvent) => void): void {
    this.#startedMs = performance.now();
    this.#timer = setInterval(() => {
      const due = Math.floor(((performance.now() - this.#startedMs) * this.markets.length) / UPDATE_MS);
      for (; this.#sent < due; this.#sent++) sink(this.#change(this.#sent));
    }, TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  book(symbol: string): TapeBook | undefined {
    return this.#bySymbol.get(symbol);
  }

  trades(): [] {
    return [];
  }

  ticker(): undefined {
    return undefined;
  }

  candles(): [] {
    return [];
  }

  #change(count: number): TapeEvent {
    const index = count % this.markets.length;
    const update = Math.floor(count / this.markets.length);
    const book = this.#books[index]!;
    const side = (prices: readonly string[]): TapeLevel[] =>
      Array.from({ length: this.#levels }, (_, rank) => [prices[rank]!, sizeOf(update, rank)] as const);
    const id = book.lastId + 1;
    const levels = { bids: side(this.#prices.bids), asks: side(this.#prices.asks) };
    const change = {
      kind: 'book',
      symbol: this.markets[index]!.symbol,
      ts: Date.now(),
      firstId: id,
      lastId: id,
      ...levels,
    } as const;
    book.apply(change);
    return change;
  }

  #firstBook(): DepthBook {
    const book = new DepthBook();
    const side = (prices: readonly string[]): TapeLevel[] => prices.map((price) => [price, '1.00000000'] as const);
    book.replace({ lastId: FIRST_ID, ts: Date.now(), bids: side(this.#prices.bids), asks: side(this.#prices.asks) });
    return book;
  }
}

function pricesOf(sign: 1 | -1): string[] {
  return Array.from(
    { length: BOOK_LEVELS },
    (_, rank) => `${((MIDDLE_TICK + sign * (rank + 1)) / 100).toFixed(2)}000000`,
  );
}

function sizeOf(update: number, rank: number): string {
  return `${1 + ((update * 7 + rank * 13) % 97)}.${String((update * 31 + rank) % 100_000).padStart(5, '0')}000`;
}
