import { describe, expect, it } from 'vitest';
import { TIMEFRAMES_MS, type Timeframe } from '../../protocol/streams.ts';
import type { TapeCandle, TapeTrade } from '../tape.ts';
import { SimulatedWorld } from './simulated-world.ts';

const TIMEFRAMES = Object.keys(TIMEFRAMES_MS) as Timeframe[];
const START_TS = Date.UTC(2026, 7, 14, 23, 58, 41);

function openWorld(symbol: string, venue: 'binance' | 'kraken' | 'coinbase') {
  const world = new SimulatedWorld({ venues: [venue], seed: 11, startTs: START_TS, symbols: [symbol] });
  return { world, market: world.market(venue, symbol)! };
}

describe('simulated candles', () => {
  it.each(TIMEFRAMES)(
    'gives 500 candles of %s at the start: aligned, without holes, each a possible candle',
    (timeframe) => {
      const { market } = openWorld('BTC/USDT', 'binance');
      const candles = market.candles(timeframe, 500);
      expect(candles).toHaveLength(500);
      const spanMs = TIMEFRAMES_MS[timeframe];
      for (const [index, candle] of candles.entries()) {
        expect(candle.openTs).toBe(START_TS - (START_TS % spanMs) - (499 - index) * spanMs);
        const [open, high, low, close] = [candle.open, candle.high, candle.low, candle.close].map(Number);
        expect(low!).toBeLessThanOrEqual(Math.min(open!, close!));
        expect(high!).toBeGreaterThanOrEqual(Math.max(open!, close!));
        if (index > 0 && index < 499) expect(candle.open).toBe(candles[index - 1]!.close);
        if (index < 499) expect(candle.trades).toBeGreaterThan(0);
      }
    },
  );

  it('never lets two timeframes tell different stories, neither in the past nor live', () => {
    const { world, market } = openWorld('BTC/USD', 'coinbase');
    for (const advanceMs of [0, 150_000]) {
      world.advance(advanceMs);
      for (const [finer, coarser] of [
        ['1m', '5m'],
        ['5m', '15m'],
        ['15m', '1h'],
        ['1h', '4h'],
        ['4h', '1d'],
      ] as const) {
        const parts = market.candles(finer, 500);
        const wholes = market.candles(coarser, 500).filter((candle) => candle.openTs >= parts[0]!.openTs);
        expect(wholes.length).toBeGreaterThan(80);
        for (const whole of wholes) {
          const inside = parts.filter(
            ({ openTs }) => openTs >= whole.openTs && openTs < whole.openTs + TIMEFRAMES_MS[coarser],
          );
          expectMerged(whole, inside);
        }
      }
    }
  });

  it('counts every live trade into the candle of its time and no other', () => {
    const { world, market } = openWorld('BTC/USDT', 'binance');
    const trades: TapeTrade[] = [];
    world.setSink('binance', (event) => event.kind === 'trade' && trades.push(event));
    world.advance(200_000);
    const minuteTs = START_TS - (START_TS % 60_000) + 60_000;
    const candle = market.candles('1m', 10).find((each) => each.openTs === minuteTs)!;
    const inside = trades.filter(({ ts }) => ts >= minuteTs && ts < minuteTs + 60_000);
    const prices = inside.map(({ price }) => Number(price));
    expect(candle).toMatchObject({ open: inside[0]!.price, close: inside.at(-1)!.price, trades: inside.length });
    expect(Number(candle.high)).toBe(Math.max(...prices));
    expect(Number(candle.low)).toBe(Math.min(...prices));
    expect(Number(candle.volume)).toBeCloseTo(
      inside.reduce((sum, { size }) => sum + Number(size), 0),
      5,
    );
  });

  it('closes every candle at its end, pushes the open ones about once a second, and never reopens one', () => {
    const { world } = openWorld('BTC/USDT', 'binance');
    const pushes: { timeframe: Timeframe; openTs: number; closed: boolean; ts: number }[] = [];
    world.setSink('binance', (event) => event.kind === 'candle' && pushes.push(event));
    world.advance(100_000);
    const closed = pushes.filter((push) => push.closed);
    // 23:58:41 + 100 s passes 23:59 and midnight, where every timeframe ends.
    expect(closed.map(({ timeframe }) => timeframe)).toEqual(['1m', ...TIMEFRAMES]);
    for (const { ts, openTs, timeframe } of closed) expect(ts).toBe(openTs + TIMEFRAMES_MS[timeframe]);
    const open = pushes.filter((push) => !push.closed && push.timeframe === '1m');
    expect(open.length).toBeGreaterThan(70);
    expect(open.length).toBeLessThanOrEqual(101);
    for (const push of open) {
      const end = closed.find(({ timeframe, openTs }) => timeframe === push.timeframe && openTs === push.openTs);
      if (end) expect(push.ts).toBeLessThan(end.ts);
    }
  });

  it('never lets the 24 hour ticker disagree with the candles', () => {
    const { world, market } = openWorld('BTC/USDT', 'binance');
    world.advance(45_000);
    const ticker = market.ticker();
    const day = market.candles('1m', 1441);
    expect(day).toHaveLength(1441);
    expect(ticker.open).toBe(day[0]!.open);
    expect(ticker.last).toBe(market.trades(1)[0]!.price);
    expect(Number(ticker.high)).toBe(Math.max(...day.map((candle) => Number(candle.high))));
    expect(Number(ticker.low)).toBe(Math.min(...day.map((candle) => Number(candle.low))));
    expect(Number(ticker.baseVolume)).toBeCloseTo(sum(day, 'volume'), 4);
    expect(Number(ticker.quoteVolume) / sum(day, 'quoteVolume')).toBeCloseTo(1, 9);
    const { bids, asks } = market.book();
    expect(Number(ticker.bid)).toBeCloseTo(Number(bids[0]![0]), -2);
    expect(Number(ticker.ask)).toBeGreaterThan(Number(ticker.bid));
    expect(Number(asks[0]![0])).toBeGreaterThan(Number(bids[0]![0]));
  });
});

function sum(candles: readonly TapeCandle[], field: 'volume' | 'quoteVolume'): number {
  return candles.reduce((total, candle) => total + Number(candle[field]), 0);
}

function expectMerged(whole: TapeCandle, parts: readonly TapeCandle[]): void {
  const traded = parts.filter((part) => part.trades > 0);
  expect(whole.close).toBe(parts.at(-1)!.close);
  expect(Number(whole.volume)).toBeCloseTo(sum(parts, 'volume'), 6);
  expect(whole.trades).toBe(parts.reduce((total, part) => total + part.trades, 0));
  if (traded.length === 0) return;
  expect(whole.open).toBe(traded[0]!.open);
  expect(Number(whole.high)).toBe(Math.max(...traded.map((part) => Number(part.high))));
  expect(Number(whole.low)).toBe(Math.min(...traded.map((part) => Number(part.low))));
}
