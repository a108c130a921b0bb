import { TIMEFRAMES_MS } from '../../protocol/streams.ts';
import type { Timeframe } from '../../protocol/streams.ts';
import type { TapeCandle, TapeSource } from '../tape.ts';

/** A positive whole number from a query, at most `most`; anything else is as if it had not been sent. */
export function wholeNumber(query: URLSearchParams, name: string, otherwise: number, most: number): number {
  const value = Number(query.get(name) ?? otherwise);
  return Number.isInteger(value) && value > 0 ? Math.min(value, most) : otherwise;
}

/** Candles whose open time is in [from, to], oldest first: the first `limit` when `from` is given, else the last ones. */
export function candlesBetween(
  source: TapeSource,
  symbol: string,
  timeframe: Timeframe,
  range: { from?: number | undefined; to?: number | undefined; limit: number },
): readonly TapeCandle[] {
  const { from, to, limit } = range;
  const inside = source
    .candles(symbol, timeframe, CANDLES_LIMIT)
    .filter(({ openTs }) => openTs >= (from ?? 0) && openTs <= (to ?? Number.POSITIVE_INFINITY));
  return from === undefined ? inside.slice(-limit) : inside.slice(0, limit);
}
const CANDLES_LIMIT = 1500;

/** The timeframe that an exchange calls `name`. */
export function timeframeNamed(names: Readonly<Record<Timeframe, string>>, name: string): Timeframe | undefined {
  return (Object.keys(TIMEFRAMES_MS) as Timeframe[]).find((timeframe) => names[timeframe] === name);
}

/** A number from a query, undefined when absent or not a number. */
export function numberIn(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  const value = Number(text);
  return text === null || text === '' || Number.isNaN(value) ? undefined : value;
}
