import type { SandboxVenue } from '../tape.ts';
import { type QuantileTable, quantileTable } from './distributions.ts';
import { QUANTILES } from './measurement.ts';
import * as recorded from './recorded-facts.ts';
import type { RecordedFacts } from './recorded-facts.ts';

/** What the agents of one market act on. Notionals are in the quote asset; rates of resting orders are per side. */
export type MarketProfile = Readonly<{
  spreadBps: QuantileTable;
  /** Mean total at the best price, and how many orders share it. */
  bestNotional: number;
  ordersAtBest: number;
  touchChangesPerSecond: number;
  requotesPerSecond: number;
  bands: readonly DepthTarget[];
  takersPerSecond: number;
  fillsPerTaker: number;
  takerNotional: QuantileTable;
  takerGapMs: QuantileTable;
}>;
export type DepthTarget = Readonly<{ untilBps: number; levels: number; notional: number; changesPerSecond: number }>;

/**
 * One market's model: the book and the trades of recorded markets, its events `rate` times as frequent and its orders `size`
 * times as large. Rate and size 1 with the market's own recording is a calibration; everything else is an assumption.
 */
type Model = Readonly<{ book: RecordedFacts; trades: RecordedFacts; rate: number; size: number }>;

/** Where a recording's price stood still, quotes moved less often than a moving price needs. */
const LEAST_REQUOTES_PER_SECOND = 0.7;
const LEAST_TOUCH_CHANGES_PER_SECOND = 0.5;
/** The queue at the best price turns over in about this time: busier prices have more orders. */
const QUEUE_TURNOVER_SECONDS = 1.5;
const ORDERS_AT_BEST_RANGE = { least: 3, most: 60 };
/** Times are whole milliseconds in recordings; nothing is closer than one. */
const LEAST_GAP_MS = 1;

const { BINANCE_BTC, BINANCE_ETH, BINANCE_MANA, BINANCEUSDM_BTC } = recorded;
const { KRAKEN_BTC, KRAKEN_DASH, COINBASE_BTC, COINBASE_ETH, KUCOIN_BCHSV, OKX_BTC } = recorded;

/**
 * Measured on the market itself: binance BTC and ETH, binanceusdm BTC, kraken BTC, coinbase BTC and ETH, okx BTC. Assumed: all
 * others, from the nearest recorded market of the same venue. KuCoin's recording holds small markets only; its large ones are
 * modelled on OKX, whose order traffic is the nearest that was recorded.
 */
const MODELS: Readonly<Record<SandboxVenue, Readonly<Record<string, Model>>>> = {
  binance: {
    BTC: model(BINANCE_BTC),
    ETH: model(BINANCE_ETH),
    SOL: model(BINANCE_ETH, { rate: 0.7, size: 0.4 }),
    XRP: model(BINANCE_ETH, { rate: 0.6, size: 0.4 }),
    DOGE: model(BINANCE_ETH, { rate: 0.5, size: 0.25 }),
    ADA: model(BINANCE_MANA, { size: 3 }),
    LTC: model(BINANCE_MANA, { size: 3 }),
    LINK: model(BINANCE_MANA, { size: 3 }),
  },
  binanceusdm: {
    BTC: model(BINANCEUSDM_BTC),
    ETH: model(BINANCEUSDM_BTC, { rate: 0.8, size: 0.5 }),
    SOL: model(BINANCEUSDM_BTC, { rate: 0.6, size: 0.2 }),
    XRP: model(BINANCEUSDM_BTC, { rate: 0.5, size: 0.2 }),
    DOGE: model(BINANCEUSDM_BTC, { rate: 0.4, size: 0.1 }),
    ADA: model(BINANCEUSDM_BTC, { rate: 0.3, size: 0.1 }),
    LTC: model(BINANCEUSDM_BTC, { rate: 0.3, size: 0.1 }),
    LINK: model(BINANCEUSDM_BTC, { rate: 0.3, size: 0.1 }),
  },
  kraken: {
    BTC: model(KRAKEN_BTC),
    ETH: model(KRAKEN_BTC, { rate: 0.8, size: 0.5 }),
    SOL: model(KRAKEN_BTC, { rate: 0.6, size: 0.25 }),
    XRP: model(KRAKEN_BTC, { rate: 0.6, size: 0.25 }),
    DOGE: model(KRAKEN_DASH, { trades: KRAKEN_BTC, rate: 0.8, size: 2 }),
    ADA: model(KRAKEN_DASH, { trades: KRAKEN_BTC, rate: 0.6 }),
    LTC: model(KRAKEN_DASH, { trades: KRAKEN_BTC, rate: 0.6 }),
    LINK: model(KRAKEN_DASH, { trades: KRAKEN_BTC, rate: 0.6 }),
  },
  coinbase: {
    BTC: model(COINBASE_BTC),
    ETH: model(COINBASE_ETH),
    SOL: model(COINBASE_ETH, { rate: 0.7, size: 0.4 }),
    XRP: model(COINBASE_ETH, { rate: 0.7, size: 0.4 }),
    DOGE: model(COINBASE_ETH, { rate: 0.5, size: 0.2 }),
    ADA: model(COINBASE_ETH, { rate: 0.4, size: 0.15 }),
    LTC: model(COINBASE_ETH, { rate: 0.4, size: 0.15 }),
    LINK: model(COINBASE_ETH, { rate: 0.4, size: 0.15 }),
  },
  kucoin: {
    BTC: model(OKX_BTC, { rate: 0.7, size: 0.5 }),
    ETH: model(OKX_BTC, { rate: 0.6, size: 0.3 }),
    SOL: model(OKX_BTC, { rate: 0.4, size: 0.15 }),
    XRP: model(OKX_BTC, { rate: 0.4, size: 0.15 }),
    DOGE: model(OKX_BTC, { rate: 0.4, size: 0.1 }),
    ADA: model(KUCOIN_BCHSV, { rate: 0.5 }),
    LTC: model(KUCOIN_BCHSV, { rate: 0.5 }),
    LINK: model(KUCOIN_BCHSV, { rate: 0.5 }),
  },
  okx: {
    BTC: model(OKX_BTC),
    ETH: model(OKX_BTC, { rate: 0.8, size: 0.6 }),
    SOL: model(OKX_BTC, { rate: 0.6, size: 0.3 }),
    XRP: model(OKX_BTC, { rate: 0.5, size: 0.3 }),
    DOGE: model(OKX_BTC, { rate: 0.5, size: 0.2 }),
    ADA: model(OKX_BTC, { rate: 0.3, size: 0.1 }),
    LTC: model(OKX_BTC, { rate: 0.3, size: 0.1 }),
    LINK: model(OKX_BTC, { rate: 0.3, size: 0.1 }),
  },
};

function model(
  book: RecordedFacts,
  assumed: Readonly<{ trades?: RecordedFacts; rate?: number; size?: number }> = {},
): Model {
  return { book, trades: assumed.trades ?? book, rate: assumed.rate ?? 1, size: assumed.size ?? 1 };
}

export function profileOf(venue: SandboxVenue, base: string): MarketProfile {
  const { book, trades, rate, size } = MODELS[venue][base]!;
  const [best, ...bands] = book.depth;
  const requotesPerSecond = Math.max(LEAST_REQUOTES_PER_SECOND, book.bestPriceChangesPerSecond);
  // Where a venue tells every change of the best price or its size, both sides together, that counts more than batched books.
  const touchRate = Math.max(book.topEventsPerSecond / 2, best!.changesPerSecond) * rate - requotesPerSecond;
  const touchChangesPerSecond = Math.max(LEAST_TOUCH_CHANGES_PER_SECOND, touchRate);
  const { least, most } = ORDERS_AT_BEST_RANGE;
  return {
    spreadBps: quantileTable(QUANTILES, book.spreadBps),
    bestNotional: best!.notional * size,
    ordersAtBest: Math.min(most, Math.max(least, Math.round(touchChangesPerSecond * QUEUE_TURNOVER_SECONDS))),
    touchChangesPerSecond,
    requotesPerSecond,
    bands: bands.map((band) => ({
      ...band,
      notional: band.notional * size,
      changesPerSecond: band.changesPerSecond * rate,
    })),
    takersPerSecond: trades.takersPerSecond * rate,
    fillsPerTaker: trades.fillsPerTaker,
    takerNotional: quantileTable(QUANTILES, trades.takerNotional).map(({ at, value }) => ({ at, value: value * size })),
    takerGapMs: quantileTable(
      QUANTILES,
      trades.takerGapMs.map((gapMs) => Math.max(LEAST_GAP_MS, gapMs)),
    ),
  };
}
