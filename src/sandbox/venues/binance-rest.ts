import { decimalsOfTick } from '../../kernel/decimal-text.ts';
import { TIMEFRAMES_MS } from '../../protocol/streams.ts';
import type { Timeframe } from '../../protocol/streams.ts';
import type { TapeBook, TapeMarket } from '../tape.ts';
import type { RestReply, RestRequest, VenueServices } from '../venue.ts';
import { numeric } from './binance-wire.ts';
import type { BinanceVenue, BinanceWire } from './binance-wire.ts';
import { candlesBetween, numberIn, wholeNumber } from './query.ts';

/** Deepest snapshots that the exchange answers. */
const DEPTH_LIMIT = { binance: 5000, binanceusdm: 1000 } as const;
const DEFAULT_DEPTH = { binance: 100, binanceusdm: 500 } as const;
const ROWS_LIMIT = 1000;
const DEFAULT_ROWS = 500;

type Handler = (query: URLSearchParams, request: RestRequest) => RestReply;
const ok = (body: unknown): RestReply => ({ status: 200, body });
const failure = (status: number, code: number, msg: string): RestReply => ({ status, body: { code, msg } });

export function createBinanceRest(venue: BinanceVenue, services: VenueServices, wire: BinanceWire) {
  const { source } = services;
  const root = venue === 'binance' ? '/api/v3' : '/fapi/v1';

  /** Runs for a known symbol, or answers as the exchange does. */
  const ofSymbol = (query: URLSearchParams, run: (symbol: string, id: string) => RestReply): RestReply => {
    const id = query.get('symbol');
    if (id === null)
      return failure(400, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.");
    const symbol = wire.symbolOf(id);
    return symbol === undefined ? failure(400, -1121, 'Invalid symbol.') : run(symbol, wire.idOf(symbol));
  };
  const rows = (query: URLSearchParams): number => wholeNumber(query, 'limit', DEFAULT_ROWS, ROWS_LIMIT);
  const tickers = (query: URLSearchParams, shape: (symbol: string) => object | undefined): RestReply => {
    if (query.has('symbol')) return ofSymbol(query, (symbol) => ok(shape(symbol) ?? {}));
    return ok(source.markets.flatMap(({ symbol }) => shape(symbol) ?? []));
  };
  const handlers: Record<string, Handler> = {
    '/ping': () => ok({}),
    '/time': () => ok({ serverTime: services.now() }),
    '/exchangeInfo': () => ok(exchangeInfo(venue, source.markets, services.now())),
    '/depth': (query, { book }) => ofSymbol(query, (symbol) => depth(venue, book ?? source.book(symbol), query)),
    '/trades': (query) => ofSymbol(query, (symbol) => ok(source.trades(symbol, rows(query)).map(tradeRow))),
    '/aggTrades': (query) => ofSymbol(query, (symbol) => ok(source.trades(symbol, rows(query)).map(aggTradeRow))),
    '/klines': (query) => ofSymbol(query, (symbol) => klines(services, symbol, query, rows(query))),
    '/ticker/24hr': (query) => tickers(query, (symbol) => ticker24h(services, wire, symbol)),
    '/ticker/bookTicker': (query) => tickers(query, (symbol) => bookTicker(services, wire, symbol)),
    '/ticker/price': (query) =>
      tickers(query, (symbol) => {
        const price = source.ticker(symbol)?.last ?? source.trades(symbol, 1)[0]?.price;
        return price === undefined ? undefined : { symbol: wire.idOf(symbol), price };
      }),
  };
  const rest = (request: RestRequest): RestReply => {
    // ccxt's spot class also asks for the futures' lists unless told not to; here they are other venues, so they are empty.
    if (/^\/(fapi|dapi|api)\/v\d\/exchangeInfo$/.test(request.path) && !request.path.startsWith(root)) {
      return ok(exchangeInfo(venue, [], services.now()));
    }
    const handler = request.path.startsWith(root) ? handlers[request.path.slice(root.length)] : undefined;
    return handler === undefined
      ? failure(404, -1000, `No such endpoint: ${request.path}`)
      : handler(request.query, request);
  };
  const snapshotSymbol = ({ path, query }: RestRequest): string | undefined =>
    path === `${root}/depth` ? wire.symbolOf(query.get('symbol') ?? '') : undefined;
  return { rest, snapshotSymbol };
}

function depth(venue: BinanceVenue, book: TapeBook | undefined, query: URLSearchParams): RestReply {
  if (book === undefined) return failure(503, -1001, 'Internal error; no order book is known for this symbol yet.');
  const limit = wholeNumber(query, 'limit', DEFAULT_DEPTH[venue], DEPTH_LIMIT[venue]);
  const times = venue === 'binanceusdm' ? { E: book.ts, T: book.ts } : {};
  const bids = book.bids.slice(0, limit);
  return ok({ lastUpdateId: book.lastId, ...times, bids, asks: book.asks.slice(0, limit) });
}

function klines(services: VenueServices, symbol: string, query: URLSearchParams, limit: number): RestReply {
  const interval = query.get('interval') ?? '';
  if (!Object.hasOwn(TIMEFRAMES_MS, interval)) return failure(400, -1120, 'Invalid interval.');
  const timeframe = interval as Timeframe;
  const range = { from: numberIn(query, 'startTime'), to: numberIn(query, 'endTime'), limit };
  const wanted = candlesBetween(services.source, symbol, timeframe, range);
  return ok(
    wanted.map((candle) => [
      candle.openTs,
      candle.open,
      candle.high,
      candle.low,
      candle.close,
      candle.volume,
      candle.openTs + TIMEFRAMES_MS[timeframe] - 1,
      candle.quoteVolume,
      candle.trades,
      '0',
      '0',
      '0',
    ]),
  );
}

type Trade = ReturnType<VenueServices['source']['trades']>[number];
const tradeRow = (trade: Trade): object => ({
  id: numeric(trade.id),
  price: trade.price,
  qty: trade.size,
  time: trade.ts,
  isBuyerMaker: trade.takerSide === 'sell',
  isBestMatch: true,
});
const aggTradeRow = (trade: Trade): object => {
  const id = numeric(trade.id);
  return { a: id, p: trade.price, q: trade.size, f: id, l: id, T: trade.ts, m: trade.takerSide === 'sell', M: true };
};

function ticker24h(services: VenueServices, wire: BinanceWire, symbol: string): object | undefined {
  const ticker = services.source.ticker(symbol);
  if (ticker === undefined) return undefined;
  return {
    symbol: wire.idOf(symbol),
    priceChange: String(Number(ticker.last) - Number(ticker.open)),
    lastPrice: ticker.last,
    bidPrice: ticker.bid,
    bidQty: ticker.bidSize,
    askPrice: ticker.ask,
    askQty: ticker.askSize,
    openPrice: ticker.open,
    highPrice: ticker.high,
    lowPrice: ticker.low,
    volume: ticker.baseVolume,
    quoteVolume: ticker.quoteVolume,
    openTime: services.now() - TIMEFRAMES_MS['1d'],
    closeTime: services.now(),
  };
}

function bookTicker(services: VenueServices, wire: BinanceWire, symbol: string): object | undefined {
  const book = services.source.book(symbol);
  const bid = book?.bids[0];
  const ask = book?.asks[0];
  if (bid === undefined || ask === undefined) return undefined;
  return { symbol: wire.idOf(symbol), bidPrice: bid[0], bidQty: bid[1], askPrice: ask[0], askQty: ask[1] };
}

function exchangeInfo(venue: BinanceVenue, markets: readonly TapeMarket[], serverTime: number): object {
  const symbols = markets.map((market) =>
    market.raw === undefined ? marketEntry(venue, market) : (JSON.parse(market.raw) as object),
  );
  return { timezone: 'UTC', serverTime, rateLimits: [], exchangeFilters: [], symbols };
}

function marketEntry(venue: BinanceVenue, market: TapeMarket): object {
  const { base, quote, tickSize, lotSize, minSize, minNotional } = market;
  const futures = venue === 'binanceusdm';
  const perpetual = { contractType: 'PERPETUAL', deliveryDate: 4_133_404_800_000, marginAsset: quote };
  return {
    symbol: `${base}${quote}`,
    status: 'TRADING',
    ...(futures ? { ...perpetual, pair: `${base}${quote}` } : { isSpotTradingAllowed: true, permissions: ['SPOT'] }),
    baseAsset: base,
    quoteAsset: quote,
    baseAssetPrecision: 8,
    quotePrecision: 8,
    quoteAssetPrecision: 8,
    ...(futures
      ? { pricePrecision: decimalsOfTick(Number(tickSize)), quantityPrecision: decimalsOfTick(Number(lotSize)) }
      : {}),
    orderTypes: ['LIMIT', 'LIMIT_MAKER', 'MARKET'],
    filters: [
      { filterType: 'PRICE_FILTER', minPrice: tickSize, maxPrice: '1000000', tickSize },
      { filterType: 'LOT_SIZE', minQty: minSize, maxQty: '9000000', stepSize: lotSize },
      { filterType: futures ? 'MIN_NOTIONAL' : 'NOTIONAL', minNotional, notional: minNotional },
    ],
  };
}
