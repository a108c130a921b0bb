import type { Envelope, Ticker, Trade, Venue } from '../protocol/messages.ts';
import type { Portfolio } from '../protocol/trading.ts';
import { LatestValue, RecentTrades } from './channel-keepers.ts';
import { CandleWindow } from './candle-window.ts';
import type { CandleSeries } from './candle-window.ts';
import { OrdersKeeper, PortfolioKeeper, privateEventOf } from './private-keepers.ts';
import type { Holdings, OpenOrders, PrivateEvent } from './private-keepers.ts';
import type { GapNotice } from './stream-state.ts';
import type { Presentation } from './subscription.ts';
import { VerifiedBook } from './verified-book.ts';
import type { Book } from './verified-book.ts';

/** Trades in the order of the exchange, each handed out once. `gap`: trades before these were lost, with the reason. `recent`: history at the time of joining. */
export type TradeBatch = Readonly<{ trades: readonly Trade[]; gap: GapNotice | null; recent: boolean }>;

const nothing = (): undefined => undefined;

export const bookPresentation: Presentation<Book> = {
  latestWins: true,
  pick: nothing,
  prime: nothing,
  read: ({ keeper }) => (keeper instanceof VerifiedBook ? keeper.book : null),
};

export const candlesPresentation: Presentation<CandleSeries> = {
  latestWins: true,
  pick: nothing,
  prime: nothing,
  read: ({ keeper }) => (keeper instanceof CandleWindow ? keeper.series : null),
};

function latestValuePresentation<T>(): Presentation<T> {
  return {
    latestWins: true,
    pick: nothing,
    prime: nothing,
    // The protocol's schema of the channel names the type; the server is believed.
    read: ({ keeper }) => (keeper instanceof LatestValue ? ((keeper.snapshotData() ?? null) as T | null) : null),
  };
}
export const tickerPresentation = latestValuePresentation<Ticker>();
export const venuePresentation = latestValuePresentation<Venue>();

export const valuationPresentation = latestValuePresentation<Portfolio>();

export const ordersPresentation: Presentation<OpenOrders> = {
  latestWins: true,
  pick: nothing,
  prime: nothing,
  read: ({ keeper }) => (keeper instanceof OrdersKeeper ? keeper.value : null),
};

export const portfolioPresentation: Presentation<Holdings> = {
  latestWins: true,
  pick: nothing,
  prime: nothing,
  read: ({ keeper }) => (keeper instanceof PortfolioKeeper ? keeper.value : null),
};

/** Every event once and in order; what a snapshot stands for is told by the value, not here. */
export const eventsPresentation: Presentation<PrivateEvent> = {
  latestWins: false,
  pick: privateEventOf,
  prime: nothing,
  read: () => null,
};

export const tradesPresentation: Presentation<TradeBatch> = {
  latestWins: false,
  pick(envelope, { keeper }, gap) {
    if (envelope.kind === 'state' || !(keeper instanceof RecentTrades)) return undefined;
    const trades = keeper.fresh;
    return trades.length === 0 ? undefined : { trades, gap, recent: envelope.kind === 'snapshot' };
  },
  prime: (snapshot) => ({ ...(snapshot.data as { trades: readonly Trade[] }), gap: null, recent: true }),
  read: () => null,
};

/** Everything in sequence, as it came; a late joiner starts with a snapshot made from what is known. */
export const envelopePresentation: Presentation<Envelope> = {
  latestWins: false,
  pick: (envelope) => envelope,
  prime: (snapshot) => snapshot,
  read: () => null,
};
