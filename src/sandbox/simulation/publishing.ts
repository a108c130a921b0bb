import type { SandboxVenue } from '../tape.ts';

/**
 * How often a venue tells what. Changes within one interval arrive together, as at the real venues. The order-by-order venues
 * push without batching; here they collect for some milliseconds, which bounds the rate of a wild market.
 */
export type Publishing = Readonly<{ bookIntervalMs: number; topIntervalMs: number; tickerIntervalMs: number }>;

/** Running candles are pushed about this often, when they changed. */
export const OPEN_CANDLES_INTERVAL_MS = 1000;

export const PUBLISHING: Readonly<Record<SandboxVenue, Publishing>> = {
  binance: { bookIntervalMs: 100, topIntervalMs: 1, tickerIntervalMs: 1000 },
  binanceusdm: { bookIntervalMs: 100, topIntervalMs: 1, tickerIntervalMs: 1000 },
  kraken: { bookIntervalMs: 10, topIntervalMs: 10, tickerIntervalMs: 500 },
  coinbase: { bookIntervalMs: 50, topIntervalMs: 50, tickerIntervalMs: 250 },
  kucoin: { bookIntervalMs: 20, topIntervalMs: 10, tickerIntervalMs: 500 },
  okx: { bookIntervalMs: 100, topIntervalMs: 10, tickerIntervalMs: 100 },
};
