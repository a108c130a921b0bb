import { Decimal } from 'decimal.js';
import { TIMEFRAMES_MS } from '../protocol/streams.ts';
import type { Timeframe } from '../protocol/streams.ts';
import type { TapeCandle, TapeEvent, TapeTrade } from './tape.ts';

/** Sums of sizes must not round: the default of 20 digits would. */
const Exact = Decimal.clone({ precision: 60, toExpNeg: -60, toExpPos: 60 });
/** Candles kept per timeframe; no venue's REST answers more at once. */
const HISTORY_LIMIT = 1500;
/** Exchanges push a running candle about this often, not once per trade. */
const PUSH_INTERVAL_MS = 250;
const TIMEFRAMES = Object.keys(TIMEFRAMES_MS) as Timeframe[];

type CandleEvent = Extract<TapeEvent, { kind: 'candle' }>;

/** A candle in the making. */
type Running = {
  openTs: number;
  open: string;
  high: string;
  low: string;
  close: string;
  volume: Decimal;
  quoteVolume: Decimal;
  trades: number;
  changed: boolean;
  pushedTs: number;
};

/**
 * One symbol's candles, made from its trades. A timeframe with no trade has no candle: nothing is invented for quiet minutes.
 * Timeframes that the recording itself carries are kept as recorded until `deriveAll`.
 */
export class CandleKeeper {
  readonly #symbol: string;
  readonly #recorded: Set<Timeframe>;
  readonly #history = new Map<Timeframe, Map<number, TapeCandle>>();
  readonly #running = new Map<Timeframe, Running>();
  /** Exchange time at which something is to be pushed or closed; Infinity: nothing. */
  dueTs = Number.POSITIVE_INFINITY;

  constructor(symbol: string, recorded: readonly Timeframe[]) {
    this.#symbol = symbol;
    this.#recorded = new Set(recorded);
  }

  deriveAll(): void {
    this.#recorded.clear();
  }

  record(candle: CandleEvent): void {
    this.#remember(candle.timeframe, candle, true);
  }

  /** Closes what the trade's time ends, then counts the trade in. */
  trade(trade: TapeTrade): CandleEvent[] {
    const events = this.due(trade.ts);
    const size = new Exact(trade.size);
    const quote = size.times(trade.price);
    for (const timeframe of TIMEFRAMES) this.#count(timeframe, trade, size, quote);
    return events;
  }

  /** Candles to push at this time: closed ones, and running ones that changed since their last push. */
  due(ts: number): CandleEvent[] {
    if (ts < this.dueTs) return [];
    const events: CandleEvent[] = [];
    this.dueTs = Number.POSITIVE_INFINITY;
    for (const [timeframe, running] of this.#running) {
      const endTs = running.openTs + TIMEFRAMES_MS[timeframe];
      const closed = ts >= endTs;
      const due = closed || (running.changed && ts >= running.pushedTs + PUSH_INTERVAL_MS);
      if (due) {
        const candle = this.#remember(timeframe, textOf(running));
        const derived = !this.#recorded.has(timeframe);
        if (derived) events.push({ kind: 'candle', symbol: this.#symbol, ts, timeframe, closed, ...candle });
        running.changed = false;
        running.pushedTs = ts;
      }
      if (closed) this.#running.delete(timeframe);
      else this.dueTs = Math.min(this.dueTs, running.changed ? running.pushedTs + PUSH_INTERVAL_MS : endTs);
    }
    return events;
  }

  /** Oldest first; the last one may be running. */
  candles(timeframe: Timeframe, limit: number): readonly TapeCandle[] {
    const running = this.#running.get(timeframe);
    if (running !== undefined) this.#remember(timeframe, textOf(running));
    const known = [...(this.#history.get(timeframe)?.values() ?? [])];
    return known.toSorted((a, b) => a.openTs - b.openTs).slice(-limit);
  }

  #count(timeframe: Timeframe, trade: TapeTrade, size: Decimal, quote: Decimal): void {
    const spanMs = TIMEFRAMES_MS[timeframe];
    const openTs = trade.ts - (trade.ts % spanMs);
    const running = this.#running.get(timeframe);
    // A trade that an exchange reports late, after its candle closed, no longer changes a candle.
    if (running !== undefined && openTs < running.openTs) return;
    if (running === undefined) {
      const { price } = trade;
      const fresh = { openTs, open: price, high: price, low: price, close: price, volume: size, quoteVolume: quote };
      this.#running.set(timeframe, { ...fresh, trades: 1, changed: true, pushedTs: 0 });
    } else {
      if (Number(trade.price) > Number(running.high)) running.high = trade.price;
      if (Number(trade.price) < Number(running.low)) running.low = trade.price;
      running.close = trade.price;
      running.volume = running.volume.plus(size);
      running.quoteVolume = running.quoteVolume.plus(quote);
      running.trades += 1;
      running.changed = true;
    }
    this.dueTs = Math.min(this.dueTs, (running?.pushedTs ?? 0) + PUSH_INTERVAL_MS);
  }

  #remember(timeframe: Timeframe, candle: TapeCandle, own = false): TapeCandle {
    const kept = this.#history.get(timeframe) ?? new Map<number, TapeCandle>();
    this.#history.set(timeframe, kept);
    const { openTs, open, high, low, close, volume, quoteVolume, trades } = candle;
    // The exchange's own candle knows the trades from before the recording; one made from the tape must not replace it.
    const ownKnown = kept.get(openTs);
    if (ownKnown !== undefined && this.#recorded.has(timeframe) && !own) return ownKnown;
    const plain = { openTs, open, high, low, close, volume, quoteVolume, trades };
    kept.set(openTs, plain);
    if (kept.size > HISTORY_LIMIT) kept.delete(Math.min(...kept.keys()));
    return plain;
  }
}

function textOf(running: Running): TapeCandle {
  const { openTs, open, high, low, close, trades } = running;
  const volume = running.volume.toFixed();
  return { openTs, open, high, low, close, volume, quoteVolume: running.quoteVolume.toFixed(), trades };
}
