import { binance, binanceusdm } from './binance.ts';
import { coinbase } from './coinbase.ts';
import { kraken } from './kraken.ts';
import { kucoin } from './kucoin.ts';
import { okx } from './okx.ts';
import type { VenueQuirks } from './quirks.ts';

/** For every exchange that ccxt speaks and nobody has looked at closely: slow, and nothing assumed. */
const UNKNOWN_VENUE: VenueQuirks = {
  bookIds: false,
  continuity: { book: false, trades: false },
  plainFrames: 'any',
  resolvesOnlyAwaited: true,
  rates: {
    rest: { capacity: 2, refillPerSecond: 1 },
    subscribe: { capacity: 2, refillPerSecond: 1 },
    dial: { capacity: 2, refillPerSecond: 0.2 },
  },
};

const VENUES: Readonly<Record<string, VenueQuirks>> = {
  binance,
  binanceus: binance,
  binanceusdm,
  coinbase,
  kraken,
  kucoin,
  okx,
};

/** Keyed by ccxt's id of the exchange. */
export function quirksOf(ccxtId: string): VenueQuirks {
  return Object.hasOwn(VENUES, ccxtId) ? VENUES[ccxtId]! : UNKNOWN_VENUE;
}

/** Where a venue's candles come from, known without loading ccxt. */
export function candlesOrigin(ccxtId: string): 'exchange' | 'trades' {
  return quirksOf(ccxtId).candles ?? 'exchange';
}
