import type { FeedTrade } from '../modules/market/upstream.ts';
import type { Channel, ChannelContext } from './channel.ts';
import { tradeFrom } from './normalize.ts';
import { TradeCursor } from './trade-cursor.ts';

/** Passes every trade once; what it cannot pass becomes a doubt, never a silent hole. */
export class TradesChannel implements Channel {
  readonly #context: ChannelContext;
  readonly #cursor = new TradeCursor();

  constructor(context: ChannelContext) {
    this.#context = context;
  }

  take(result: unknown): void {
    if (!Array.isArray(result)) return;
    const context = this.#context;
    const trades: FeedTrade[] = [];
    for (const raw of this.#cursor.appended(result)) {
      const trade = tradeFrom(raw, context.ingestTs);
      if (trade === null) context.doubt('impossible value', false);
      else if (this.#isNew(trade)) {
        if (context.band.accept(Number(trade.price), context.monotonic())) trades.push(trade);
        else context.doubt('absurd price', false);
      }
    }
    if (trades.length === 0) return;
    context.delayed(trades.at(-1)!.ts);
    context.verified();
    if (!context.outbox.trades(context.key, trades, context.ingestTs)) context.doubt('overflow', false);
  }

  subscribing(): void {
    this.#cursor.rewind();
  }

  forget(): void {
    delete this.#context.exchange.trades[this.#context.upstream.symbol];
  }

  awaitNewer(): void {}
  repeat(): void {}

  #isNew(trade: FeedTrade): boolean {
    // A numbering that starts over repeats ids, not trades.
    return trade.id === '' || this.#cursor.isNew(`${trade.id} ${trade.ts} ${trade.price} ${trade.size}`);
  }
}
