import { TIMEFRAMES_MS } from '../../protocol/streams.ts';
import type { Timeframe } from '../../protocol/streams.ts';
import type { TapeEvent, TapeMarket } from '../tape.ts';
import { asLevels, asObject, asObjects, asText } from './decoder.ts';
import type { Decoded, DecodedHttp, Decoder, Json } from './decoder.ts';

/** Tried in this order when no exchangeInfo says how an id splits. */
const QUOTE_ASSETS =
  'FDUSD USDT USDC BUSD TUSD USDP DAI BTC ETH BNB EUR GBP AUD BRL TRY RUB UAH NGN ZAR BIDR IDRT VAI PAX XRP TRX USD'.split(
    ' ',
  );

export function createBinanceDecoder(venue: 'binance' | 'binanceusdm'): Decoder {
  const symbols = new Map<string, string>();

  const symbolOf = (id: string): string => {
    const known = symbols.get(id);
    if (known !== undefined) return known;
    const symbol = splitId(id, venue);
    symbols.set(id, symbol);
    return symbol;
  };
  // Spot's bookTicker carries no time: the recorder's is the nearest there is.
  const timeOf = (data: Json, receivedMs: number): number => {
    const ts = data['E'] ?? data['T'];
    return typeof ts === 'number' ? ts : receivedMs;
  };
  return {
    venue,
    learn(markets) {
      for (const market of markets) symbols.set(`${market.base}${market.quote}`, market.symbol);
    },
    frame(raw, receivedMs) {
      const message = asObject(JSON.parse(raw));
      const data = asObject(message['data'] ?? message);
      const id = asText(data['s']);
      if (id === '') return [];
      const event = decodeEvent(data, symbolOf(id), timeOf(data, receivedMs));
      return event === undefined ? [] : [{ ...event, raw } as Decoded];
    },
    http: (url, raw) => decodeHttp(url, raw, venue, symbolOf),
  };
}

function decodeEvent(data: Json, symbol: string, ts: number): TapeEvent | undefined {
  const bookTop = (): TapeEvent => ({
    kind: 'top',
    symbol,
    ts,
    id: Number(data['u']),
    bid: [asText(data['b']), asText(data['B'])],
    ask: [asText(data['a']), asText(data['A'])],
  });
  switch (data['e']) {
    case 'depthUpdate':
      return {
        kind: 'book',
        symbol,
        ts,
        firstId: Number(data['U']),
        lastId: Number(data['u']),
        ...(typeof data['pu'] === 'number' ? { previousId: data['pu'] } : {}),
        bids: asLevels(data['b']),
        asks: asLevels(data['a']),
      };
    case 'trade':
    case 'aggTrade':
      return {
        kind: 'trade',
        symbol,
        ts: Number(data['T'] ?? ts),
        id: asText(data['e'] === 'trade' ? data['t'] : data['a']),
        price: asText(data['p']),
        size: asText(data['q']),
        takerSide: data['m'] === true ? 'sell' : 'buy',
      };
    case 'kline':
      return decodeKline(asObject(data['k']), symbol, ts);
    case '24hrTicker':
    case '24hrMiniTicker':
      return decodeTicker(data, symbol, ts);
    case 'bookTicker':
    case undefined:
      return typeof data['b'] === 'string' && typeof data['a'] === 'string' ? bookTop() : undefined;
    default:
      return undefined;
  }
}

function decodeTicker(data: Json, symbol: string, ts: number): TapeEvent {
  return {
    kind: 'ticker',
    symbol,
    ts,
    last: asText(data['c']),
    open: asText(data['o']),
    high: asText(data['h']),
    low: asText(data['l']),
    baseVolume: asText(data['v']),
    quoteVolume: asText(data['q']),
    ...(typeof data['b'] === 'string' ? { bid: data['b'], bidSize: asText(data['B']) } : {}),
    ...(typeof data['a'] === 'string' ? { ask: data['a'], askSize: asText(data['A']) } : {}),
  };
}

function decodeKline(kline: Json, symbol: string, ts: number): TapeEvent | undefined {
  const timeframe = asText(kline['i']);
  if (!Object.hasOwn(TIMEFRAMES_MS, timeframe)) return undefined;
  return {
    kind: 'candle',
    symbol,
    ts,
    timeframe: timeframe as Timeframe,
    closed: kline['x'] === true,
    openTs: Number(kline['t']),
    open: asText(kline['o']),
    high: asText(kline['h']),
    low: asText(kline['l']),
    close: asText(kline['c']),
    volume: asText(kline['v']),
    quoteVolume: asText(kline['q']),
    trades: Number(kline['n']),
  };
}

function decodeHttp(
  url: string,
  raw: string,
  venue: 'binance' | 'binanceusdm',
  symbolOf: (id: string) => string,
): DecodedHttp | undefined {
  const body = asObject(JSON.parse(raw));
  if (Array.isArray(body['symbols'])) {
    // Both venues answer exchangeInfo in the same shape; a spot recording must not take the futures' list for its own.
    const futures = 'futuresType' in body;
    if (futures !== (venue === 'binanceusdm')) return undefined;
    return { kind: 'markets', markets: asObjects(body['symbols']).flatMap((entry) => decodeMarket(entry, venue)) };
  }
  const id = /[?&]symbol=([^&]+)/.exec(url)?.[1];
  if (id === undefined || typeof body['lastUpdateId'] !== 'number') return undefined;
  return {
    kind: 'snapshot',
    inBand: false,
    symbol: symbolOf(id),
    ts: Number(body['T'] ?? 0),
    lastId: body['lastUpdateId'],
    bids: asLevels(body['bids']),
    asks: asLevels(body['asks']),
  };
}

function decodeMarket(entry: Json, venue: 'binance' | 'binanceusdm'): TapeMarket[] {
  const base = asText(entry['baseAsset']);
  const quote = asText(entry['quoteAsset']);
  if (base === '' || quote === '') return [];
  // Dated futures have ids that are not base + quote; the venue here is spot and perpetuals.
  if (venue === 'binanceusdm' && entry['contractType'] !== 'PERPETUAL' && entry['contractType'] !== '') return [];
  const filters = new Map(asObjects(entry['filters']).map((filter) => [asText(filter['filterType']), filter]));
  const filter = (type: string): Json => filters.get(type) ?? {};
  return [
    {
      symbol: venue === 'binanceusdm' ? `${base}/${quote}:${quote}` : `${base}/${quote}`,
      raw: JSON.stringify(entry),
      base,
      quote,
      tickSize: asText(filter('PRICE_FILTER')['tickSize']),
      lotSize: asText(filter('LOT_SIZE')['stepSize']),
      minSize: asText(filter('LOT_SIZE')['minQty']),
      minNotional: asText(
        filter('NOTIONAL')['minNotional'] ??
          filter('MIN_NOTIONAL')['minNotional'] ??
          filter('MIN_NOTIONAL')['notional'],
      ),
    },
  ];
}

function splitId(id: string, venue: 'binance' | 'binanceusdm'): string {
  const quote = QUOTE_ASSETS.find((each) => id.endsWith(each) && id.length > each.length);
  // An id that nothing splits still has to be one market: its own text on both sides keeps it unique and visible in the log.
  const base = quote === undefined ? id : id.slice(0, -quote.length);
  const spot = `${base}/${quote ?? 'UNKNOWN'}`;
  return venue === 'binanceusdm' ? `${spot}:${quote ?? 'UNKNOWN'}` : spot;
}
