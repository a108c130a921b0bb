import { TIMEFRAMES_MS } from '../../protocol/streams.ts';
import type { TapeEvent, TapeSource } from '../tape.ts';

export type BinanceVenue = 'binance' | 'binanceusdm';
type Of<K extends TapeEvent['kind']> = Extract<TapeEvent, { kind: K }>;

/** Binance's payloads: the recorded one where there is one of the asked kind, else made from the event. */
export function createBinanceWire(venue: BinanceVenue, source: TapeSource) {
  const futures = venue === 'binanceusdm';
  const ids = new Map(source.markets.map((market) => [market.symbol, `${market.base}${market.quote}`]));
  const symbols = new Map([...ids].map(([symbol, id]) => [id, symbol]));
  const previousIds = new Map<string, number>();
  const idOf = (symbol: string): string => ids.get(symbol) ?? symbol.split(':')[0]!.replace('/', '');
  const head = (event: TapeEvent, name: string): object => ({
    e: name,
    E: event.ts,
    ...(futures ? { T: event.ts } : {}),
    s: idOf(event.symbol),
  });

  return {
    idOf,
    /** Undefined: no such market here. */
    symbolOf: (id: string): string | undefined => symbols.get(id.toUpperCase()),
    /** To be called for every change, heard or not: answers how to encode it. */
    book(event: Of<'book'>): () => string {
      const previousId = event.previousId ?? previousIds.get(event.symbol) ?? event.firstId - 1;
      previousIds.set(event.symbol, event.lastId);
      const chain = futures ? { pu: previousId } : {};
      const { firstId: U, lastId: u, bids: b, asks: a } = event;
      return () =>
        recorded(event, ['depthUpdate']) ?? JSON.stringify({ ...head(event, 'depthUpdate'), U, u, ...chain, b, a });
    },
    trade(event: Of<'trade'>, name: 'trade' | 'aggTrade'): string {
      const id = numeric(event.id);
      const ids = name === 'trade' ? { t: id } : { a: id, f: id, l: id };
      const { price: p, size: q, ts: T } = event;
      const flags = { m: event.takerSide === 'sell', ...(futures ? { X: 'MARKET' } : { M: true }) };
      return recorded(event, [name]) ?? JSON.stringify({ ...head(event, name), ...ids, p, q, T, ...flags });
    },
    top(event: Of<'top'>): string {
      const [b, B] = event.bid;
      const [a, A] = event.ask;
      const body = { u: event.id, s: idOf(event.symbol), b, B, a, A };
      const text = futures ? { e: 'bookTicker', ...body, T: event.ts, E: event.ts } : body;
      return recorded(event, ['bookTicker', undefined]) ?? JSON.stringify(text);
    },
    ticker: (event: Of<'ticker'>, name: '24hrTicker' | '24hrMiniTicker'): string =>
      recorded(event, [name]) ?? JSON.stringify(tickerPayload(event, name, idOf(event.symbol), futures)),
    candle: (event: Of<'candle'>): string =>
      recorded(event, ['kline']) ?? JSON.stringify(candlePayload(event, idOf(event.symbol))),
  };
}
export type BinanceWire = ReturnType<typeof createBinanceWire>;

/** The recorded payload without the combined stream's wrapper, if it is one of these kinds of event. */
function recorded(event: TapeEvent, names: readonly (string | undefined)[]): string | undefined {
  const { raw } = event;
  if (raw === undefined) return undefined;
  const payload = /^\{"stream":"[^"]*","data":(.*)\}$/s.exec(raw)?.[1] ?? raw;
  const name = /^\{\s*"e"\s*:\s*"(\w+)"/.exec(payload)?.[1];
  return names.includes(name) ? payload : undefined;
}

function tickerPayload(event: Of<'ticker'>, name: string, id: string, futures: boolean): object {
  const { open: o, high: h, low: l, last: c, baseVolume: v, quoteVolume: q } = event;
  if (name === '24hrMiniTicker') return { e: name, E: event.ts, s: id, c, o, h, l, v, q };
  const change = Number(c) - Number(o);
  return {
    e: name,
    E: event.ts,
    s: id,
    p: change.toFixed(8),
    P: Number(o) === 0 ? '0.000' : ((change / Number(o)) * 100).toFixed(3),
    w: Number(v) === 0 ? c : (Number(q) / Number(v)).toFixed(8),
    c,
    ...(futures ? {} : { b: event.bid, B: event.bidSize, a: event.ask, A: event.askSize }),
    o,
    h,
    l,
    v,
    q,
    O: event.ts - TIMEFRAMES_MS['1d'],
    C: event.ts,
  };
}

function candlePayload(event: Of<'candle'>, id: string): object {
  const { openTs: t, open: o, close: c, high: h, low: l, volume: v, quoteVolume: q, trades: n, timeframe: i } = event;
  // Taker volumes and first and last trade ids are not on a tape; ccxt reads none of them.
  const k = { t, T: t + TIMEFRAMES_MS[i] - 1, s: id, i, o, c, h, l, v, n, x: event.closed, q };
  return { e: 'kline', E: event.ts, s: id, k };
}

/** Ids that are numbers on the wire; a tape holds them as text. */
export function numeric(id: string): number | string {
  const value = Number(id);
  return Number.isSafeInteger(value) ? value : id;
}
