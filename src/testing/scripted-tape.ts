import type { Timeframe } from '../protocol/streams.ts';
import { DepthBook } from '../sandbox/depth-book.ts';
import type {
  SandboxVenue,
  TapeBook,
  TapeCandle,
  TapeEvent,
  TapeLevel,
  TapeMarket,
  TapeSource,
  TapeTicker,
  TapeTrade,
} from '../sandbox/tape.ts';

const TRADES_KEPT = 1_000;

/** An exchange that does exactly what a test says, when it says so: several events in one tick leave in one write. */
export class ScriptedTape implements TapeSource {
  readonly venue: SandboxVenue;
  readonly origin = 'simulation';
  readonly markets: readonly TapeMarket[];
  readonly #books = new Map<string, DepthBook>();
  readonly #trades = new Map<string, TapeTrade[]>();
  readonly #tickers = new Map<string, TapeTicker>();
  readonly #ids = new Map<string, number>();
  #sink: (event: TapeEvent) => void = () => {};

  constructor(venue: SandboxVenue, symbols: readonly string[]) {
    this.venue = venue;
    this.markets = symbols.map((symbol) => {
      const [base = '', quote = ''] = symbol.split('/');
      const sizes = { tickSize: '0.1', lotSize: '0.00000001', minSize: '0.00001', minNotional: '1' };
      return { symbol, base, quote, ...sizes };
    });
    for (const symbol of symbols) this.#setFirstBook(symbol);
  }

  /** Ids of book changes rise by `ids` per change, as where one message holds several. */
  changeBook(symbol: string, bids: readonly TapeLevel[], asks: readonly TapeLevel[], ids = 1): void {
    const book = this.#books.get(symbol)!;
    const firstId = book.lastId + 1;
    const lastId = book.lastId + ids;
    const change = { symbol, ts: Date.now(), kind: 'book', firstId, lastId, bids, asks } as const;
    book.apply(change);
    this.#sink(change);
  }

  /** Sends a book frame of which the exchange's own book knows nothing. */
  sendRaw(symbol: string, raw: string): void {
    const { lastId } = this.#books.get(symbol)!;
    this.#sink({ symbol, ts: Date.now(), kind: 'book', firstId: lastId, lastId, bids: [], asks: [], raw });
  }

  trade(symbol: string, price = '100.0', size = '0.5'): void {
    const id = (this.#ids.get(symbol) ?? 0) + 1;
    this.#ids.set(symbol, id);
    const takerSide = id % 2 === 0 ? 'buy' : 'sell';
    const trade = { symbol, ts: Date.now(), kind: 'trade', id: String(id), price, size, takerSide } as const;
    const kept = this.#trades.get(symbol) ?? [];
    this.#trades.set(symbol, kept);
    kept.push(trade);
    if (kept.length > TRADES_KEPT) kept.shift();
    this.#sink(trade);
  }

  setCandle(symbol: string, timeframe: Timeframe, openTs: number, close: string): void {
    const prices = { open: '100.0', high: '200.0', low: '50.0', close };
    const candle = { openTs, ...prices, volume: '1.5', quoteVolume: '150', trades: 3 };
    this.#sink({ symbol, ts: Date.now(), kind: 'candle', timeframe, closed: false, ...candle });
  }

  setTicker(symbol: string, ticker: TapeTicker): void {
    this.#tickers.set(symbol, ticker);
    this.#sink({ symbol, ts: Date.now(), kind: 'ticker', ...ticker });
  }

  now(): number {
    return Date.now();
  }

  start(sink: (event: TapeEvent) => void): void {
    this.#sink = sink;
  }

  stop(): void {
    this.#sink = () => {};
  }

  book(symbol: string): TapeBook | undefined {
    return this.#books.get(symbol);
  }

  trades(symbol: string, limit: number): readonly TapeTrade[] {
    return (this.#trades.get(symbol) ?? []).slice(-limit);
  }

  ticker(symbol: string): TapeTicker | undefined {
    return this.#tickers.get(symbol);
  }

  candles(_symbol: string, _timeframe: Timeframe, _limit: number): readonly TapeCandle[] {
    return [];
  }

  #setFirstBook(symbol: string): void {
    const book = new DepthBook();
    const side = (first: number, step: number): TapeLevel[] =>
      Array.from({ length: 150 }, (_, rank) => [(first + step * rank).toFixed(1), '1.00000000'] as const);
    book.replace({ lastId: 1_000, ts: Date.now(), bids: side(99.9, -0.1), asks: side(100.1, 0.1) });
    this.#books.set(symbol, book);
  }
}
