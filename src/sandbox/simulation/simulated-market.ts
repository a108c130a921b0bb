import { seededRandom, seedFrom, type Random } from '../../kernel/random.ts';
import type { Timeframe } from '../../protocol/streams.ts';
import type { SandboxVenue, TapeBook, TapeCandle, TapeEvent, TapeMarket, TapeTicker, TapeTrade } from '../tape.ts';
import { BookPublisher } from './book-publisher.ts';
import { profileOf } from './calibration.ts';
import { candleText } from './candle-series.ts';
import { DayTicker } from './day-ticker.ts';
import { wholeBetween } from './distributions.ts';
import { type CandleHistory, type CommonHistory, marketHistory, TIMEFRAMES } from './history.ts';
import { type MarketScale, marketScale } from './market-scale.ts';
import type { Fill } from './matching-engine.ts';
import type { FairPrice } from './price-process.ts';
import { OPEN_CANDLES_INTERVAL_MS, PUBLISHING, type Publishing } from './publishing.ts';
import { TradingFloor } from './trading-floor.ts';

/** Trades kept for REST; no venue's REST answers more at once. */
const TRADES_LIMIT = 1000;

export type Emit = (event: TapeEvent) => void;
export type MarketOptions = Readonly<{
  seed: number;
  venue: SandboxVenue;
  market: TapeMarket;
  fairPrice: FairPrice;
  history: CommonHistory;
  /** Exchange time at which the market opens, Unix milliseconds. */
  startTs: number;
}>;

/** One market of one venue: what happens on its floor, told the way its venue tells it. */
export class SimulatedMarket {
  readonly #symbol: string;
  readonly #scale: MarketScale;
  readonly #publishing: Publishing;
  readonly #floor: TradingFloor;
  readonly #publisher: BookPublisher;
  readonly #candles: CandleHistory;
  readonly #dayTicker: DayTicker;
  readonly #trades: TapeTrade[] = [];
  readonly #emit: Emit;
  /** Where in each interval this market's turn is, so that not all markets speak in the same millisecond. */
  readonly #phaseMs: number;
  #tradeId: number;
  #nowMs = 0;
  #nowTs: number;
  #bookDueMs = Number.POSITIVE_INFINITY;
  #topDueMs = Number.POSITIVE_INFINITY;
  #tickerDueMs = Number.POSITIVE_INFINITY;
  #candlesDueMs = Number.POSITIVE_INFINITY;
  /** Simulated time at which `run` must be called next. */
  dueMs = 0;

  constructor(options: MarketOptions, emit: Emit) {
    const { seed, venue, market, fairPrice, startTs } = options;
    const randomOf = (part: string): Random => seededRandom(seedFrom(`${seed}:${venue}:${market.symbol}:${part}`));
    const setup = randomOf('setup');
    const profile = profileOf(venue, market.base);
    const scale = marketScale(market);
    this.#symbol = market.symbol;
    this.#scale = scale;
    this.#publishing = PUBLISHING[venue];
    this.#emit = emit;
    this.#nowTs = startTs;
    this.#phaseMs = wholeBetween(setup, 0, OPEN_CANDLES_INTERVAL_MS - 1);
    this.#tradeId = wholeBetween(setup, 100_000_000, 199_999_999);
    this.#publisher = new BookPublisher(scale, {
      firstId: wholeBetween(setup, 1_000_000_000, 1_999_999_999),
      withPreviousId: venue === 'binanceusdm',
    });
    this.#floor = new TradingFloor({
      profile,
      scale,
      leastLots: Math.max(1, Math.round(Number(market.minSize) / scale.lotSize)),
      fairPrice,
      random: randomOf('agents'),
      onLevelChange: (side, tick, lotsBefore) => this.#publisher.noteChange(side, tick, lotsBefore),
      onFill: (fill) => this.#trade(fill),
    });
    this.#publisher.takeBook(this.#floor.engine, startTs);
    const past = { endPrice: fairPrice(), scale, profile, random: randomOf('history') };
    this.#candles = marketHistory(options.history, startTs, past);
    this.#dayTicker = new DayTicker(this.#candles.get('1m')!, scale);
  }

  /** Does what is due at simulated time `nowMs`, which is exchange time `nowTs`. */
  run(nowMs: number, nowTs: number): void {
    this.#nowMs = nowMs;
    this.#nowTs = nowTs;
    if (this.#floor.run(nowMs)) {
      const { bookIntervalMs, topIntervalMs, tickerIntervalMs } = this.#publishing;
      this.#bookDueMs = Math.min(this.#bookDueMs, this.#turn(nowMs, bookIntervalMs));
      this.#topDueMs = Math.min(this.#topDueMs, this.#turn(nowMs, topIntervalMs));
      this.#tickerDueMs = Math.min(this.#tickerDueMs, this.#turn(nowMs, tickerIntervalMs));
    }
    if (nowMs >= this.#bookDueMs) this.#publishBook();
    if (nowMs >= this.#topDueMs) this.#publishTop();
    if (nowMs >= this.#tickerDueMs) this.#publishTicker();
    if (nowMs >= this.#candlesDueMs) this.#publishOpenCandles();
    this.dueMs = Math.min(this.#floor.nextMs, this.#bookDueMs, this.#topDueMs, this.#tickerDueMs, this.#candlesDueMs);
  }

  /** Closes what ends at or before `nowTs`, in order; candles close on time whether anything traded or not. */
  closeCandles(nowMs: number, nowTs: number): void {
    for (const timeframe of TIMEFRAMES) {
      const series = this.#candles.get(timeframe)!;
      while (series.endTs <= nowTs) {
        const candle = candleText(series.roll(), this.#scale);
        if (timeframe === '1m') this.#dayTicker.noteMinuteClosed();
        this.#emit({ kind: 'candle', symbol: this.#symbol, ts: nowTs, timeframe, closed: true, ...candle });
      }
    }
    this.#candlesDueMs = Math.min(this.#candlesDueMs, this.#turn(nowMs + 1, OPEN_CANDLES_INTERVAL_MS));
    this.dueMs = Math.min(this.dueMs, this.#candlesDueMs);
  }

  book(): TapeBook {
    return this.#publisher.book(this.#floor.engine);
  }

  trades(limit: number): readonly TapeTrade[] {
    return limit > 0 ? this.#trades.slice(-limit) : [];
  }

  ticker(): TapeTicker {
    return { ...this.#dayTicker.ticker(), ...this.#publisher.quotes(this.#floor.engine) };
  }

  candles(timeframe: Timeframe, limit: number): readonly TapeCandle[] {
    const series = this.#candles.get(timeframe)!;
    return series.latest(limit).map((candle) => candleText(candle, this.#scale));
  }

  #publishBook(): void {
    this.#bookDueMs = Number.POSITIVE_INFINITY;
    const book = this.#publisher.takeBook(this.#floor.engine, this.#nowTs);
    if (book !== undefined) this.#emit({ symbol: this.#symbol, ts: this.#nowTs, ...book });
  }

  #publishTop(): void {
    this.#topDueMs = Number.POSITIVE_INFINITY;
    const top = this.#publisher.takeTop(this.#floor.engine);
    if (top !== undefined) this.#emit({ symbol: this.#symbol, ts: this.#nowTs, ...top });
  }

  #publishTicker(): void {
    this.#tickerDueMs = Number.POSITIVE_INFINITY;
    this.#emit({ kind: 'ticker', symbol: this.#symbol, ts: this.#nowTs, ...this.ticker() });
  }

  #publishOpenCandles(): void {
    this.#candlesDueMs = Number.POSITIVE_INFINITY;
    for (const timeframe of TIMEFRAMES) {
      const series = this.#candles.get(timeframe)!;
      if (!series.changed) continue;
      series.changed = false;
      const candle = candleText(series.open, this.#scale);
      this.#emit({ kind: 'candle', symbol: this.#symbol, ts: this.#nowTs, timeframe, closed: false, ...candle });
    }
  }

  /** The next turn of something that happens every `intervalMs`, now included. */
  #turn(nowMs: number, intervalMs: number): number {
    const phaseMs = this.#phaseMs % intervalMs;
    return Math.ceil((nowMs - phaseMs) / intervalMs) * intervalMs + phaseMs;
  }

  #trade(fill: Fill<number>): void {
    this.#tradeId += 1;
    const trade: TapeTrade = {
      kind: 'trade',
      symbol: this.#symbol,
      ts: this.#nowTs,
      id: String(this.#tradeId),
      price: this.#scale.priceText(fill.tick),
      size: this.#scale.sizeText(fill.lots),
      takerSide: fill.takerSide,
    };
    this.#trades.push(trade);
    // Dropping in blocks: shifting the array for every trade would cost more than the trade.
    if (this.#trades.length > 2 * TRADES_LIMIT) this.#trades.splice(0, TRADES_LIMIT);
    for (const series of this.#candles.values()) series.trade(fill.tick, fill.lots);
    this.#candlesDueMs = Math.min(this.#candlesDueMs, this.#turn(this.#nowMs, OPEN_CANDLES_INTERVAL_MS));
    this.#emit(trade);
  }
}
