import { canonicalFromText, decimalsOfTick } from '../../kernel/decimal-text.ts';
import { crc32 } from '../../kernel/crc32.ts';
import { TIMEFRAMES_MS } from '../../protocol/streams.ts';
import type { Timeframe } from '../../protocol/streams.ts';
import type { TapeBook, TapeCandle, TapeEvent, TapeLevel, TapeSource } from '../tape.ts';

type Of<K extends TapeEvent['kind']> = Extract<TapeEvent, { kind: K }>;
type Sides = Readonly<{ bids: readonly TapeLevel[]; asks: readonly TapeLevel[] }>;
const CHECKSUM_LEVELS = 10;
const DEFAULT_DECIMALS = { price: 8, size: 8 };

/** RFC 3339 with microseconds, as Kraken writes times. */
export function krakenTime(ts: number): string {
  return new Date(ts).toISOString().replace('Z', '000Z');
}

/** Kraken's frames. Numbers are written by hand: JSON.stringify would drop the trailing zeros that its checksum counts. */
export function createKrakenWire(source: TapeSource) {
  const decimals = new Map(
    source.markets.map(({ symbol, tickSize, lotSize }) => [
      symbol,
      { price: decimalsOfTick(Number(tickSize)), size: decimalsOfTick(Number(lotSize)) },
    ]),
  );
  /** With every digit that the pair has. Recorded texts are the exchange's own, which knows its digits better than any list. */
  const texts = (symbol: string, level: TapeLevel): TapeLevel => {
    if (source.origin === 'recording') return level;
    const [price, size] = level;
    const { price: priceDecimals, size: sizeDecimals } = decimals.get(symbol) ?? DEFAULT_DECIMALS;
    return [canonicalFromText(price, priceDecimals), canonicalFromText(size, sizeDecimals)];
  };
  const side = (symbol: string, levels: readonly TapeLevel[]): string =>
    levels
      .map((level) => texts(symbol, level))
      .map(([price, size]) => `{"price":${price},"qty":${size}}`)
      .join(',');

  return {
    /** Over the digits of the best ten asks, then the best ten bids: points and leading zeros dropped. */
    checksum(symbol: string, book: Sides): number {
      const digits = (level: TapeLevel): string =>
        texts(symbol, level)
          .map((text) => text.replace('.', '').replace(/^0+/, ''))
          .join('');
      const top = [...book.asks.slice(0, CHECKSUM_LEVELS), ...book.bids.slice(0, CHECKSUM_LEVELS)];
      return crc32(top.map(digits).join(''));
    },
    book(symbol: string, type: 'snapshot' | 'update', sides: Sides, checksum: number, ts: number): string {
      const bids = side(symbol, sides.bids);
      const asks = side(symbol, sides.asks);
      const tail = `"checksum":${checksum},"timestamp":"${krakenTime(ts)}"`;
      return `{"channel":"book","type":"${type}","data":[{"symbol":${JSON.stringify(symbol)},"bids":[${bids}],"asks":[${asks}],${tail}}]}`;
    },
    trades(trades: readonly Of<'trade'>[], type: 'snapshot' | 'update'): string {
      const rows = trades.map((trade) => {
        const { symbol, takerSide, price, size, id, ts } = trade;
        const numbers = `"price":${price},"qty":${size},"ord_type":"market","trade_id":${id}`;
        return `{"symbol":${JSON.stringify(symbol)},"side":"${takerSide}",${numbers},"timestamp":"${krakenTime(ts)}"}`;
      });
      return `{"channel":"trade","type":"${type}","data":[${rows.join(',')}]}`;
    },
    /** Undefined while no 24 h figures are known: none are made up. */
    ticker(symbol: string, type: 'snapshot' | 'update', ts: number, top?: Of<'top'>): string | undefined {
      const ticker = source.ticker(symbol);
      if (ticker === undefined) return undefined;
      return JSON.stringify({
        channel: 'ticker',
        type,
        data: [tickerRow(symbol, ts, ticker, source.book(symbol), top)],
      });
    },
    candles(
      symbol: string,
      timeframe: Timeframe,
      candles: readonly TapeCandle[],
      type: 'snapshot' | 'update',
      ts: number,
    ): string {
      const data = candles.map((candle) => candleRow(symbol, timeframe, candle));
      return JSON.stringify({ channel: 'ohlc', type, timestamp: krakenTime(ts), data });
    },
  };
}
export type KrakenWire = ReturnType<typeof createKrakenWire>;

function candleRow(symbol: string, timeframe: Timeframe, candle: TapeCandle): object {
  const { open, high, low, close, trades, volume, quoteVolume, openTs } = candle;
  return {
    symbol,
    open: Number(open),
    high: Number(high),
    low: Number(low),
    close: Number(close),
    trades,
    volume: Number(volume),
    vwap: Number(volume) === 0 ? Number(close) : Number(quoteVolume) / Number(volume),
    interval_begin: krakenTime(openTs),
    interval: TIMEFRAMES_MS[timeframe] / 60_000,
    timestamp: krakenTime(openTs + TIMEFRAMES_MS[timeframe]),
  };
}

function tickerRow(
  symbol: string,
  ts: number,
  ticker: NonNullable<ReturnType<TapeSource['ticker']>>,
  book: TapeBook | undefined,
  top: Of<'top'> | undefined,
): object {
  const last = Number(ticker.last);
  const change = last - Number(ticker.open);
  const volume = Number(ticker.baseVolume);
  const bid = top?.bid ?? book?.bids[0] ?? [ticker.bid ?? '0', ticker.bidSize ?? '0'];
  const ask = top?.ask ?? book?.asks[0] ?? [ticker.ask ?? '0', ticker.askSize ?? '0'];
  return {
    symbol,
    bid: Number(bid[0]),
    bid_qty: Number(bid[1]),
    ask: Number(ask[0]),
    ask_qty: Number(ask[1]),
    last,
    volume,
    vwap: volume === 0 ? last : Number(ticker.quoteVolume) / volume,
    low: Number(ticker.low),
    high: Number(ticker.high),
    change,
    change_pct: Number(ticker.open) === 0 ? 0 : (change / Number(ticker.open)) * 100,
    timestamp: krakenTime(ts),
  };
}
