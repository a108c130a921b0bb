import { canonicalFromText } from '../../kernel/decimal-text.ts';
import type { Timeframe } from '../../protocol/streams.ts';
import type { TapeEvent, TapeMarket } from '../tape.ts';
import { asLevels, asObject, asObjects, asText, framed } from './decoder.ts';
import type { Decoded, DecodedHttp, Decoder, Json } from './decoder.ts';

export const OKX_TIMEFRAMES: Readonly<Record<Timeframe, string>> = {
  '1m': '1m',
  '5m': '5m',
  '15m': '15m',
  '1h': '1H',
  '4h': '4H',
  '1d': '1D',
};
/** Book channels of full depth. Small ones (`books5`, `bbo-tbt`) are whole books each time and are not a tape's book. */
const BOOK_CHANNELS = ['books', 'books-l2-tbt', 'books50-l2-tbt'];

/** Books have been numbered (`seqId`) since 2023; older ones only carry a checksum. */
export function createOkxDecoder(): Decoder {
  return {
    venue: 'okx',
    learn: () => {},
    frame(raw, receivedMs) {
      const message = asObject(JSON.parse(raw));
      const arg = asObject(message['arg']);
      const channel = asText(arg['channel']);
      const symbol = okxSymbol(asText(arg['instId']));
      // Acknowledgements have an `arg` too, but no data.
      if (!Array.isArray(message['data'])) return [];
      const rows = message['data'] as readonly unknown[];
      if (BOOK_CHANNELS.includes(channel)) {
        const snapshot = message['action'] === 'snapshot';
        const decoded = rows.map((row) => decodeBook(asObject(row), symbol, snapshot, receivedMs));
        const [only] = decoded;
        return decoded.length === 1 && only?.kind === 'book' ? framed([only], raw) : decoded;
      }
      if (channel === 'trades')
        return framed(
          asObjects(rows).map((row) => decodeTrade(row, symbol, receivedMs)),
          raw,
        );
      if (channel === 'tickers')
        return framed(
          asObjects(rows).map((row) => decodeTicker(row, symbol, receivedMs)),
          raw,
        );
      if (channel === 'bbo-tbt')
        return framed(
          asObjects(rows).flatMap((row) => decodeTop(row, symbol, receivedMs)),
          raw,
        );
      if (channel.startsWith('candle')) {
        return framed(
          rows.flatMap((row) => decodeCandle(row, channel, symbol, receivedMs)),
          raw,
        );
      }
      return [];
    },
    http: (_url, raw) => decodeInstruments(raw),
  };
}

/** `BTC-USDT` -> BTC/USDT, `UNI-USD-SWAP` -> UNI/USD:UNI, `BTC-USD-220527[-80000-P]` -> BTC/USD:BTC-220527[-80000-P]. */
export function okxSymbol(instId: string): string {
  const [base = '', quote = '', ...kind] = instId.split('-');
  if (kind.length === 0) return `${base}/${quote}`;
  const settle = quote === 'USD' ? base : quote;
  return kind[0] === 'SWAP' ? `${base}/${quote}:${settle}` : `${base}/${quote}:${settle}-${kind.join('-')}`;
}

function decodeBook(row: Json, symbol: string, snapshot: boolean, receivedMs: number): Decoded {
  const ts = Number(row['ts'] ?? receivedMs);
  const bids = asLevels(row['bids']);
  const asks = asLevels(row['asks']);
  const lastId = Number(row['seqId'] ?? 0);
  if (snapshot) return { kind: 'snapshot', inBand: true, symbol, ts, lastId, bids, asks };
  if (lastId === 0) return { kind: 'book', symbol, ts, firstId: 0, lastId: 0, bids, asks };
  const previousId = Number(row['prevSeqId'] ?? lastId - 1);
  return { kind: 'book', symbol, ts, firstId: previousId + 1, lastId, previousId, bids, asks };
}

function decodeTrade(row: Json, symbol: string, receivedMs: number): TapeEvent {
  return {
    kind: 'trade',
    symbol,
    ts: Number(row['ts'] ?? receivedMs),
    id: asText(row['tradeId']),
    price: asText(row['px']),
    size: asText(row['sz']),
    takerSide: row['side'] === 'sell' ? 'sell' : 'buy',
  };
}

function decodeTicker(row: Json, symbol: string, receivedMs: number): TapeEvent {
  return {
    kind: 'ticker',
    symbol,
    ts: Number(row['ts'] ?? receivedMs),
    last: asText(row['last']),
    open: asText(row['open24h']),
    high: asText(row['high24h']),
    low: asText(row['low24h']),
    baseVolume: asText(row['vol24h']),
    quoteVolume: asText(row['volCcy24h']),
    bid: asText(row['bidPx']),
    bidSize: asText(row['bidSz']),
    ask: asText(row['askPx']),
    askSize: asText(row['askSz']),
  };
}

function decodeTop(row: Json, symbol: string, receivedMs: number): TapeEvent[] {
  const [bid] = asLevels(row['bids']);
  const [ask] = asLevels(row['asks']);
  if (bid === undefined || ask === undefined) return [];
  return [{ kind: 'top', symbol, ts: Number(row['ts'] ?? receivedMs), id: Number(row['seqId'] ?? 0), bid, ask }];
}

function decodeCandle(row: unknown, channel: string, symbol: string, receivedMs: number): TapeEvent[] {
  const name = channel.slice('candle'.length);
  const timeframe = (Object.keys(OKX_TIMEFRAMES) as Timeframe[]).find((each) => OKX_TIMEFRAMES[each] === name);
  if (timeframe === undefined || !Array.isArray(row)) return [];
  const [start = '', open = '', high = '', low = '', close = '', volume = '', , quote = '0', confirm] = row.map(asText);
  const prices = { openTs: Number(start), open, high, low, close, volume, quoteVolume: quote, trades: 0 };
  return [{ kind: 'candle', symbol, ts: receivedMs, timeframe, closed: confirm === '1', ...prices }];
}

function decodeInstruments(raw: string): DecodedHttp | undefined {
  const data = asObject(JSON.parse(raw))['data'];
  if (!Array.isArray(data) || asObject(data[0])['lotSz'] === undefined) return undefined;
  const markets = asObjects(data).map((entry): TapeMarket => {
    const [base = '', quote = ''] = (asText(entry['uly']) || asText(entry['instId'])).split('-');
    return {
      symbol: okxSymbol(asText(entry['instId'])),
      raw: JSON.stringify(entry),
      base,
      quote,
      tickSize: canonicalFromText(asText(entry['tickSz']) || '0', 0),
      lotSize: asText(entry['lotSz']),
      minSize: asText(entry['minSz']),
      minNotional: '0',
    };
  });
  return { kind: 'markets', markets };
}
