import { KUCOIN_TIMEFRAMES } from '../decoders/kucoin.ts';
import type { TapeBook, TapeMarket, TapeTicker } from '../tape.ts';
import type { RestReply, RestRequest, VenueServices } from '../venue.ts';
import { candlesBetween, numberIn, timeframeNamed } from './query.ts';

const TRADES = 100;
const CANDLES_LIMIT = 1500;
/** What the exchange asks of its clients; longer than any test, as its own are. */
const PING_INTERVAL_MS = 18_000;
const PING_TIMEOUT_MS = 10_000;

const ok = (data: unknown): RestReply => ({ status: 200, body: { code: '200000', data } });
// KuCoin reports most failures inside a 200.
const failure = (code: string, msg: string): RestReply => ({ status: 200, body: { code, msg } });

export function idOf(symbol: string): string {
  return symbol.replace('/', '-');
}

export function createKucoinRest(services: VenueServices, symbols: ReadonlyMap<string, string>) {
  const { source } = services;
  const ofSymbol = (query: URLSearchParams, run: (symbol: string) => RestReply): RestReply => {
    const symbol = symbols.get(query.get('symbol') ?? '');
    return symbol === undefined ? failure('900001', 'symbol not exists') : run(symbol);
  };
  const handlers: Record<string, (request: RestRequest) => RestReply> = {
    '/api/v1/timestamp': () => ok(services.now()),
    '/api/v1/status': () => ok({ status: 'open', msg: '' }),
    '/api/v1/bullet-public': ({ origin }) => ok(bullet(origin.ws)),
    '/api/v1/symbols': () => ok(source.markets.map(symbolEntry)),
    '/api/v2/symbols': () => ok(source.markets.map(symbolEntry)),
    '/api/v3/currencies': () => ok(currencies(source.markets)),
    '/api/v1/market/allTickers': () => ok({ time: services.now(), ticker: allTickers(services) }),
    '/api/v1/market/stats': ({ query }) =>
      ofSymbol(query, (symbol) => ok({ time: services.now(), ...statsRow(services, symbol) })),
    '/api/v1/market/orderbook/level1': ({ query }) => ofSymbol(query, (symbol) => ok(level1(services, symbol))),
    '/api/v1/market/histories': ({ query }) =>
      ofSymbol(query, (symbol) =>
        ok(
          source.trades(symbol, TRADES).map(({ id, price, size, takerSide, ts }) => {
            return { sequence: id, tradeId: id, price, size, side: takerSide, time: ts * 1_000_000 };
          }),
        ),
      ),
    '/api/v1/market/candles': ({ query }) => ofSymbol(query, (symbol) => candles(services, symbol, query)),
  };
  const rest = (request: RestRequest): RestReply => {
    const levels = bookLevels(request.path);
    if (levels !== undefined) {
      return ofSymbol(request.query, (symbol) => orderBook(request.book ?? source.book(symbol), levels));
    }
    return handlers[request.path]?.(request) ?? { status: 404, body: { code: '404', msg: 'Not Found' } };
  };
  const snapshotSymbol = ({ path, query }: RestRequest): string | undefined =>
    bookLevels(path) === undefined ? undefined : symbols.get(query.get('symbol') ?? '');
  return { rest, snapshotSymbol };
}

/** `.../level2_100` -> 100, `.../level2` -> all; undefined: not a book. */
function bookLevels(path: string): number | undefined {
  const match = /^\/api\/v[123]\/market\/orderbook\/level2(?:_(20|100))?$/.exec(path);
  return match === null ? undefined : Number(match[1] ?? Number.POSITIVE_INFINITY);
}

function bullet(ws: string): object {
  const server = { endpoint: `${ws}/endpoint`, protocol: 'websocket', encrypt: false };
  return {
    token: 'sandbox',
    instanceServers: [{ ...server, pingInterval: PING_INTERVAL_MS, pingTimeout: PING_TIMEOUT_MS }],
  };
}

function orderBook(book: TapeBook | undefined, levels: number): RestReply {
  if (book === undefined) return failure('500000', 'no order book is known yet');
  const bids = book.bids.slice(0, levels);
  return ok({ time: book.ts, sequence: String(book.lastId), bids, asks: book.asks.slice(0, levels) });
}

function candles(services: VenueServices, symbol: string, query: URLSearchParams): RestReply {
  const timeframe = timeframeNamed(KUCOIN_TIMEFRAMES, query.get('type') ?? '');
  if (timeframe === undefined) return failure('400100', 'type is invalid');
  const seconds = (name: string): number | undefined => {
    const value = numberIn(query, name);
    return value === undefined || value === 0 ? undefined : value * 1000;
  };
  const range = { from: seconds('startAt'), to: seconds('endAt'), limit: CANDLES_LIMIT };
  const rows = candlesBetween(services.source, symbol, timeframe, range).map((candle) => {
    const { openTs, open, close, high, low, volume, quoteVolume } = candle;
    return [String(openTs / 1000), open, close, high, low, volume, quoteVolume];
  });
  return ok(rows.toReversed());
}

function level1(services: VenueServices, symbol: string): object {
  const book = services.source.book(symbol);
  const [bestBid, bestBidSize] = book?.bids[0] ?? [];
  const [bestAsk, bestAskSize] = book?.asks[0] ?? [];
  const trade = services.source.trades(symbol, 1)[0];
  const last = trade === undefined ? {} : { price: trade.price, size: trade.size };
  return {
    sequence: String(book?.lastId ?? 0),
    bestBid,
    bestBidSize,
    bestAsk,
    bestAskSize,
    ...last,
    time: services.now(),
  };
}

function allTickers(services: VenueServices): object[] {
  return services.source.markets.flatMap(({ symbol }) => {
    const row = statsRow(services, symbol);
    return row === undefined ? [] : [{ ...row, symbolName: idOf(symbol) }];
  });
}

function statsRow(services: VenueServices, symbol: string): object | undefined {
  const ticker: TapeTicker | undefined = services.source.ticker(symbol);
  if (ticker === undefined) return undefined;
  const change = Number(ticker.last) - Number(ticker.open);
  return {
    symbol: idOf(symbol),
    buy: ticker.bid,
    sell: ticker.ask,
    changePrice: String(change),
    changeRate: String(Number(ticker.open) === 0 ? 0 : change / Number(ticker.open)),
    high: ticker.high,
    low: ticker.low,
    vol: ticker.baseVolume,
    volValue: ticker.quoteVolume,
    last: ticker.last,
  };
}

function symbolEntry(market: TapeMarket): object {
  if (market.raw !== undefined) return JSON.parse(market.raw) as object;
  const { symbol, base, quote, tickSize, lotSize, minSize, minNotional } = market;
  return {
    symbol: idOf(symbol),
    name: idOf(symbol),
    baseCurrency: base,
    quoteCurrency: quote,
    feeCurrency: quote,
    market: quote,
    baseMinSize: minSize,
    baseMaxSize: '10000000',
    quoteMinSize: minNotional,
    quoteMaxSize: '99999999',
    baseIncrement: lotSize,
    quoteIncrement: tickSize,
    priceIncrement: tickSize,
    minFunds: minNotional,
    priceLimitRate: '0.1',
    isMarginEnabled: false,
    enableTrading: true,
  };
}

function currencies(markets: readonly TapeMarket[]): object[] {
  const codes = [...new Set(markets.flatMap(({ base, quote }) => [base, quote]))];
  return codes.map((currency) => {
    return {
      currency,
      name: currency,
      fullName: currency,
      precision: 8,
      isMarginEnabled: false,
      isDebitEnabled: false,
      chains: [],
    };
  });
}
