import type { FeedCandle } from '../modules/market/upstream.ts';
import type { Timeframe } from '../protocol/streams.ts';
import type { Channel, ChannelContext } from './channel.ts';
import { candlesFrom } from './normalize.ts';

const HISTORY_LIMIT = 500;
/** Rows of ccxt's cache that one message can have changed: the candle that ends and the one that begins, with room. */
const RUNNING_LIMIT = 5;

/** Running candles from the exchange's stream, and its history once per subscription. */
export class CandlesChannel implements Channel {
  readonly #context: ChannelContext;
  readonly #timeframe: Timeframe;
  /** False where the exchange streams no candles: then its history is all there is. */
  readonly #streams: boolean;
  #lastTs = -Infinity;
  #generation = 0;
  /** History that came before the stream was confirmed. */
  #history: readonly FeedCandle[] = [];

  constructor(context: ChannelContext, timeframe: Timeframe, streams: boolean) {
    this.#context = context;
    this.#timeframe = timeframe;
    this.#streams = streams;
  }

  take(result: unknown): void {
    const context = this.#context;
    const rows = cacheOf(result);
    if (rows === undefined) return;
    // Kraken's handler resolves all timeframes of a symbol under one name.
    const stored = Object.entries(context.exchange.ohlcvs[context.upstream.symbol] ?? {});
    if (stored.some(([timeframe, cache]) => cache === rows && timeframe !== this.#timeframe)) return;
    // The cache remembers what it has changed until somebody asks, for ever if nobody does.
    if ('getLimit' in rows && typeof rows.getLimit === 'function') rows.getLimit(undefined, undefined);
    const last = Array.from(
      { length: Math.min(RUNNING_LIMIT, rows.length) },
      (_, back) => rows[rows.length - 1 - back],
    );
    const candles = candlesFrom(last, context.ingestTs).filter(({ ts }) => ts >= this.#lastTs);
    if (candles.length === 0) return;
    if (!context.band.accept(Number(candles.at(-1)!.close), context.monotonic())) {
      return context.doubt('absurd price', false);
    }
    this.#lastTs = candles.at(-1)!.ts;
    context.verified();
    context.outbox.candles(context.key, candles, false, context.ingestTs);
  }

  subscribing(): void {
    this.#generation += 1;
    void this.#loadHistory(this.#generation);
  }

  confirmed(): void {
    if (this.#history.length === 0) return;
    this.#context.outbox.candles(this.#context.key, this.#history, true, this.#context.ingestTs);
    this.#history = [];
  }

  forget(): void {
    const { exchange, upstream } = this.#context;
    const stored = exchange.ohlcvs[upstream.symbol];
    // A candle of before an outage must not be told again as running.
    if (stored !== undefined) delete stored[this.#timeframe];
    this.#lastTs = -Infinity;
  }

  awaitNewer(): void {}

  repeat(): void {
    this.#lastTs = -Infinity;
    this.subscribing();
  }

  async #loadHistory(generation: number): Promise<void> {
    const { exchange, upstream, key } = this.#context;
    let candles: FeedCandle[] = [];
    try {
      const rows = await exchange.fetchOHLCV(upstream.symbol, this.#timeframe, undefined, HISTORY_LIMIT);
      candles = candlesFrom(rows, this.#context.ingestTs).slice(-HISTORY_LIMIT);
    } catch (error) {
      // Not fatal: candles go on from here; the next subscription asks again.
      this.#context.note(`${key}: no history: ${String(error).slice(0, 300)}`);
    }
    if (generation !== this.#generation) return;
    this.#history = candles;
    if (!this.#streams) this.#context.verified();
    if (this.#context.live) this.confirmed();
  }
}

/** ccxt's cache of rows, bare or as `[symbol, timeframe, cache]`. */
function cacheOf(result: unknown): unknown[] | undefined {
  if (!Array.isArray(result)) return undefined;
  const cache: unknown = typeof result[0] === 'string' ? result[2] : result;
  return Array.isArray(cache) ? cache : undefined;
}
