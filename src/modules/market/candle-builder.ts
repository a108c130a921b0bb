import type { Candle, Trade } from '../../protocol/messages.ts';
import type { CandleStore, CandleValues } from './candle-store.ts';
import { sumOfDecimals } from './market-text.ts';

/** Trades that the exchange stamped before this after we began to listen may not be the first of their interval. */
const LISTENING_MARGIN_MS = 2_000;

/**
 * Candles from trades, for exchanges that send none. An interval whose start was not listened to is left out: half a candle
 * looks like a whole one. An interval without trades has no candle.
 */
export class CandleBuilder {
  readonly #store: CandleStore;
  readonly #timeframeMs: number;
  #completeFrom: number | null = null;

  constructor(store: CandleStore, timeframeMs: number) {
    this.#store = store;
    this.#timeframeMs = timeframeMs;
  }

  get listening(): boolean {
    return this.#completeFrom !== null;
  }

  /** From here on no trade is missed. `venueTs` is the exchange's time. */
  listenFrom(venueTs: number): void {
    this.#completeFrom = this.#openTs(venueTs + LISTENING_MARGIN_MS) + this.#timeframeMs;
  }

  forget(): void {
    this.#completeFrom = null;
  }

  /** The open time of the first interval among `trades` that can be built whole; null when there is none. */
  firstComplete(trades: readonly Trade[]): number | null {
    const first = trades.find((trade) => this.#isComplete(trade));
    return first === undefined ? null : this.#openTs(first.ts);
  }

  /** Answers the candles that changed. */
  onTrades(trades: readonly Trade[]): Candle[] {
    const changed = new Map<number, Candle>();
    for (const trade of trades) {
      if (!this.#isComplete(trade)) continue;
      const ts = this.#openTs(trade.ts);
      for (const closed of this.#store.closeBefore(ts)) changed.set(closed.ts, closed);
      const known = this.#store.get(ts);
      const isPast = (this.#store.newest?.ts ?? ts) > ts;
      const candle = this.#store.put(withTrade(known, ts, trade), known?.closed ?? isPast);
      if (candle !== null) changed.set(ts, candle);
    }
    return [...changed.values()];
  }

  #isComplete(trade: Trade): boolean {
    if (this.#completeFrom === null) this.listenFrom(trade.ts);
    return this.#openTs(trade.ts) >= this.#completeFrom!;
  }

  #openTs(ts: number): number {
    return Math.floor(ts / this.#timeframeMs) * this.#timeframeMs;
  }
}

function withTrade(candle: Candle | undefined, ts: number, trade: Trade): CandleValues {
  const { price, size } = trade;
  if (candle === undefined) return { ts, open: price, high: price, low: price, close: price, volume: size };
  return {
    ts,
    open: candle.open,
    high: Number(price) > Number(candle.high) ? price : candle.high,
    low: Number(price) < Number(candle.low) ? price : candle.low,
    // A trade that comes after its candle was closed is late: the close stands.
    close: candle.closed ? candle.close : price,
    volume: sumOfDecimals(candle.volume, size),
  };
}
