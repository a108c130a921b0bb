import type { FeedBook, MarketIngest, Upstream } from '../modules/market/upstream.ts';
import type { ThreadEvent } from './thread-protocol.ts';

type DataEvent = Extract<ThreadEvent, { type: 'book' | 'trades' | 'ticker' | 'candles' }>;

/** Hands one piece of a thread's data to the market module. */
export function deliver(ingest: MarketIngest, upstream: Upstream, event: DataEvent): void {
  const { venue, symbol } = upstream;
  const { ingestTs } = event;
  switch (event.type) {
    case 'book': {
      const { bids, asks, exchangeSeq, exchangeTs } = event;
      const book: { -readonly [Key in keyof FeedBook]: FeedBook[Key] } = { venue, symbol, bids, asks, ingestTs };
      if (exchangeSeq !== undefined) book.exchangeSeq = exchangeSeq;
      if (exchangeTs !== undefined) book.exchangeTs = exchangeTs;
      return ingest.book(book);
    }
    case 'trades':
      return ingest.trades({ venue, symbol, trades: event.trades, ingestTs });
    case 'ticker': {
      const stamp = event.exchangeTs === undefined ? {} : { exchangeTs: event.exchangeTs };
      return ingest.ticker({ venue, symbol, fields: event.fields, ...stamp, ingestTs });
    }
    case 'candles':
      if (upstream.channel !== 'candles') return;
      return ingest.candles({
        venue,
        symbol,
        timeframe: upstream.timeframe,
        candles: event.candles,
        history: event.history,
        ingestTs,
      });
  }
}
