import type { Timeframe } from '../../protocol/streams.ts';
import type { TapeBook, TapeMarket, TapeTicker, TapeTrade } from '../tape.ts';
import type { RestReply, RestRequest, VenueServices } from '../venue.ts';
import { candlesBetween, numberIn, timeframeNamed, wholeNumber } from './query.ts';

const ROOT = '/api/v3/brokerage';
const BOOK_LIMIT = 1000;
const TRADES_LIMIT = 1000;
const DEFAULT_TRADES = 100;
const CANDLES_LIMIT = 350;
const GRANULARITIES: Readonly<Record<Timeframe, string>> = {
  '1m': 'ONE_MINUTE',
  '5m': 'FIVE_MINUTE',
  '15m': 'FIFTEEN_MINUTE',
  '1h': 'ONE_HOUR',
  '4h': 'FOUR_HOUR',
  '1d': 'ONE_DAY',
};
const ok = (body: unknown): RestReply => ({ status: 200, body });
const notFound = (message: string): RestReply => ({
  status: 404,
  body: { error: 'NOT_FOUND', error_details: message, message },
});

export function productId(symbol: string): string {
  return symbol.replace('/', '-');
}

export function isoTime(ts: number): string {
  return new Date(ts).toISOString();
}

export function tradeRow(trade: TapeTrade): object {
  const { symbol, id, price, size, ts, takerSide } = trade;
  const side = takerSide === 'sell' ? 'SELL' : 'BUY';
  return { product_id: productId(symbol), trade_id: id, price, size, time: isoTime(ts), side };
}

/** One row of the ticker channels. */
export function productRow(services: VenueServices, symbol: string, ticker: TapeTicker): object {
  const book = services.source.book(symbol);
  const open = Number(ticker.open);
  return {
    type: 'ticker',
    product_id: productId(symbol),
    price: ticker.last,
    volume_24_h: ticker.baseVolume,
    low_24_h: ticker.low,
    high_24_h: ticker.high,
    price_percent_chg_24_h: open === 0 ? '0' : String((Number(ticker.last) / open - 1) * 100),
    best_bid: book?.bids[0]?.[0] ?? ticker.bid,
    best_bid_quantity: book?.bids[0]?.[1] ?? ticker.bidSize,
    best_ask: book?.asks[0]?.[0] ?? ticker.ask,
    best_ask_quantity: book?.asks[0]?.[1] ?? ticker.askSize,
  };
}

export function createCoinbaseRest(services: VenueServices, symbols: ReadonlyMap<string, string>) {
  const { source } = services;
  const products = (query: URLSearchParams): RestReply => {
    const type = query.get('product_type') ?? 'SPOT';
    const list = type === 'SPOT' ? source.markets.map((market) => productEntry(services, market)) : [];
    return ok({ products: list, num_products: list.length });
  };
  const ofProduct = (id: string, run: (symbol: string) => RestReply): RestReply => {
    const symbol = symbols.get(id);
    return symbol === undefined ? notFound('valid product_id is required') : run(symbol);
  };
  const rest = ({ path, query, book }: RestRequest): RestReply => {
    switch (path) {
      case `${ROOT}/time`:
        return ok({ iso: isoTime(services.now()), epochSeconds: String(Math.floor(services.now() / 1000)) });
      case '/v2/currencies':
      case '/v2/currencies/crypto':
        return ok({ data: currencies(source.markets, path.endsWith('crypto')) });
      case '/v2/exchange-rates':
        return ok({
          data: { currency: 'USD', rates: Object.fromEntries(source.markets.map(({ base }) => [base, '1'])) },
        });
      case `${ROOT}/market/products`:
        return products(query);
      case `${ROOT}/market/product_book`:
        return ofProduct(query.get('product_id') ?? '', (symbol) =>
          priceBook(symbol, book ?? source.book(symbol), query),
        );
      default: {
        const [, id = '', what] =
          /^\/api\/v3\/brokerage\/market\/products\/([^/]+)(?:\/(ticker|candles))?$/.exec(path) ?? [];
        return id === '' ? notFound(path) : ofProduct(id, (symbol) => product(services, symbol, what, query));
      }
    }
  };
  const snapshotSymbol = ({ path, query }: RestRequest): string | undefined =>
    path === `${ROOT}/market/product_book` ? symbols.get(query.get('product_id') ?? '') : undefined;
  return { rest, snapshotSymbol };
}

function product(services: VenueServices, symbol: string, what: string | undefined, query: URLSearchParams): RestReply {
  const { source } = services;
  if (what === 'ticker') {
    const book = source.book(symbol);
    const trades = source
      .trades(symbol, wholeNumber(query, 'limit', DEFAULT_TRADES, TRADES_LIMIT))
      .map(tradeRow)
      .toReversed();
    return ok({ trades, best_bid: book?.bids[0]?.[0] ?? '', best_ask: book?.asks[0]?.[0] ?? '' });
  }
  if (what === 'candles') {
    const timeframe = timeframeNamed(GRANULARITIES, query.get('granularity') ?? '');
    if (timeframe === undefined) return { status: 400, body: { error: 'INVALID_ARGUMENT', message: 'granularity' } };
    const seconds = (name: string): number | undefined => {
      const value = numberIn(query, name);
      return value === undefined ? undefined : value * 1000;
    };
    // ccxt asks for the window before its own clock; on a tape of another day the same window lies before the tape's.
    const end = seconds('end');
    const aheadMs = end === undefined ? 0 : Math.max(0, end - services.now());
    const start = seconds('start');
    const from = start === undefined ? undefined : start - aheadMs;
    const range = { from, to: end === undefined ? undefined : end - aheadMs, limit: CANDLES_LIMIT };
    const candles = candlesBetween(source, symbol, timeframe, range).map(
      ({ openTs, low, high, open, close, volume }) => {
        return { start: String(openTs / 1000), low, high, open, close, volume };
      },
    );
    return ok({ candles: candles.toReversed() });
  }
  const market = source.markets.find((each) => each.symbol === symbol)!;
  return ok(productEntry(services, market));
}

function priceBook(symbol: string, book: TapeBook | undefined, query: URLSearchParams): RestReply {
  if (book === undefined) return { status: 503, body: { error: 'UNAVAILABLE', message: 'no order book is known yet' } };
  const limit = wholeNumber(query, 'limit', BOOK_LIMIT, BOOK_LIMIT);
  const row = ([price, size]: readonly [string, string]): object => ({ price, size });
  const bids = book.bids.slice(0, limit).map(row);
  const asks = book.asks.slice(0, limit).map(row);
  return ok({ pricebook: { product_id: productId(symbol), bids, asks, time: isoTime(book.ts) } });
}

function productEntry(services: VenueServices, market: TapeMarket): object {
  if (market.raw !== undefined) return JSON.parse(market.raw) as object;
  const { symbol, base, quote, tickSize, lotSize, minSize, minNotional } = market;
  const ticker = services.source.ticker(symbol);
  return {
    product_id: productId(symbol),
    price: ticker?.last ?? '',
    volume_24h: ticker?.baseVolume ?? '',
    base_increment: lotSize,
    quote_increment: tickSize,
    price_increment: tickSize,
    quote_min_size: minNotional,
    quote_max_size: '150000000',
    base_min_size: minSize,
    base_max_size: '1000000',
    base_name: base,
    quote_name: quote,
    base_currency_id: base,
    quote_currency_id: quote,
    base_display_symbol: base,
    quote_display_symbol: quote,
    display_name: productId(symbol),
    status: 'online',
    product_type: 'SPOT',
    product_venue: 'CBE',
    alias: '',
    alias_to: [],
    is_disabled: false,
    cancel_only: false,
    limit_only: false,
    post_only: false,
    trading_disabled: false,
    auction_mode: false,
    view_only: false,
    fcm_trading_session_details: null,
  };
}

/** Quotes are listed as money and bases as coins, which is all that a market list needs of them. */
function currencies(markets: readonly TapeMarket[], crypto: boolean): object[] {
  const codes = [...new Set(markets.map(({ base, quote }) => (crypto ? base : quote)))];
  return codes.map((code) =>
    crypto
      ? { code, name: code, asset_id: code, exponent: 8, type: 'crypto' }
      : { id: code, name: code, min_size: '0.01' },
  );
}
