import { canonicalFromText } from '../../kernel/decimal-text.ts';
import type { TapeEvent, TapeLevel, TapeMarket } from '../tape.ts';
import { asObject, asObjects, asText, asTime, framed } from './decoder.ts';
import type { Decoded, DecodedHttp, Decoder, Json } from './decoder.ts';

const VOLUME_DECIMALS = 8;

/** Advanced Trade. Its `sequence_num` counts the frames of a connection, not the changes of a book: books have no ids. */
export function createCoinbaseDecoder(): Decoder {
  return {
    venue: 'coinbase',
    learn: () => {},
    frame(raw, receivedMs) {
      const message = asObject(JSON.parse(raw));
      const ts = asTime(message['timestamp'], receivedMs);
      const parts = asObjects(message['events']);
      switch (message['channel']) {
        case 'l2_data':
          return decodeBooks(parts, ts, raw);
        case 'market_trades':
          return framed(
            parts.flatMap((part) => decodeTrades(part, ts)),
            raw,
          );
        case 'ticker':
        case 'ticker_batch':
          return framed(
            parts.flatMap((part) => asObjects(part['tickers']).flatMap((row) => decodeTicker(row, ts))),
            raw,
          );
        case 'candles':
          return framed(
            parts.flatMap((part) => asObjects(part['candles']).map((row) => decodeCandle(row, ts))),
            raw,
          );
        default:
          return [];
      }
    },
    http: (_url, raw) => decodeProducts(raw),
  };
}

function decodeBooks(parts: readonly Json[], ts: number, raw: string): Decoded[] {
  const decoded = parts.map((part): Decoded => {
    const symbol = symbolOf(asText(part['product_id']));
    const bids: TapeLevel[] = [];
    const asks: TapeLevel[] = [];
    for (const update of asObjects(part['updates'])) {
      const level: TapeLevel = [asText(update['price_level']), asText(update['new_quantity'])];
      (update['side'] === 'bid' ? bids : asks).push(level);
    }
    if (part['type'] === 'snapshot') return { kind: 'snapshot', inBand: true, symbol, ts, lastId: 0, bids, asks };
    return { kind: 'book', symbol, ts, firstId: 0, lastId: 0, bids, asks };
  });
  // A frame with anything beside one change is sent as changes made from its parts.
  const [only] = decoded;
  return decoded.length === 1 && only?.kind === 'book' ? framed([only], raw) : decoded;
}

function decodeTrades(part: Json, ts: number): TapeEvent[] {
  // What a subscription is greeted with happened before the tape.
  if (part['type'] === 'snapshot') return [];
  return asObjects(part['trades'])
    .map((trade): TapeEvent => {
      return {
        kind: 'trade',
        symbol: symbolOf(asText(trade['product_id'])),
        ts: asTime(trade['time'], ts),
        id: asText(trade['trade_id']),
        price: asText(trade['price']),
        size: asText(trade['size']),
        takerSide: trade['side'] === 'SELL' ? 'sell' : 'buy',
      };
    })
    .toReversed();
}

function decodeTicker(row: Json, ts: number): TapeEvent[] {
  const last = asText(row['price']);
  // The exchange is known to send rows of empty texts.
  if (last === '') return [];
  const change = Number(asText(row['price_percent_chg_24_h'])) / 100;
  const baseVolume = asText(row['volume_24_h']);
  return [
    {
      kind: 'ticker',
      symbol: symbolOf(asText(row['product_id'])),
      ts,
      last,
      open: rounded(Number(last) / (1 + change)),
      high: asText(row['high_24_h']),
      low: asText(row['low_24_h']),
      baseVolume,
      quoteVolume: rounded(Number(baseVolume) * Number(last)),
      bid: asText(row['best_bid']),
      bidSize: asText(row['best_bid_quantity']),
      ask: asText(row['best_ask']),
      askSize: asText(row['best_ask_quantity']),
    },
  ];
}

function decodeCandle(row: Json, ts: number): TapeEvent {
  const volume = asText(row['volume']);
  return {
    kind: 'candle',
    symbol: symbolOf(asText(row['product_id'])),
    ts,
    // The channel knows no other.
    timeframe: '5m',
    closed: false,
    openTs: Number(asText(row['start'])) * 1000,
    open: asText(row['open']),
    high: asText(row['high']),
    low: asText(row['low']),
    close: asText(row['close']),
    volume,
    quoteVolume: rounded(Number(volume) * Number(asText(row['close']))),
    trades: 0,
  };
}

function decodeProducts(raw: string): DecodedHttp | undefined {
  const products = asObject(JSON.parse(raw))['products'];
  if (!Array.isArray(products)) return undefined;
  const markets = asObjects(products).flatMap((entry): TapeMarket[] => {
    if (entry['product_type'] !== 'SPOT') return [];
    const lotSize = asText(entry['base_increment']);
    return [
      {
        symbol: symbolOf(asText(entry['product_id'])),
        raw: JSON.stringify(entry),
        base: asText(entry['base_currency_id']),
        quote: asText(entry['quote_currency_id']),
        tickSize: asText(entry['price_increment'] ?? entry['quote_increment']),
        lotSize,
        minSize: asText(entry['base_min_size']) || lotSize,
        minNotional: asText(entry['quote_min_size']) || '0',
      },
    ];
  });
  return { kind: 'markets', markets };
}

function symbolOf(productId: string): string {
  return productId.replace('-', '/');
}

function rounded(value: number): string {
  return Number.isFinite(value) ? canonicalFromText(value.toFixed(VOLUME_DECIMALS), 0) : '0';
}
