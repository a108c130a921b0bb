import type { Trade } from '../../../protocol/messages.ts';
import { BookLevels } from './book-levels.ts';
import type { PaperEvent, PaperSettings, StreamPlace } from './core-events.ts';
import { fixedFrom } from './fixed-point.ts';

type BookEvent = Extract<PaperEvent, { type: 'book' }>;
type TradesEvent = Extract<PaperEvent, { type: 'trades' }>;
export type PublicTrade = Readonly<{
  id: string;
  price: bigint;
  size: bigint;
  side: 'buy' | 'sell' | null;
  ts: number;
}>;

/** The market as the two streams show it, and whether it may be believed now. */
export class MarketView {
  readonly bids: BookLevels;
  readonly asks: BookLevels;
  readonly #ageLimitMs: number;
  #book: StreamPlace | null = null;
  #trades: StreamPlace | null = null;
  #live = { book: false, trades: false };
  #lastPrice: bigint | null = null;
  #newestTs = 0;
  /** A snapshot of trades, until the stream is live and the stops have been compared with it. */
  #missed: readonly PublicTrade[] = [];

  constructor(settings: PaperSettings) {
    this.bids = new BookLevels(-1, settings.depth);
    this.asks = new BookLevels(1, settings.depth);
    this.#ageLimitMs = settings.bookAgeLimitMs;
  }

  get book(): StreamPlace | null {
    return this.#book;
  }

  get trades(): StreamPlace | null {
    return this.#trades;
  }

  get tradesLive(): boolean {
    return this.#live.trades;
  }

  /** The exchange's newest time that was seen in either stream. */
  get newestTs(): number {
    return this.#newestTs;
  }

  /** Of the last public trade, while the stream is believed. */
  get lastPrice(): bigint | null {
    return this.#live.trades ? this.#lastPrice : null;
  }

  /** Nothing is filled while this is false. */
  usable(nowMs: number): boolean {
    if (!this.#live.book || !this.#live.trades || this.#book === null) return false;
    if (nowMs > this.staleAtMs) return false;
    const bid = this.bids.best;
    const ask = this.asks.best;
    return bid === undefined || ask === undefined || bid.price < ask.price;
  }

  /** The last moment at which the book is young enough. */
  get staleAtMs(): number {
    return this.#book === null ? Infinity : this.#book.ingestTs + this.#ageLimitMs;
  }

  setLive(channel: 'book' | 'trades', live: boolean): void {
    this.#live[channel] = live;
  }

  /** Answers the prices that changed; null: all of them may have. */
  takeBook(event: BookEvent): Readonly<{ bids: bigint[]; asks: bigint[] }> | null {
    this.#book = event.place;
    this.#newestTs = Math.max(this.#newestTs, event.place.exchangeTs ?? 0);
    if (!event.whole) return { bids: this.bids.apply(event.bids), asks: this.asks.apply(event.asks) };
    this.bids.replace(event.bids);
    this.asks.replace(event.asks);
    return null;
  }

  /** Answers the trades that happened while we were watching. */
  takeTrades(event: TradesEvent): readonly PublicTrade[] {
    this.#trades = event.place;
    const trades = event.trades.flatMap((trade) => publicTrade(trade) ?? []);
    if (!event.whole) return trades;
    this.#missed = trades;
    for (const trade of trades) this.seeTrade(trade);
    return [];
  }

  seeTrade(trade: PublicTrade): void {
    this.#lastPrice = trade.price;
    this.#newestTs = Math.max(this.#newestTs, trade.ts);
  }

  /** Once per snapshot, as soon as it is to be believed. */
  takeMissed(): readonly PublicTrade[] {
    if (!this.#live.trades) return [];
    const missed = this.#missed;
    this.#missed = [];
    return missed;
  }

  /** What `trigger` looks at for an order of this side; null while there is no such price. */
  referencePrice(source: 'bid_ask' | 'mid', side: 'buy' | 'sell'): bigint | null {
    const bid = this.bids.best?.price;
    const ask = this.asks.best?.price;
    if (source === 'bid_ask') return (side === 'buy' ? ask : bid) ?? null;
    return bid === undefined || ask === undefined ? null : (bid + ask) / 2n;
  }
}

/** Evidence is rounded so that it shows less: a price by its text would never be finer than our unit, a size may. */
function publicTrade(trade: Trade): PublicTrade | null {
  const price = fixedFrom(trade.price, 'down');
  const size = fixedFrom(trade.size, 'down');
  return price === null || size === null ? null : { id: trade.id, price, size, side: trade.side, ts: trade.ts };
}
