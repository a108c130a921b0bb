import { canonicalFromText, DECIMAL_PATTERN } from '../../kernel/decimal-text.ts';
import { TIMEFRAMES_MS } from '../../protocol/streams.ts';
import type { Timeframe } from '../../protocol/streams.ts';
import type { TapeEvent, TapeLevel, TapeMarket } from '../tape.ts';
import { asObject, asObjects, asText, asTime, framed } from './decoder.ts';
import type { Decoded, DecodedHttp, DecodedSnapshot, Decoder, Json } from './decoder.ts';

/** Depths that a subscriber can ask for. */
const BOOK_DEPTHS = [10, 25, 100, 500, 1000];
/** Kraken's sizes have eight decimals; a recorder may have written small ones with an exponent. */
const SIZE_DECIMALS = 8;
/** A bare number in JSON, with its colon. Times within strings do not match: their digits are followed by `:` or `Z`. */
const BARE_NUMBER = /:\s*(-?\d[\d.eE+-]*)(?=\s*[,}\]])/g;
/** Kraken's own names of three assets; everything on the version 2 stream uses the common ones. */
const COMMON_NAMES: Readonly<Record<string, string>> = { XBT: 'BTC', XDG: 'DOGE' };

/** WebSocket version 2. */
export function createKrakenDecoder(): Decoder {
  let acknowledgedDepth: number | undefined;
  return {
    venue: 'kraken',
    learn: () => {},
    frame(raw, receivedMs) {
      // The checksum is over the digits as they were sent, so numbers must stay text.
      const message = asObject(JSON.parse(raw.replace(BARE_NUMBER, ':"$1"')));
      const depth = Number(asObject(message['result'])['depth']);
      if (message['method'] === 'subscribe' && depth > 0) acknowledgedDepth = depth;
      const items = asObjects(message['data']);
      switch (message['channel']) {
        case 'book':
          return items.map((item) => decodeBook(item, message['type'] === 'snapshot', receivedMs, raw));
        case 'trade':
          // A subscription's history is not part of the tape.
          return message['type'] === 'snapshot'
            ? []
            : framed(
                items.map((item) => decodeTrade(item, receivedMs)),
                raw,
              );
        case 'ticker':
          return framed(
            items.map((item) => decodeTicker(item, receivedMs)),
            raw,
          );
        case 'ohlc':
          return framed(
            items.flatMap((item) => decodeCandle(item, receivedMs)),
            raw,
          );
        default:
          return [];
      }
    },
    http: (url, raw) => (url.includes('AssetPairs') ? decodePairs(raw) : undefined),
    bookDepth: (snapshots) => acknowledgedDepth ?? deepest(snapshots),
  };
}

/** Without a recorded acknowledgement: the smallest depth that fits the largest snapshot. */
function deepest(snapshots: Iterable<DecodedSnapshot>): number {
  let levels = 0;
  for (const { bids, asks } of snapshots) levels = Math.max(levels, bids.length, asks.length);
  return BOOK_DEPTHS.find((depth) => depth >= levels) ?? levels;
}

function decodeBook(item: Json, snapshot: boolean, receivedMs: number, raw: string): Decoded {
  const symbol = asText(item['symbol']);
  const ts = asTime(item['timestamp'], receivedMs);
  const bids = asObjects(item['bids']).map(decodeLevel);
  const asks = asObjects(item['asks']).map(decodeLevel);
  if (snapshot) return { kind: 'snapshot', inBand: true, symbol, ts, lastId: 0, bids, asks };
  return { kind: 'book', symbol, ts, firstId: 0, lastId: 0, bids, asks, raw };
}

function decodeLevel(level: Json): TapeLevel {
  return [plain(asText(level['price'])), plain(asText(level['qty']))];
}

/** Without an exponent; trailing zeros stay, the checksum counts them. */
function plain(text: string): string {
  return DECIMAL_PATTERN.test(text) ? text : canonicalFromText(text, SIZE_DECIMALS);
}

function decodeTrade(item: Json, receivedMs: number): TapeEvent {
  return {
    kind: 'trade',
    symbol: asText(item['symbol']),
    ts: asTime(item['timestamp'], receivedMs),
    id: asText(item['trade_id']),
    price: plain(asText(item['price'])),
    size: plain(asText(item['qty'])),
    takerSide: item['side'] === 'sell' ? 'sell' : 'buy',
  };
}

function decodeTicker(item: Json, receivedMs: number): TapeEvent {
  const last = asText(item['last']);
  const baseVolume = asText(item['volume']);
  return {
    kind: 'ticker',
    symbol: asText(item['symbol']),
    ts: asTime(item['timestamp'], receivedMs),
    last,
    open: rounded(Number(last) - Number(asText(item['change']))),
    high: asText(item['high']),
    low: asText(item['low']),
    baseVolume,
    quoteVolume: rounded(Number(baseVolume) * Number(asText(item['vwap']))),
    bid: asText(item['bid']),
    bidSize: asText(item['bid_qty']),
    ask: asText(item['ask']),
    askSize: asText(item['ask_qty']),
  };
}

function decodeCandle(item: Json, receivedMs: number): TapeEvent[] {
  const minutes = Number(asText(item['interval']));
  const timeframe = (Object.keys(TIMEFRAMES_MS) as Timeframe[]).find(
    (each) => TIMEFRAMES_MS[each] === minutes * 60_000,
  );
  if (timeframe === undefined) return [];
  const volume = asText(item['volume']);
  return [
    {
      kind: 'candle',
      symbol: asText(item['symbol']),
      ts: receivedMs,
      timeframe,
      closed: false,
      openTs: asTime(item['interval_begin'], receivedMs),
      open: asText(item['open']),
      high: asText(item['high']),
      low: asText(item['low']),
      close: asText(item['close']),
      volume,
      quoteVolume: rounded(Number(volume) * Number(asText(item['vwap']))),
      trades: Number(asText(item['trades'])),
    },
  ];
}

function rounded(value: number): string {
  return canonicalFromText(value.toFixed(SIZE_DECIMALS), 0);
}

function decodePairs(raw: string): DecodedHttp | undefined {
  const pairs = asObject(asObject(JSON.parse(raw))['result']);
  const markets = Object.entries(pairs).flatMap(([id, value]): TapeMarket[] => {
    const entry = asObject(value);
    const [base, quote] = asText(entry['wsname'])
      .split('/')
      .map((name) => COMMON_NAMES[name] ?? name);
    if (base === undefined || quote === undefined) return [];
    const tickSize = `1e-${asText(entry['pair_decimals'])}`;
    return [
      {
        symbol: `${base}/${quote}`,
        raw: JSON.stringify([id, entry]),
        base,
        quote,
        tickSize: canonicalFromText(tickSize, 0),
        lotSize: canonicalFromText(`1e-${asText(entry['lot_decimals'])}`, 0),
        minSize: asText(entry['ordermin']) || '0',
        minNotional: asText(entry['costmin']) || '0',
      },
    ];
  });
  return { kind: 'markets', markets };
}
