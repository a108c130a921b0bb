import type { TapeCandle } from '../tape.ts';
import type { MarketScale } from './market-scale.ts';

/** Prices in ticks, volume in lots, quote volume in tick x lots. */
export type Candle = {
  openTs: number;
  open: number;
  high: number;
  low: number;
  close: number;
  lots: number;
  tickLots: number;
  trades: number;
};

const FIELDS = 8;

/** One timeframe: a ring of closed candles in one flat array (a hundred thousand objects would cost four times the memory) and the open one. */
export class CandleSeries {
  readonly spanMs: number;
  readonly #capacity: number;
  readonly #closed: Float64Array;
  #count = 0;
  #next = 0;
  /** Changed since it was last published. */
  changed = false;
  open: Candle;

  constructor(options: Readonly<{ spanMs: number; capacityCandles: number; openTs: number; price: number }>) {
    this.spanMs = options.spanMs;
    this.#capacity = options.capacityCandles;
    this.#closed = new Float64Array(options.capacityCandles * FIELDS);
    this.open = flatCandle(options.openTs, options.price);
  }

  get endTs(): number {
    return this.open.openTs + this.spanMs;
  }

  get closedCandles(): number {
    return this.#count;
  }

  trade(tick: number, lots: number): void {
    const candle = this.open;
    // Nothing traded yet: the candle's opening price is its first trade's, the one before was only its stand-in.
    if (candle.trades === 0) {
      candle.open = tick;
      candle.high = tick;
      candle.low = tick;
    }
    candle.high = Math.max(candle.high, tick);
    candle.low = Math.min(candle.low, tick);
    candle.close = tick;
    candle.lots += lots;
    candle.tickLots += tick * lots;
    candle.trades += 1;
    this.changed = true;
  }

  /** Closes the open candle and opens the next one, flat at the last price. */
  roll(): Candle {
    const closed = this.open;
    this.#append(closed);
    this.open = flatCandle(closed.openTs + this.spanMs, closed.close);
    this.changed = true;
    return closed;
  }

  /** Takes in a finer candle that lies in the open one or after it. */
  absorb(candle: Candle): void {
    while (candle.openTs >= this.endTs) this.roll();
    const { openTs } = this.open;
    this.open = this.open.trades === 0 ? { ...candle, openTs } : mergeCandles(this.open, candle);
    this.changed = true;
  }

  /** Adds a closed candle behind the ones that are there; the oldest goes when the ring is full. */
  #append(candle: Candle): void {
    const { openTs, open, high, low, close, lots, tickLots, trades } = candle;
    this.#closed.set([openTs, open, high, low, close, lots, tickLots, trades], this.#next * FIELDS);
    this.#next = (this.#next + 1) % this.#capacity;
    this.#count = Math.min(this.#count + 1, this.#capacity);
  }

  /** The newest `limit` candles, oldest first, the open one last. */
  latest(limit: number): Candle[] {
    const closed = Math.max(0, Math.min(this.#count, limit - 1));
    const candles = Array.from({ length: closed }, (_, index) => this.#at(this.#count - closed + index));
    return limit > 0 ? [...candles, this.open] : [];
  }

  /** `index` 0 is the oldest. */
  #at(index: number): Candle {
    const from = ((this.#next - this.#count + index + this.#capacity) % this.#capacity) * FIELDS;
    const [openTs, open, high, low, close, lots, tickLots, trades] = this.#closed.subarray(from, from + FIELDS);
    return {
      openTs: openTs!,
      open: open!,
      high: high!,
      low: low!,
      close: close!,
      lots: lots!,
      tickLots: tickLots!,
      trades: trades!,
    };
  }
}

function flatCandle(openTs: number, price: number): Candle {
  return { openTs, open: price, high: price, low: price, close: price, lots: 0, tickLots: 0, trades: 0 };
}

/** What both spans together look like; `after` follows `before`. */
function mergeCandles(before: Candle, after: Candle): Candle {
  return {
    openTs: before.openTs,
    open: before.open,
    high: Math.max(before.high, after.high),
    low: Math.min(before.low, after.low),
    close: after.close,
    lots: before.lots + after.lots,
    tickLots: before.tickLots + after.tickLots,
    trades: before.trades + after.trades,
  };
}

export function candleText(candle: Candle, scale: MarketScale): TapeCandle {
  return {
    openTs: candle.openTs,
    open: scale.priceText(candle.open),
    high: scale.priceText(candle.high),
    low: scale.priceText(candle.low),
    close: scale.priceText(candle.close),
    volume: scale.sizeText(candle.lots),
    quoteVolume: scale.quoteText(candle.tickLots),
    trades: candle.trades,
  };
}
