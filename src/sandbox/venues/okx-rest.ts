import { OKX_TIMEFRAMES } from '../decoders/okx.ts';
import type { TapeBook, TapeMarket, TapeTrade } from '../tape.ts';
import type { RestReply, RestRequest, VenueServices } from '../venue.ts';
import { candlesBetween, numberIn, timeframeNamed, wholeNumber } from './query.ts';

const BOOK_LIMIT = 400;
const TRADES_LIMIT = 500;
const DEFAULT_TRADES = 100;
const CANDLES_LIMIT = 300;
const DEFAULT_CANDLES = 100;

const ok = (data: readonly unknown[]): RestReply => ({ status: 200, body: { code: '0', msg: '', data } });
const failure = (status: number, code: string, msg: string): RestReply => ({ status, body: { code, msg, data: [] } });

/** BTC/USDT -> `BTC-USDT`, UNI/USD:UNI -> `UNI-USD-SWAP`, BTC/USD:BTC-220527 -> `BTC-USD-220527`. */
export function instIdOf(symbol: string): string {
  const [pair = '', settle] = symbol.split(':');
  const spot = pair.replace('/', '-');
  if (settle === undefined) return spot;
  const kind = settle.slice(settle.indexOf('-') + 1);
  return settle.includes('-') ? `${spot}-${kind}` : `${spot}-SWAP`;
}

export function tradeRow(trade: TapeTrade): object {
  const { symbol, id: tradeId, price: px, size: sz, takerSide: side, ts } = trade;
  return { instId: instIdOf(symbol), tradeId, px, sz, side, ts: String(ts), count: '1' };
}

/** Undefined while no 24 h figures are known: none are made up. */
export function tickerRow(services: VenueServices, symbol: string, ts = services.now()): object | undefined {
  const ticker = services.source.ticker(symbol);
  if (ticker === undefined) return undefined;
  const book = services.source.book(symbol);
  return {
    instType: typeOf(symbol),
    instId: instIdOf(symbol),
    last: ticker.last,
    lastSz: services.source.trades(symbol, 1)[0]?.size ?? '',
    askPx: book?.asks[0]?.[0] ?? ticker.ask,
    askSz: book?.asks[0]?.[1] ?? ticker.askSize,
    bidPx: book?.bids[0]?.[0] ?? ticker.bid,
    bidSz: book?.bids[0]?.[1] ?? ticker.bidSize,
    open24h: ticker.open,
    high24h: ticker.high,
    low24h: ticker.low,
    sodUtc0: '',
    sodUtc8: '',
    vol24h: ticker.baseVolume,
    volCcy24h: ticker.quoteVolume,
    ts: String(ts),
  };
}

export function createOkxRest(services: VenueServices) {
  const { source } = services;
  const symbols = new Map(source.markets.map((market) => [instIdOf(market.symbol), market.symbol]));
  const ofInstrument = (query: URLSearchParams, run: (symbol: string) => RestReply): RestReply => {
    const symbol = symbols.get(query.get('instId') ?? '');
    return symbol === undefined ? failure(200, '51001', "Instrument ID doesn't exist") : run(symbol);
  };
  const ofType = (query: URLSearchParams): readonly TapeMarket[] =>
    source.markets.filter(({ symbol }) => typeOf(symbol) === (query.get('instType') ?? 'SPOT'));
  const handlers: Record<string, (query: URLSearchParams, request: RestRequest) => RestReply> = {
    '/api/v5/public/time': () => ok([{ ts: String(services.now()) }]),
    '/api/v5/system/status': () => ok([]),
    '/api/v5/public/instruments': (query) => ok(ofType(query).map(instrument)),
    '/api/v5/market/books': (query, { book }) =>
      ofInstrument(query, (symbol) => orderBook(book ?? source.book(symbol), query)),
    '/api/v5/market/ticker': (query) => ofInstrument(query, (symbol) => ok([tickerRow(services, symbol) ?? []].flat())),
    '/api/v5/market/tickers': (query) => ok(ofType(query).flatMap(({ symbol }) => tickerRow(services, symbol) ?? [])),
    '/api/v5/market/trades': (query) =>
      ofInstrument(query, (symbol) =>
        ok(
          source
            .trades(symbol, wholeNumber(query, 'limit', DEFAULT_TRADES, TRADES_LIMIT))
            .map(tradeRow)
            .toReversed(),
        ),
      ),
    '/api/v5/market/candles': (query) => ofInstrument(query, (symbol) => candles(services, symbol, query)),
    '/api/v5/market/history-candles': (query) => ofInstrument(query, (symbol) => candles(services, symbol, query)),
  };
  return {
    rest: (request: RestRequest): RestReply =>
      handlers[request.path]?.(request.query, request) ?? failure(404, '404', 'Not Found'),
    snapshotSymbol: ({ path, query }: RestRequest): string | undefined =>
      path === '/api/v5/market/books' ? symbols.get(query.get('instId') ?? '') : undefined,
  };
}

function orderBook(book: TapeBook | undefined, query: URLSearchParams): RestReply {
  if (book === undefined) return failure(503, '50001', 'Service temporarily unavailable: no order book is known yet');
  const size = wholeNumber(query, 'sz', 1, BOOK_LIMIT);
  const row = ([price, amount]: readonly [string, string]): string[] => [price, amount, '0', '1'];
  const bids = book.bids.slice(0, size).map(row);
  return ok([{ asks: book.asks.slice(0, size).map(row), bids, ts: String(book.ts), seqId: book.lastId }]);
}

function candles(services: VenueServices, symbol: string, query: URLSearchParams): RestReply {
  const timeframe = timeframeNamed(OKX_TIMEFRAMES, query.get('bar') ?? '1m');
  if (timeframe === undefined) return failure(200, '51000', 'Parameter bar error');
  // `before` and `after` are exclusive, and `after` is the older end.
  const before = numberIn(query, 'before');
  const after = numberIn(query, 'after');
  const range = {
    from: before === undefined ? undefined : before + 1,
    to: after === undefined ? undefined : after - 1,
    limit: wholeNumber(query, 'limit', DEFAULT_CANDLES, CANDLES_LIMIT),
  };
  const list = candlesBetween(services.source, symbol, timeframe, range);
  const running = services.source.candles(symbol, timeframe, 1)[0]?.openTs;
  const rows = list.map(({ openTs, open, high, low, close, volume, quoteVolume }) => {
    return [String(openTs), open, high, low, close, volume, quoteVolume, quoteVolume, openTs === running ? '0' : '1'];
  });
  return ok(rows.toReversed());
}

function typeOf(symbol: string): string {
  if (!symbol.includes(':')) return 'SPOT';
  if (!symbol.includes('-')) return 'SWAP';
  return /-[CP]$/.test(symbol) ? 'OPTION' : 'FUTURES';
}

function instrument(market: TapeMarket): object {
  if (market.raw !== undefined) return JSON.parse(market.raw) as object;
  const { symbol, base, quote, tickSize, lotSize, minSize } = market;
  const spot = typeOf(symbol) === 'SPOT';
  return {
    instType: typeOf(symbol),
    instId: instIdOf(symbol),
    uly: spot ? '' : `${base}-${quote}`,
    baseCcy: spot ? base : '',
    quoteCcy: spot ? quote : '',
    settleCcy: spot ? '' : symbol.split(':')[1]!.split('-')[0],
    ctVal: spot ? '' : '1',
    ctMult: spot ? '' : '1',
    ctType: spot ? '' : quote === 'USD' ? 'inverse' : 'linear',
    tickSz: tickSize,
    lotSz: lotSize,
    minSz: minSize,
    state: 'live',
    lever: '10',
    listTime: '1548133413000',
    expTime: '',
    category: '1',
    alias: '',
  };
}
