import { canonicalFromText } from '../../kernel/decimal-text.ts';
import type { Timeframe } from '../../protocol/streams.ts';
import type { TapeEvent, TapeLevel, TapeMarket } from '../tape.ts';
import { asLevels, asObject, asObjects, asText, framed } from './decoder.ts';
import type { DecodedHttp, Decoder, Json } from './decoder.ts';

export const KUCOIN_TIMEFRAMES: Readonly<Record<Timeframe, string>> = {
  '1m': '1min',
  '5m': '5min',
  '15m': '15min',
  '1h': '1hour',
  '4h': '4hour',
  '1d': '1day',
};
const NANOSECONDS_PER_MS = 1_000_000;

/** Spot, classic WebSocket. */
export function createKucoinDecoder(): Decoder {
  return {
    venue: 'kucoin',
    learn: () => {},
    frame(raw, receivedMs) {
      const message = asObject(JSON.parse(raw));
      const [topic = '', target = ''] = asText(message['topic']).split(':');
      // Under `:all` the subject names the symbol.
      const id = target === 'all' ? asText(message['subject']) : target.split('_')[0]!;
      const event = decode(topic, target, symbolOf(id), asObject(message['data']), receivedMs);
      return event === undefined ? [] : framed([event], raw);
    },
    http: decodeHttp,
  };
}

function decode(topic: string, target: string, symbol: string, data: Json, receivedMs: number): TapeEvent | undefined {
  switch (topic) {
    case '/market/level2': {
      const changes = asObject(data['changes']);
      const ids = { firstId: Number(data['sequenceStart']), lastId: Number(data['sequenceEnd']) };
      const ts = Number(data['time'] ?? receivedMs);
      return { kind: 'book', symbol, ts, ...ids, bids: realLevels(changes['bids']), asks: realLevels(changes['asks']) };
    }
    case '/market/ticker':
      return {
        kind: 'top',
        symbol,
        ts: Number(data['time'] ?? data['Time'] ?? receivedMs),
        id: Number(data['sequence']),
        bid: [asText(data['bestBid']), asText(data['bestBidSize'])],
        ask: [asText(data['bestAsk']), asText(data['bestAskSize'])],
      };
    case '/market/match':
      return {
        kind: 'trade',
        symbol,
        ts: Math.floor(Number(asText(data['time'])) / NANOSECONDS_PER_MS),
        id: asText(data['tradeId']),
        price: asText(data['price']),
        size: asText(data['size']),
        takerSide: data['side'] === 'sell' ? 'sell' : 'buy',
      };
    case '/market/snapshot':
      return decodeSnapshot(asObject(data['data']), symbol, receivedMs);
    case '/market/candles':
      return decodeCandle(data, target, symbol, receivedMs);
    default:
      return undefined;
  }
}

/** Price 0 only moves the sequence on: the change was outside of the book's range. */
function realLevels(value: unknown): TapeLevel[] {
  return asLevels(value).filter(([price]) => Number(price) !== 0);
}

function decodeSnapshot(row: Json, symbol: string, receivedMs: number): TapeEvent {
  const text = (name: string): string => canonicalFromText(asText(row[name]) || '0', 0);
  const last = text('lastTradedPrice');
  return {
    kind: 'ticker',
    symbol,
    ts: Number(row['datetime'] ?? receivedMs),
    last,
    open: canonicalFromText(String(Number(last) - Number(row['changePrice'] ?? 0)), 0),
    high: text('high'),
    low: text('low'),
    baseVolume: text('vol'),
    quoteVolume: text('volValue'),
    bid: text('buy'),
    ask: text('sell'),
  };
}

function decodeCandle(data: Json, target: string, symbol: string, receivedMs: number): TapeEvent | undefined {
  const name = target.split('_')[1];
  const timeframe = (Object.keys(KUCOIN_TIMEFRAMES) as Timeframe[]).find((each) => KUCOIN_TIMEFRAMES[each] === name);
  const row = data['candles'];
  if (timeframe === undefined || !Array.isArray(row)) return undefined;
  const [start, open, close, high, low, volume, turnover] = row.map(asText);
  const candle = { openTs: Number(start) * 1000, open: open!, high: high!, low: low!, close: close!, volume: volume! };
  return {
    kind: 'candle',
    symbol,
    ts: receivedMs,
    timeframe,
    closed: false,
    ...candle,
    quoteVolume: turnover ?? '0',
    trades: 0,
  };
}

function decodeHttp(url: string, raw: string): DecodedHttp | undefined {
  const data = asObject(JSON.parse(raw))['data'];
  if (Array.isArray(data)) {
    if (asObject(data[0])['baseIncrement'] === undefined) return undefined;
    return { kind: 'markets', markets: asObjects(data).map(decodeMarket) };
  }
  const body = asObject(data);
  const id = /[?&]symbol=([^&]+)/.exec(url)?.[1];
  if (id === undefined || asText(body['sequence']) === '' || !Array.isArray(body['bids'])) return undefined;
  return {
    kind: 'snapshot',
    inBand: false,
    symbol: symbolOf(id),
    ts: Number(body['time'] ?? 0),
    lastId: Number(asText(body['sequence'])),
    bids: asLevels(body['bids']),
    asks: asLevels(body['asks']),
  };
}

function decodeMarket(entry: Json): TapeMarket {
  return {
    symbol: symbolOf(asText(entry['symbol'])),
    raw: JSON.stringify(entry),
    base: asText(entry['baseCurrency']),
    quote: asText(entry['quoteCurrency']),
    tickSize: asText(entry['priceIncrement']),
    lotSize: asText(entry['baseIncrement']),
    minSize: asText(entry['baseMinSize']),
    minNotional: asText(entry['minFunds'] ?? entry['quoteMinSize']) || '0',
  };
}

function symbolOf(id: string): string {
  return id.replace('-', '/');
}
