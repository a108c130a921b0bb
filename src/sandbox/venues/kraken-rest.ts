import { decimalsOfTick } from '../../kernel/decimal-text.ts';
import { TIMEFRAMES_MS } from '../../protocol/streams.ts';
import type { Timeframe } from '../../protocol/streams.ts';
import type { TapeBook, TapeMarket } from '../tape.ts';
import type { RestReply, RestRequest, VenueServices } from '../venue.ts';
import { candlesBetween, numberIn, wholeNumber } from './query.ts';

const BOOK_LIMIT = 500;
const DEFAULT_BOOK = 100;
const ROWS_LIMIT = 1000;
const CANDLES_LIMIT = 720;

type Pair = Readonly<{ id: string; symbol: string; entry: Readonly<Record<string, unknown>> }>;
// Kraken reports failures inside a 200.
const reply = (result: unknown, error: readonly string[] = []): RestReply => ({
  status: 200,
  body: error.length === 0 ? { error, result } : { error },
});

export function createKrakenRest(services: VenueServices) {
  const { source } = services;
  const pairs = source.markets.map(pairOf);
  const names = new Map(pairs.flatMap((pair) => namesOf(pair).map((name) => [name, pair] as const)));
  const ofPair = (query: URLSearchParams, run: (pair: Pair) => unknown): RestReply => {
    const pair = names.get(query.get('pair') ?? '');
    return pair === undefined ? reply(undefined, ['EQuery:Unknown asset pair']) : reply(run(pair));
  };
  const handlers: Record<string, (query: URLSearchParams, request: RestRequest) => RestReply> = {
    '/0/public/Time': () => reply({ unixtime: Math.floor(services.now() / 1000), rfc1123: '' }),
    '/0/public/SystemStatus': () => reply({ status: 'online', timestamp: new Date(services.now()).toISOString() }),
    '/0/public/Assets': () => reply(assetsOf(pairs)),
    '/0/public/AssetPairs': () => reply(Object.fromEntries(pairs.map(({ id, entry }) => [id, entry]))),
    '/0/public/Depth': (query, { book }) =>
      ofPair(query, ({ id, symbol }) => ({ [id]: depth(book ?? source.book(symbol), query) })),
    '/0/public/Trades': (query) =>
      ofPair(query, ({ id, symbol }) => {
        const trades = source.trades(symbol, wholeNumber(query, 'count', ROWS_LIMIT, ROWS_LIMIT));
        const rows = trades.map(({ price, size, ts, takerSide, id: tradeId }) => [
          price,
          size,
          ts / 1000,
          takerSide === 'buy' ? 'b' : 's',
          'm',
          '',
          Number(tradeId),
        ]);
        return { [id]: rows, last: String((trades.at(-1)?.ts ?? 0) * 1_000_000) };
      }),
    '/0/public/OHLC': (query) =>
      ofPair(query, ({ id, symbol }) => ({ [id]: candles(services, symbol, query), last: 0 })),
    '/0/public/Ticker': (query) => tickers(services, pairs, names, query),
  };
  return {
    rest: (request: RestRequest): RestReply =>
      handlers[request.path]?.(request.query, request) ?? reply(undefined, ['EGeneral:Unknown method']),
    snapshotSymbol: ({ path, query }: RestRequest): string | undefined =>
      path === '/0/public/Depth' ? names.get(query.get('pair') ?? '')?.symbol : undefined,
  };
}

function depth(book: TapeBook | undefined, query: URLSearchParams): object {
  const count = wholeNumber(query, 'count', DEFAULT_BOOK, BOOK_LIMIT);
  const row = ([price, size]: readonly [string, string]): unknown[] => [
    price,
    size,
    Math.floor((book?.ts ?? 0) / 1000),
  ];
  return { asks: (book?.asks ?? []).slice(0, count).map(row), bids: (book?.bids ?? []).slice(0, count).map(row) };
}

function candles(services: VenueServices, symbol: string, query: URLSearchParams): unknown[] {
  const minutes = wholeNumber(query, 'interval', 1, Number.MAX_SAFE_INTEGER);
  const timeframe = (Object.keys(TIMEFRAMES_MS) as Timeframe[]).find(
    (each) => TIMEFRAMES_MS[each] === minutes * 60_000,
  );
  if (timeframe === undefined) return [];
  const since = numberIn(query, 'since');
  const range = { from: since === undefined ? undefined : since * 1000, limit: CANDLES_LIMIT };
  return candlesBetween(services.source, symbol, timeframe, range).map((candle) => {
    const { open, high, low, close, volume, quoteVolume, trades } = candle;
    const vwap = Number(volume) === 0 ? close : (Number(quoteVolume) / Number(volume)).toFixed(8);
    return [candle.openTs / 1000, open, high, low, close, vwap, volume, trades];
  });
}

function tickers(
  services: VenueServices,
  pairs: readonly Pair[],
  names: ReadonlyMap<string, Pair>,
  query: URLSearchParams,
): RestReply {
  const asked = query
    .get('pair')
    ?.split(',')
    .map((name) => names.get(name));
  if (asked?.includes(undefined) === true) return reply(undefined, ['EQuery:Unknown asset pair']);
  const rows = (asked ?? pairs).flatMap((pair) => {
    const ticker = pair === undefined ? undefined : services.source.ticker(pair.symbol);
    if (pair === undefined || ticker === undefined) return [];
    const book = services.source.book(pair.symbol);
    const vwap = Number(ticker.baseVolume) === 0 ? ticker.last : Number(ticker.quoteVolume) / Number(ticker.baseVolume);
    const pairOfSame = (value: unknown): string[] => [String(value), String(value)];
    const row = {
      a: [book?.asks[0]?.[0] ?? ticker.ask, '1', book?.asks[0]?.[1] ?? ticker.askSize],
      b: [book?.bids[0]?.[0] ?? ticker.bid, '1', book?.bids[0]?.[1] ?? ticker.bidSize],
      c: [ticker.last, '0'],
      v: pairOfSame(ticker.baseVolume),
      p: pairOfSame(vwap),
      l: pairOfSame(ticker.low),
      h: pairOfSame(ticker.high),
      o: ticker.open,
    };
    return [[pair.id, row] as const];
  });
  return reply(Object.fromEntries(rows));
}

function pairOf(market: TapeMarket): Pair {
  const { symbol, base, quote } = market;
  if (market.raw !== undefined) {
    const [id, entry] = JSON.parse(market.raw) as [string, Record<string, unknown>];
    // Lists recorded before 2022 do not say whether a pair trades; those on a tape did.
    return { id, symbol, entry: { status: 'online', ...entry } };
  }
  const entry = {
    altname: `${base}${quote}`,
    wsname: symbol,
    aclass_base: 'currency',
    base,
    aclass_quote: 'currency',
    quote,
    lot: 'unit',
    pair_decimals: decimalsOfTick(Number(market.tickSize)),
    lot_decimals: decimalsOfTick(Number(market.lotSize)),
    lot_multiplier: 1,
    ordermin: market.minSize,
    costmin: market.minNotional,
    tick_size: market.tickSize,
    status: 'online',
  };
  return { id: `${base}${quote}`, symbol, entry };
}

function namesOf({ id, symbol, entry }: Pair): string[] {
  return [id, symbol, String(entry['altname']), String(entry['wsname'])];
}

function assetsOf(pairs: readonly Pair[]): object {
  const ids = new Map<string, string>();
  for (const { symbol, entry } of pairs) {
    const [base = '', quote = ''] = symbol.split('/');
    ids.set(String(entry['base']), base);
    ids.set(String(entry['quote']), quote);
  }
  const asset = (altname: string): object => ({
    aclass: 'currency',
    altname,
    decimals: 10,
    display_decimals: 5,
    status: 'enabled',
  });
  return Object.fromEntries([...ids].map(([id, name]) => [id, asset(name)]));
}
