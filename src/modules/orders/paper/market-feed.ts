import type { StreamCache, StreamListener, StreamView } from '../../market/index.ts';
import type { BookSnapshot, StreamMessage, StreamState, Trade } from '../../../protocol/messages.ts';
import type { PaperEvent, StreamPlace } from './core-events.ts';

export type MarketEvent = Extract<PaperEvent, { type: 'book' | 'trades' | 'state' }>;
export type MarketFeedSetup = Readonly<{
  cache: StreamCache;
  bookStream: string;
  tradesStream: string;
  now: () => number;
  take: (event: MarketEvent) => void;
}>;
export interface MarketFeed {
  /** Tells the whole again, after events were lost on our side. */
  retell(): void;
  close(): void;
}

/** Both streams of a market as events for the core, each beginning with the whole as soon as it is known. */
export function openMarketFeed(setup: MarketFeedSetup): MarketFeed {
  const channels = [openChannel('book', setup.bookStream, setup), openChannel('trades', setup.tradesStream, setup)];
  return {
    retell() {
      for (const channel of channels) channel.retell();
    },
    close() {
      for (const channel of channels) channel.close();
    },
  };
}

function openChannel(channel: 'book' | 'trades', stream: string, { cache, now, take }: MarketFeedSetup): MarketFeed {
  let begun = false;
  let closed = false;
  const tellState = ({ status }: StreamState) =>
    take({ type: 'state', nowMs: now(), channel, live: status === 'live' });
  const tellData = (message: StreamMessage) => {
    const data = message.data as Pick<BookSnapshot, 'bids' | 'asks'> & { trades: readonly Trade[] };
    const common = { nowMs: now(), whole: message.kind === 'snapshot', place: placeOf(message) };
    if (channel === 'trades') take({ type: 'trades', ...common, trades: data.trades });
    else take({ type: 'book', ...common, bids: data.bids, asks: data.asks });
  };
  const tellWhole = (view: StreamView) => {
    // First the doubt: what is told again does not continue what was told before.
    take({ type: 'state', nowMs: now(), channel, live: false });
    const snapshot = view.snapshot();
    if (snapshot === null) return;
    tellData(snapshot.message);
    tellState(view.state);
  };
  const listener: StreamListener = {
    onMessage({ message }) {
      // What comes before the first head was looked at is in the view by then.
      if (!begun || message.kind === 'gap') return;
      if (message.kind === 'state') tellState(message.data as StreamState);
      else tellData(message);
    },
    onReset: (view) => {
      if (begun) tellWhole(view);
    },
  };
  const lease = cache.lease(stream, listener);
  const begin = () => {
    if (closed || begun) return;
    begun = true;
    tellWhole(lease.view);
  };
  if (lease.view.position !== undefined) begin();
  else void lease.ready.then(begin);
  return {
    close() {
      closed = true;
      lease.release();
    },
    retell: () => {
      if (begun) tellWhole(lease.view);
    },
  };
}

function placeOf(message: StreamMessage): StreamPlace {
  const { epoch, seq, ingestTs } = message;
  return {
    epoch,
    seq,
    ingestTs,
    exchangeSeq: message.exchangeSeq ?? null,
    exchangeTs: message.exchangeTs ?? null,
  };
}
