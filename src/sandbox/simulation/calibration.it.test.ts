import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { DepthBook } from '../depth-book.ts';
import type { SandboxVenue } from '../tape.ts';
import { measureRecordings } from './calibrate.ts';
import { DEPTH_BANDS_BPS, type Distribution, type MarketFacts, MarketMeasurement, QUANTILES } from './measurement.ts';
import { SimulatedWorld } from './simulated-world.ts';

const CAPTURES_DIR = process.env['CAPTURES_DIR'] ?? resolve(import.meta.dirname, '../../../../shared/captures');
const SIMULATED_MS = 300_000;
const MEDIAN = QUANTILES.indexOf(0.5);
const UPPER = QUANTILES.indexOf(0.9);

/** Markets that are modelled on a recording of themselves. */
const CALIBRATED = [
  { venue: 'binance', symbol: 'BTC/USDT', recording: 'binance/spot-2024-08-08' },
  { venue: 'binance', symbol: 'ETH/USDT', recording: 'binance/spot-2024-08-08' },
  { venue: 'kraken', symbol: 'BTC/USD', recording: 'kraken/v2-transcoded-2021-04-05' },
  { venue: 'coinbase', symbol: 'BTC/USD', recording: 'coinbase/advanced-2026-08-09' },
  { venue: 'coinbase', symbol: 'ETH/USD', recording: 'coinbase/advanced-2026-08-09' },
] as const;

describe.skipIf(!existsSync(CAPTURES_DIR))(
  `simulated markets against their recordings (skipped without ${CAPTURES_DIR})`,
  () => {
    it.each(CALIBRATED)('$venue $symbol behaves like its recording', async ({ venue, symbol, recording }) => {
      const log = createLog({ level: 'silent' });
      const [recorded] = (await measureRecordings(join(CAPTURES_DIR, recording), log, [symbol])).get(venue)!;
      const simulated = measureSimulation(venue, symbol);
      // Spread in ticks: the price, and with it the spread in basis points, is another one than when it was recorded.
      expect(ticks(simulated, MEDIAN)).toBe(ticks(recorded!, MEDIAN));
      expectWithin(2, ticks(simulated, UPPER), ticks(recorded!, UPPER));
      // Depth: what rests within 10, 25 and 50 basis points of the best price, that price included.
      for (const untilBps of [10, 25, 50])
        expectWithin(1.8, depthUntil(simulated, untilBps), depthUntil(recorded!, untilBps));
      expectWithin(1.5, changesPerSecond(simulated), changesPerSecond(recorded!));
      expectWithin(1.5, simulated.takersPerSecond, recorded!.takersPerSecond);
      expectWithin(2.5, simulated.fillsPerTaker, recorded!.fillsPerTaker);
      expectWithin(2, median(simulated.takerNotional), median(recorded!.takerNotional));
      expectWithin(2.5, simulated.takerNotional[UPPER]!, recorded!.takerNotional[UPPER]!);
    });
  },
);

function measureSimulation(venue: SandboxVenue, symbol: string): MarketFacts {
  const world = new SimulatedWorld({ venues: [venue], seed: 1, startTs: Date.UTC(2026, 7, 14), symbols: [symbol] });
  const measurement = new MarketMeasurement(world.marketsOf(venue)[0]!);
  const book = new DepthBook();
  book.replace(world.market(venue, symbol)!.book());
  world.setSink(venue, (event) => {
    if (event.kind === 'book') book.apply(event);
    measurement.take(event, book);
  });
  world.advance(SIMULATED_MS);
  return measurement.facts();
}

function expectWithin(factor: number, actual: number, expected: number): void {
  expect(actual).toBeGreaterThan(expected / factor);
  expect(actual).toBeLessThan(expected * factor);
}

function median(distribution: Distribution): number {
  return distribution[MEDIAN]!;
}

function ticks(facts: MarketFacts, quantile: number): number {
  return Math.round(((facts.spreadBps[quantile]! / 1e4) * facts.price) / facts.tickSize);
}

function depthUntil(facts: MarketFacts, untilBps: number): number {
  const bands = facts.depth.slice(0, DEPTH_BANDS_BPS.findIndex((band) => band === untilBps) + 1);
  return bands.reduce((sum, band) => sum + band.notional, 0);
}

function changesPerSecond(facts: MarketFacts): number {
  return facts.depth.reduce((sum, band) => sum + band.changesPerSecond, 0);
}
