import type { TapeTicker } from '../tape.ts';
import type { Candle, CandleSeries } from './candle-series.ts';
import { DAY_MINUTES } from './history.ts';
import type { MarketScale } from './market-scale.ts';

type Sums = Readonly<{ open: number; high: number; low: number; lots: number; tickLots: number }>;

/** 24 hour statistics: the last 1440 closed minutes and the open one, so that they always agree with the candles. */
export class DayTicker {
  readonly #minutes: CandleSeries;
  readonly #scale: MarketScale;
  #closed: Sums | null = null;

  constructor(minutes: CandleSeries, scale: MarketScale) {
    this.#minutes = minutes;
    this.#scale = scale;
  }

  /** To be called whenever a minute closed: only then the closed part is summed anew. */
  noteMinuteClosed(): void {
    this.#closed = null;
  }

  ticker(): TapeTicker {
    this.#closed ??= sumOf(this.#minutes.latest(DAY_MINUTES + 1).slice(0, -1));
    const closed = this.#closed;
    const { open } = this.#minutes;
    const { priceText, sizeText, quoteText } = this.#scale;
    return {
      last: priceText(open.close),
      open: priceText(closed.open),
      high: priceText(Math.max(closed.high, open.high)),
      low: priceText(Math.min(closed.low, open.low)),
      baseVolume: sizeText(closed.lots + open.lots),
      quoteVolume: quoteText(closed.tickLots + open.tickLots),
    };
  }
}

function sumOf(candles: readonly Candle[]): Sums {
  let [high, low, lots, tickLots] = [0, Number.POSITIVE_INFINITY, 0, 0];
  for (const candle of candles) {
    high = Math.max(high, candle.high);
    low = Math.min(low, candle.low);
    lots += candle.lots;
    tickLots += candle.tickLots;
  }
  return { open: candles[0]!.open, high, low, lots, tickLots };
}
