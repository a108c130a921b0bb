import type { TapeBook, TapeEvent, TapeTrade } from '../tape.ts';

/** Upper edges of the depth bands, in basis points away from the same side's best price. Band 0 is the best price itself. */
export const DEPTH_BANDS_BPS = [0, 1, 2, 5, 10, 25, 50, 100, 250, 500] as const;
export const QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.9, 0.99] as const;

/** Whole books looked at: one per this much exchange time. */
const BOOK_SAMPLE_INTERVAL_MS = 250;
const RETURN_INTERVAL_MS = 1000;
/** Values kept per distribution; a longer recording is measured on its beginning. */
const SAMPLES_LIMIT = 500_000;

/** Values at `QUANTILES`. */
export type Distribution = readonly number[];

/** Per side (mean of bids and asks). */
export type DepthBand = Readonly<{
  untilBps: number;
  levels: number;
  /** In the quote asset. */
  notional: number;
  changesPerSecond: number;
}>;

/** How one market behaved: the numbers that the simulation is calibrated on and judged by. */
export type MarketFacts = Readonly<{
  symbol: string;
  seconds: number;
  /** Mid price at the end. */
  price: number;
  tickSize: number;
  spreadBps: Distribution;
  bestNotional: Distribution;
  depth: readonly DepthBand[];
  bookEventsPerSecond: number;
  topEventsPerSecond: number;
  bestPriceChangesPerSecond: number;
  /** Fills of one side in one millisecond count as one taker order. */
  takersPerSecond: number;
  fillsPerTaker: number;
  buyShare: number;
  takerNotional: Distribution;
  fillNotional: Distribution;
  takerGapMs: Distribution;
  /** Standard deviation of the mid price's log return over one second. */
  returnBpsPerSecond: number;
}>;

type Band = { levels: number; notional: number; changes: number };

/** Measures one market of a tape, recorded or simulated, with the same yardstick. */
export class MarketMeasurement {
  readonly #symbol: string;
  readonly #tickSize: number;
  readonly #bands: Band[] = DEPTH_BANDS_BPS.map(() => ({ levels: 0, notional: 0, changes: 0 }));
  readonly #spreadBps: number[] = [];
  readonly #bestNotional: number[] = [];
  readonly #returnsBps: number[] = [];
  readonly #trades = new TakerStatistics();
  #bookSamples = 0;
  #bookEvents = 0;
  #topEvents = 0;
  #bestChanges = 0;
  #best = '';
  #price = 0;
  #firstTs = Number.POSITIVE_INFINITY;
  #lastTs = 0;
  #sampledTs = 0;
  #returnTs = 0;
  #returnPrice = 0;

  constructor(market: Readonly<{ symbol: string; tickSize: string }>) {
    this.#symbol = market.symbol;
    this.#tickSize = Number(market.tickSize);
  }

  /** `book` is the market's book after the event. */
  take(event: TapeEvent, book: TapeBook | undefined): void {
    if (event.symbol !== this.#symbol) return;
    this.#firstTs = Math.min(this.#firstTs, event.ts);
    this.#lastTs = Math.max(this.#lastTs, event.ts);
    if (event.kind === 'trade') this.#trades.take(event);
    if (event.kind === 'top') this.#topEvents += 1;
    if (event.kind !== 'book' || book === undefined || book.bids.length === 0 || book.asks.length === 0) return;
    this.#bookEvents += 1;
    const bid = Number(book.bids[0]![0]);
    const ask = Number(book.asks[0]![0]);
    for (const [price] of event.bids) this.#countChange(bpsFrom(bid, bid - Number(price)));
    for (const [price] of event.asks) this.#countChange(bpsFrom(ask, Number(price) - ask));
    const best = `${bid}/${ask}`;
    if (best !== this.#best) this.#bestChanges += 1;
    this.#best = best;
    if (event.ts - this.#sampledTs >= BOOK_SAMPLE_INTERVAL_MS) this.#sample(event.ts, book, bid, ask);
  }

  facts(): MarketFacts {
    const seconds = Math.max(1e-3, (this.#lastTs - this.#firstTs) / 1000);
    const sides = 2 * Math.max(1, this.#bookSamples);
    const meanReturn = mean(this.#returnsBps);
    return {
      symbol: this.#symbol,
      seconds,
      price: this.#price,
      tickSize: this.#tickSize,
      spreadBps: distribution(this.#spreadBps),
      bestNotional: distribution(this.#bestNotional),
      depth: this.#bands.map((band, index) => ({
        untilBps: DEPTH_BANDS_BPS[index]!,
        levels: band.levels / sides,
        notional: band.notional / sides,
        changesPerSecond: band.changes / 2 / seconds,
      })),
      bookEventsPerSecond: this.#bookEvents / seconds,
      topEventsPerSecond: this.#topEvents / seconds,
      bestPriceChangesPerSecond: this.#bestChanges / seconds,
      ...this.#trades.facts(seconds),
      returnBpsPerSecond: Math.sqrt(mean(this.#returnsBps.map((each) => (each - meanReturn) ** 2))),
    };
  }

  /** A change at a price better than the best is one that emptied the old best: band 0. */
  #countChange(distanceBps: number): void {
    const band = this.#bands[bandOf(distanceBps)];
    if (band) band.changes += 1;
  }

  #sample(ts: number, book: TapeBook, bid: number, ask: number): void {
    this.#sampledTs = ts;
    this.#bookSamples += 1;
    this.#price = (bid + ask) / 2;
    keep(this.#spreadBps, (1e4 * (ask - bid)) / this.#price);
    keep(this.#bestNotional, bid * Number(book.bids[0]![1]));
    keep(this.#bestNotional, ask * Number(book.asks[0]![1]));
    for (const [side, best] of [
      [book.bids, bid],
      [book.asks, ask],
    ] as const) {
      for (const [price, size] of side) {
        const band = this.#bands[bandOf(bpsFrom(best, Math.abs(Number(price) - best)))];
        if (band === undefined) break;
        band.levels += 1;
        band.notional += Number(price) * Number(size);
      }
    }
    if (ts - this.#returnTs < RETURN_INTERVAL_MS) return;
    // A quiet market's longer pause between two books would count as one jump.
    if (ts - this.#returnTs < 2 * RETURN_INTERVAL_MS) {
      keep(this.#returnsBps, 1e4 * Math.log(this.#price / this.#returnPrice));
    }
    this.#returnTs = ts;
    this.#returnPrice = this.#price;
  }
}

/** Groups fills into the taker orders that caused them. */
class TakerStatistics {
  readonly #fillNotional: number[] = [];
  readonly #takerNotional: number[] = [];
  readonly #gapsMs: number[] = [];
  #fills = 0;
  #takers = 0;
  #buys = 0;
  #open = { ts: 0, side: '', notional: 0 };

  take(trade: TapeTrade): void {
    const notional = Number(trade.price) * Number(trade.size);
    this.#fills += 1;
    keep(this.#fillNotional, notional);
    if (trade.ts === this.#open.ts && trade.takerSide === this.#open.side) {
      this.#open.notional += notional;
      return;
    }
    this.#close();
    if (this.#takers > 0) keep(this.#gapsMs, trade.ts - this.#open.ts);
    this.#takers += 1;
    if (trade.takerSide === 'buy') this.#buys += 1;
    this.#open = { ts: trade.ts, side: trade.takerSide, notional };
  }

  facts(seconds: number) {
    this.#close();
    return {
      takersPerSecond: this.#takers / seconds,
      fillsPerTaker: this.#fills / Math.max(1, this.#takers),
      buyShare: this.#buys / Math.max(1, this.#takers),
      takerNotional: distribution(this.#takerNotional),
      fillNotional: distribution(this.#fillNotional),
      takerGapMs: distribution(this.#gapsMs),
    };
  }

  #close(): void {
    if (this.#open.notional > 0) keep(this.#takerNotional, this.#open.notional);
    this.#open.notional = 0;
  }
}

function bpsFrom(best: number, distance: number): number {
  return (1e4 * distance) / best;
}

/** Index into the bands; past the last one: their number. */
function bandOf(distanceBps: number): number {
  const index = DEPTH_BANDS_BPS.findIndex((untilBps) => distanceBps <= untilBps + 1e-9);
  return index === -1 ? DEPTH_BANDS_BPS.length : index;
}

function keep(samples: number[], value: number): void {
  if (samples.length < SAMPLES_LIMIT) samples.push(value);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** Empty when nothing was seen. */
function distribution(samples: readonly number[]): Distribution {
  if (samples.length === 0) return [];
  const sorted = Float64Array.from(samples).sort();
  return QUANTILES.map((quantile) => sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))]!);
}
