import type { FeedTicker } from '../modules/market/upstream.ts';
import type { Channel, ChannelContext } from './channel.ts';
import { exchangeTime, tickerFrom } from './normalize.ts';
import { isRecord } from './venues/quirks.ts';

type Fields = FeedTicker['fields'];

/** Passes what each message says; an upstream may be fed by two streams (24 h statistics, best bid and ask). */
export class TickerChannel implements Channel {
  readonly #context: ChannelContext;
  #latest: Fields = {};
  #latestTs: number | undefined;
  #frozen: Readonly<{ fields: Fields; ts: number | undefined }> | undefined;

  constructor(context: ChannelContext) {
    this.#context = context;
  }

  take(result: unknown): void {
    const context = this.#context;
    // Some handlers resolve the ticker itself, OKX's a record of tickers by symbol.
    const ticker = isRecord(result) && !('info' in result) ? result[context.upstream.symbol] : result;
    const fields = tickerFrom(ticker);
    if (fields === null) return;
    const ts = isRecord(ticker) ? exchangeTime(ticker['timestamp'], context.ingestTs) : undefined;
    const price = fields.last ?? fields.bid ?? fields.ask;
    if (price !== undefined && !context.band.accept(Number(price), context.monotonic())) {
      return context.doubt('absurd price', false);
    }
    if (!this.#isNewer(fields, ts)) return;
    this.#frozen = undefined;
    this.#latest = { ...this.#latest, ...fields };
    this.#latestTs = ts ?? this.#latestTs;
    context.delayed(ts);
    context.verified();
    context.outbox.ticker(context.key, fields, ts, context.ingestTs);
  }

  subscribing(): void {}

  forget(): void {
    const { exchange, upstream } = this.#context;
    delete exchange.tickers[upstream.symbol];
    delete exchange.bidsasks[upstream.symbol];
    this.#latest = {};
    this.#latestTs = undefined;
  }

  awaitNewer(): void {
    this.#frozen ??= { fields: this.#latest, ts: this.#latestTs };
  }

  repeat(): void {
    const { outbox, key, ingestTs, live } = this.#context;
    if (live && Object.keys(this.#latest).length > 0) outbox.ticker(key, this.#latest, this.#latestTs, ingestTs);
  }

  #isNewer(fields: Fields, ts: number | undefined): boolean {
    if (this.#frozen === undefined) return true;
    if (ts !== undefined && this.#frozen.ts !== undefined) return ts > this.#frozen.ts;
    const before = this.#frozen.fields;
    return Object.entries(fields).some(([field, text]) => before[field as keyof Fields] !== text);
  }
}
