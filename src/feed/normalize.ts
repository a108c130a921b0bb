import type { FeedCandle, FeedTicker, FeedTrade } from '../modules/market/upstream.ts';
import { isRecord, textOf } from './venues/quirks.ts';

/** From ccxt's parsed objects to ours. Pure; what is not sound is answered as null and counted by the caller. */

const DECIMAL = /^\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?$/;
const DECIMAL_LIMIT_CHARS = 64;
const ID_LIMIT_CHARS = 128;
/** 2009, when the first exchange of this kind began: smaller numbers are seconds. */
const EARLIEST_MS = 1_230_768_000_000;
/** An exchange's clock may be wrong by an hour or be told the wrong time zone, but microseconds are not milliseconds. */
const FUTURE_LIMIT_MS = 86_400_000;

/** A finite decimal as text, zero or more; undefined for everything else. */
export function decimalText(value: unknown): string | undefined {
  const text = typeof value === 'number' ? String(value) : textOf(value);
  if (text === undefined || text.length > DECIMAL_LIMIT_CHARS || !DECIMAL.test(text)) return undefined;
  return Number.isFinite(Number(text)) ? text : undefined;
}

function positiveText(value: unknown): string | undefined {
  const text = decimalText(value);
  return text !== undefined && Number(text) > 0 ? text : undefined;
}

/** An exchange's time stamp in Unix milliseconds; undefined when it is none that could be true at `nowMs`. */
export function exchangeTime(value: unknown, nowMs: number): number | undefined {
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined;
  const ts = Math.trunc(value);
  return ts >= EARLIEST_MS && ts <= nowMs + FUTURE_LIMIT_MS ? ts : undefined;
}

/** Null when the trade is not one: no positive price and size, or no time. */
export function tradeFrom(value: unknown, nowMs: number): FeedTrade | null {
  if (!isRecord(value)) return null;
  const price = positiveText(value['price']);
  const size = positiveText(value['amount']);
  const ts = exchangeTime(value['timestamp'], nowMs);
  if (price === undefined || size === undefined || ts === undefined) return null;
  const id = value['id'];
  const side = value['side'];
  return {
    // Some exchanges do not number their trades; these cannot be told from a repetition then.
    id: typeof id === 'string' || typeof id === 'number' ? String(id).slice(0, ID_LIMIT_CHARS) : '',
    price,
    size,
    side: side === 'buy' || side === 'sell' ? side : null,
    ts,
  };
}

const TICKER_FIELDS = [
  ['last', 'last'],
  ['bid', 'bid'],
  ['bidSize', 'bidVolume'],
  ['ask', 'ask'],
  ['askSize', 'askVolume'],
  ['open', 'open'],
  ['high', 'high'],
  ['low', 'low'],
  ['baseVolume', 'baseVolume'],
  ['quoteVolume', 'quoteVolume'],
] as const;

/**
 * The fields that the message itself says. ccxt works out some that it lacks (open from the change in percent, quote volume
 * from the average price); such a value is nowhere in the message and is left out. Null: nothing usable.
 */
export function tickerFrom(value: unknown): FeedTicker['fields'] | null {
  if (!isRecord(value)) return null;
  const said = new Set<number>();
  collectNumbers(value['info'], said, 0);
  const fields: Partial<Record<(typeof TICKER_FIELDS)[number][0], string>> = {};
  let count = 0;
  for (const [ours, theirs] of TICKER_FIELDS) {
    const text = decimalText(value[theirs]);
    if (text === undefined || !said.has(Number(text))) continue;
    fields[ours] = text;
    count += 1;
  }
  return count === 0 ? null : fields;
}

/** Messages are two levels deep at most (`{data: {asks: [price, size]}}`); deeper is no ticker. */
const INFO_DEPTH = 4;
const INFO_LIMIT = 200;

function collectNumbers(value: unknown, into: Set<number>, depth: number): void {
  if (into.size >= INFO_LIMIT) return;
  if (typeof value === 'number') into.add(value);
  else if (typeof value === 'string' && DECIMAL.test(value)) into.add(Number(value));
  else if (typeof value === 'object' && value !== null && depth < INFO_DEPTH) {
    for (const each of Object.values(value)) collectNumbers(each, into, depth + 1);
  }
}

/** From ccxt's `[ts, open, high, low, close, volume]`; null when it is not a candle. */
export function candleFrom(value: unknown, nowMs: number): FeedCandle | null {
  if (!Array.isArray(value)) return null;
  const row: readonly unknown[] = value;
  const ts = exchangeTime(row[0], nowMs);
  const [open, high, low, close] = [1, 2, 3, 4].map((column) => positiveText(row[column]));
  const volume = decimalText(row[5]);
  if (ts === undefined || open === undefined || high === undefined || low === undefined) return null;
  if (close === undefined || volume === undefined) return null;
  const [top, bottom] = [Number(high), Number(low)];
  const inside = [open, close].every((price) => Number(price) <= top && Number(price) >= bottom);
  return inside ? { ts, open, high, low, close, volume } : null;
}

/** The sound ones among ccxt's rows, oldest first. */
export function candlesFrom(rows: unknown, nowMs: number): FeedCandle[] {
  if (!Array.isArray(rows)) return [];
  return rows.flatMap((row) => candleFrom(row, nowMs) ?? []).toSorted((a, b) => a.ts - b.ts);
}
