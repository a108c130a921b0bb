import type { SandboxVenue, TapeEvent, TapeMarket } from '../tape.ts';
import { commonHistory, type CommonHistory, floorTo } from './history.ts';
import { marketsOf } from './listings.ts';
import { PRICE_STEP_MS, PriceProcess } from './price-process.ts';
import { SimulatedMarket } from './simulated-market.ts';

/** Simulated before anybody listens, so that trades, queues and spreads are in their stride from the first event on. */
const WARM_UP_MS = 3000;
const MINUTE_MS = 60_000;

export type WorldOptions = Readonly<{
  venues: readonly SandboxVenue[];
  seed: number;
  /** Exchange time at which the tape begins, Unix milliseconds. */
  startTs: number;
  /** Unified symbols to list; absent: all. */
  symbols?: readonly string[];
}>;
type ListedMarket = Readonly<{ venue: SandboxVenue; symbol: string; market: SimulatedMarket }>;
type Sink = (event: TapeEvent) => void;

/**
 * All simulated venues under one clock that only moves when `advance` is called. Nothing in here knows wall time: the same seed
 * gives the same events at the same simulated milliseconds, whatever the size of the steps it is advanced in.
 */
export class SimulatedWorld {
  readonly #prices: PriceProcess;
  readonly #markets: ListedMarket[] = [];
  readonly #listed = new Map<SandboxVenue, TapeMarket[]>();
  readonly #sinks = new Map<SandboxVenue, Sink>();
  /** Exchange time minus simulated time; grows when time is skipped. */
  #offsetTs: number;
  #nowMs = 0;

  constructor(options: WorldOptions) {
    const { venues, seed, symbols } = options;
    const startTs = options.startTs - WARM_UP_MS;
    this.#offsetTs = startTs;
    this.#prices = new PriceProcess(seed);
    const histories = new Map<string, CommonHistory>();
    for (const venue of venues) {
      const listed = marketsOf(venue).filter((market) => symbols === undefined || symbols.includes(market.symbol));
      this.#listed.set(venue, listed);
      for (const market of listed) {
        const { base, quote, symbol } = market;
        const history = histories.get(base) ?? commonHistory(seed, base, startTs);
        histories.set(base, history);
        const fairPrice = this.#prices.follow(venue, base, quote);
        const emit = (event: TapeEvent): void => this.#sinks.get(venue)?.(event);
        const simulated = new SimulatedMarket({ seed, venue, market, fairPrice, history, startTs }, emit);
        this.#markets.push({ venue, symbol, market: simulated });
      }
    }
    this.advance(WARM_UP_MS);
  }

  /** The venues' clock, Unix milliseconds. */
  get nowTs(): number {
    return this.#offsetTs + this.#nowMs;
  }

  marketsOf(venue: SandboxVenue): readonly TapeMarket[] {
    return this.#listed.get(venue) ?? [];
  }

  market(venue: SandboxVenue, symbol: string): SimulatedMarket | undefined {
    return this.#markets.find((each) => each.venue === venue && each.symbol === symbol)?.market;
  }

  /** Where a venue's events go; null: nowhere. */
  setSink(venue: SandboxVenue, sink: Sink | null): void {
    if (sink === null) this.#sinks.delete(venue);
    else this.#sinks.set(venue, sink);
  }

  /** Simulates `ms` milliseconds, one by one: every market sees the others' milliseconds in order. */
  advance(ms: number): void {
    for (const untilMs = this.#nowMs + ms; this.#nowMs < untilMs;) {
      this.#nowMs += 1;
      const nowTs = this.nowTs;
      if (this.#nowMs % PRICE_STEP_MS === 0) this.#prices.step();
      if (nowTs % MINUTE_MS === 0) this.#closeCandles();
      for (const { market } of this.#markets) if (market.dueMs <= this.#nowMs) market.run(this.#nowMs, nowTs);
    }
  }

  /** Moves the venues' clock ahead with nothing happening in between but candles closing. */
  skip(ms: number): void {
    const minute = floorTo(this.nowTs, MINUTE_MS);
    this.#offsetTs += ms;
    if (floorTo(this.nowTs, MINUTE_MS) > minute) this.#closeCandles();
  }

  #closeCandles(): void {
    for (const { market } of this.#markets) market.closeCandles(this.#nowMs, this.nowTs);
  }
}
