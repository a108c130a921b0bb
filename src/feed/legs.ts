import type { Upstream } from '../modules/market/upstream.ts';
import type { Timeframe } from '../protocol/streams.ts';
import { TIMEFRAMES_MS } from '../protocol/streams.ts';
import type { CcxtExchange } from './ccxt-surface.ts';
import type { VenueCapabilities } from './thread-protocol.ts';
import type { Leg, VenueQuirks } from './venues/quirks.ts';

const METHODS = {
  book: 'watchOrderBook',
  trades: 'watchTrades',
  ticker: 'watchTicker',
  candles: 'watchOHLCV',
} as const;

export function capabilitiesOf(exchange: CcxtExchange, quirks: VenueQuirks): VenueCapabilities {
  const can = (channel: keyof typeof METHODS): boolean => exchange.has[METHODS[channel]] === true;
  const timeframes = Object.keys(TIMEFRAMES_MS) as Timeframe[];
  return {
    book: can('book'),
    trades: can('trades'),
    ticker: can('ticker'),
    candles: quirks.candles ?? (can('candles') ? 'exchange' : 'trades'),
    timeframes: timeframes.filter((timeframe) => exchange.timeframes?.[timeframe] !== undefined),
  };
}

/** The subscriptions that an upstream needs, or why it cannot be had. None without a refusal: history only. */
export function legsOf(
  exchange: CcxtExchange,
  quirks: VenueQuirks,
  upstream: Upstream,
): Readonly<{ legs: readonly Leg[]; refusal?: string }> {
  const { channel, symbol } = upstream;
  if (exchange.markets?.[symbol] === undefined) return { legs: [], refusal: 'the exchange does not list this symbol' };
  const capabilities = capabilitiesOf(exchange, quirks);
  if (channel === 'candles') {
    if (capabilities.candles === 'trades') return { legs: [] };
    const { timeframe } = upstream;
    if (!capabilities.timeframes.includes(timeframe)) {
      return { legs: [], refusal: `the exchange has no candles of ${timeframe}` };
    }
    return {
      legs: quirks.legs?.(upstream) ?? [{ optional: false, watch: (current) => current.watchOHLCV(symbol, timeframe) }],
    };
  }
  if (!capabilities[channel]) return { legs: [], refusal: `the exchange does not stream ${channel}` };
  return { legs: quirks.legs?.(upstream) ?? [defaultLeg(channel, symbol, quirks)] };
}

function defaultLeg(channel: 'book' | 'trades' | 'ticker', symbol: string, quirks: VenueQuirks): Leg {
  switch (channel) {
    case 'book':
      return { optional: false, watch: (exchange) => exchange.watchOrderBook(symbol, quirks.bookLimit) };
    case 'trades':
      return { optional: false, watch: (exchange) => exchange.watchTrades(symbol) };
    case 'ticker':
      return { optional: false, watch: (exchange) => exchange.watchTicker(symbol) };
  }
}
