import { seededRandom, seedFrom, type Random } from '../../kernel/random.ts';
import { TIMEFRAMES_MS, type Timeframe } from '../../protocol/streams.ts';
import { BASE_ASSETS } from './assets.ts';
import { type Candle, CandleSeries } from './candle-series.ts';
import type { MarketProfile } from './calibration.ts';
import { gaussian, logNormal, meanOfQuantiles } from './distributions.ts';
import type { MarketScale } from './market-scale.ts';

/** Candles of every timeframe that exist when the simulation starts, and that are kept from then on. */
export const HISTORY_CANDLES = 500;
/** 24 hour statistics are sums over this many minutes. */
export const DAY_MINUTES = 1440;
/** Room for what alignment to the next coarser timeframe adds at the old end. */
const CAPACITY_MARGIN_CANDLES = 20;

/** How far one venue's past prices were off the common ones. */
const BASIS_SPREAD_BPS = 1.5;
const VOLUME_SCATTER = 0.5;

export const TIMEFRAMES = Object.keys(TIMEFRAMES_MS) as Timeframe[];

/** A span of the past without trades of any one venue: logarithms of prices relative to the price at its end. */
type Span = Readonly<{
  openTs: number;
  ms: number;
  open: number;
  high: number;
  low: number;
  close: number;
  noise: number;
}>;
/** One asset's past as all venues share it, oldest first. Old parts are told in days, the last day in minutes. */
export type CommonHistory = readonly Span[];

/** The series of one market, from the finest to the coarsest timeframe. */
export type CandleHistory = ReadonlyMap<Timeframe, CandleSeries>;

export function floorTo(ts: number, ms: number): number {
  return ts - (ts % ms);
}

function candlesOf(timeframe: Timeframe): number {
  return timeframe === '1m' ? DAY_MINUTES : HISTORY_CANDLES;
}

/** Where a timeframe's own candles begin; a multiple of the next coarser one, so that no candle is half of one and half of another. */
function historyStartTs(timeframe: Timeframe, endTs: number): number {
  const spanMs = TIMEFRAMES_MS[timeframe];
  const coarser = TIMEFRAMES[TIMEFRAMES.indexOf(timeframe) + 1] ?? timeframe;
  return floorTo(endTs - candlesOf(timeframe) * spanMs, TIMEFRAMES_MS[coarser]);
}

/** A random walk backwards from `endTs` with the same volatility as the live one. */
export function commonHistory(seed: number, base: string, endTs: number): CommonHistory {
  const random = seededRandom(seedFrom(`${seed}:history:${base}`));
  const sigmaPerRootMs = BASE_ASSETS[base]!.returnBpsPerSecond / 1e4 / Math.sqrt(1000);
  const spans: Span[] = [];
  let untilTs = endTs;
  let close = 0;
  for (const timeframe of TIMEFRAMES) {
    const startTs = historyStartTs(timeframe, endTs);
    while (untilTs > startTs) {
      // The newest span is the part of the current minute that is over; all others are whole.
      const openTs = floorTo(untilTs - 1, TIMEFRAMES_MS[timeframe]);
      const span = spanBefore(random, { openTs, ms: untilTs - openTs, close, sigmaPerRootMs });
      spans.push(span);
      untilTs = openTs;
      close = span.open;
    }
  }
  return spans.toReversed();
}

function spanBefore(
  random: Random,
  options: Readonly<{ openTs: number; ms: number; close: number; sigmaPerRootMs: number }>,
): Span {
  const { openTs, ms, close } = options;
  const variance = options.sigmaPerRootMs ** 2 * ms;
  const move = Math.sqrt(variance) * gaussian(random);
  const open = close - move;
  // The highest point of a Brownian path between two fixed ends has this exact distribution; the lowest is its mirror image.
  const reach = (end: number) => (end + Math.sqrt(end ** 2 - 2 * variance * Math.log(1 - random()))) / 2;
  const high = open + reach(move);
  const low = open - reach(-move);
  return {
    openTs,
    ms,
    open,
    high,
    low,
    close,
    noise: logNormal(random, VOLUME_SCATTER) * (0.5 + Math.abs(move) / Math.sqrt(variance)),
  };
}

/** One venue's candles of all timeframes, made from the common past: the same moves, the venue's own basis, ticks and volumes. */
export function marketHistory(
  common: CommonHistory,
  endTs: number,
  market: Readonly<{ endPrice: number; scale: MarketScale; profile: MarketProfile; random: Random }>,
): CandleHistory {
  const { scale, random } = market;
  const tickOf = (log: number) => Math.max(1, Math.round((market.endPrice * Math.exp(log)) / scale.tickSize));
  const firstTick = tickOf(common[0]!.open);
  const series = new Map<Timeframe, CandleSeries>();
  for (const timeframe of TIMEFRAMES) {
    const options = {
      spanMs: TIMEFRAMES_MS[timeframe],
      capacityCandles: candlesOf(timeframe) + CAPACITY_MARGIN_CANDLES,
    };
    series.set(timeframe, new CandleSeries({ ...options, openTs: historyStartTs(timeframe, endTs), price: firstTick }));
  }
  let basis = 0;
  for (const [index, span] of common.entries()) {
    const before = basis;
    // The live prices go on from here without a basis.
    basis = index === common.length - 1 ? 0 : (gaussian(random) * BASIS_SPREAD_BPS) / 1e4;
    const candle = candleOf(span, { before, after: basis }, tickOf, market);
    for (const each of series.values()) if (candle.openTs >= each.open.openTs) each.absorb(candle);
  }
  return series;
}

function candleOf(
  span: Span,
  basis: Readonly<{ before: number; after: number }>,
  tickOf: (log: number) => number,
  market: Readonly<{ scale: MarketScale; profile: MarketProfile }>,
): Candle {
  const { takersPerSecond, fillsPerTaker, takerNotional } = market.profile;
  const open = tickOf(span.open + basis.before);
  const close = tickOf(span.close + basis.after);
  const high = Math.max(open, close, tickOf(span.high));
  const low = Math.min(open, close, tickOf(span.low));
  const takers = (takersPerSecond * span.ms * span.noise) / 1000;
  const meanTick = (open + high + low + close) / 4;
  const notional = takers * meanOfQuantiles(takerNotional);
  const lots = Math.max(1, Math.round(notional / (meanTick * market.scale.tickSize) / market.scale.lotSize));
  const trades = Math.max(1, Math.round(takers * fillsPerTaker));
  return { openTs: span.openTs, open, high, low, close, lots, tickLots: Math.round(lots * meanTick), trades };
}
