import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { DepthBook } from '../depth-book.ts';
import type { SandboxVenue, TapeEvent } from '../tape.ts';
import { SimulatedWorld } from './simulated-world.ts';

const DAY_MS = 86_400_000;
const START_TS = Date.UTC(2026, 7, 14, 12, 0, 30);
const VENUES = ['binance', 'kraken', 'coinbase', 'kucoin'] as const;

function record(options: {
  venues?: readonly SandboxVenue[];
  seed?: number;
  startTs?: number;
  symbols?: string[];
  ms: number;
  stepMs?: number;
}) {
  const { venues = VENUES, seed = 7, startTs = START_TS, ms, stepMs = ms, symbols } = options;
  const world = new SimulatedWorld({ venues, seed, startTs, ...(symbols ? { symbols } : {}) });
  const events: { venue: SandboxVenue; event: TapeEvent }[] = [];
  for (const venue of venues) world.setSink(venue, (event) => events.push({ venue, event }));
  for (let done = 0; done < ms; done += stepMs) world.advance(Math.min(stepMs, ms - done));
  return { world, events };
}

function hashOf(events: readonly { venue: SandboxVenue; event: TapeEvent }[], startTs: number): string {
  const hash = createHash('sha256');
  for (const { venue, event } of events) {
    const relative = event.kind === 'candle' ? { openTs: event.openTs - startTs } : {};
    hash.update(JSON.stringify([venue, { ...event, ts: event.ts - startTs, ...relative }]));
  }
  return hash.digest('hex');
}

describe('seeded simulation', () => {
  it('gives the same tape for the same seed, byte for byte, however its time is sliced', () => {
    const whole = record({ ms: 8000 });
    const sliced = record({ ms: 8000, stepMs: 7 });
    expect(whole.events.length).toBeGreaterThan(5000);
    expect(hashOf(sliced.events, START_TS)).toBe(hashOf(whole.events, START_TS));
    expect(hashOf(record({ ms: 8000, seed: 8 }).events, START_TS)).not.toBe(hashOf(whole.events, START_TS));
  });

  it('gives the same tape on another day, relative to its start', () => {
    const today = record({ ms: 40_000, venues: ['binance'] });
    const later = record({ ms: 40_000, venues: ['binance'], startTs: START_TS + 3 * DAY_MS });
    expect(today.events.some(({ event }) => event.kind === 'candle' && event.closed)).toBe(true);
    expect(hashOf(later.events, START_TS + 3 * DAY_MS)).toBe(hashOf(today.events, START_TS));
  });

  it('does not change one market because others are listed', () => {
    const all = record({ ms: 10_000 });
    const one = record({ ms: 10_000, venues: ['kraken'], symbols: ['ETH/USD'] });
    const same = all.events.filter(({ venue, event }) => venue === 'kraken' && event.symbol === 'ETH/USD');
    expect(one.events.length).toBeGreaterThan(100);
    expect(one.events).toEqual(same);
  });

  it('never lets a snapshot and the changes after it disagree, and never crosses a book', () => {
    const venues = ['binance', 'binanceusdm', 'kraken', 'coinbase', 'kucoin', 'okx'] as const;
    const world = new SimulatedWorld({ venues, seed: 3, startTs: START_TS });
    const markets = venues.flatMap((venue) =>
      world.marketsOf(venue).map(({ symbol }) => ({ venue, symbol, copy: new DepthBook() })),
    );
    for (const { venue, symbol, copy } of markets) copy.replace(world.market(venue, symbol)!.book());
    let changes = 0;
    const broken: TapeEvent[] = [];
    for (const venue of venues) {
      world.setSink(venue, (event) => {
        if (event.kind !== 'book') return;
        const { copy } = markets.find((each) => each.venue === venue && each.symbol === event.symbol)!;
        changes += 1;
        const previousId = venue === 'binanceusdm' ? copy.lastId : undefined;
        if (event.firstId !== copy.lastId + 1 || event.lastId < event.firstId || event.previousId !== previousId)
          broken.push(event);
        copy.apply(event);
      });
    }
    for (let step = 0; step < 12; step++) {
      world.advance(333);
      for (const { venue, symbol, copy } of markets) {
        const book = world.market(venue, symbol)!.book();
        expect(book.lastId).toBe(copy.lastId);
        // Compared as text: a deep comparison of so many levels takes seconds.
        expect(JSON.stringify(book.bids) === JSON.stringify(copy.bids), `${venue} ${symbol} bids`).toBe(true);
        expect(JSON.stringify(book.asks) === JSON.stringify(copy.asks), `${venue} ${symbol} asks`).toBe(true);
        expect(Number(book.bids[0]![0])).toBeLessThan(Number(book.asks[0]![0]));
      }
    }
    expect(broken).toEqual([]);
    expect(changes).toBeGreaterThan(2000);
  });

  it('never tells of one venue out of time order', () => {
    const { events } = record({ ms: 10_000 });
    for (const venue of VENUES) {
      const times = events.filter((each) => each.venue === venue).map(({ event }) => event.ts);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
    }
  });

  it('keeps the prices of one asset within a fraction of a percent of each other on all venues', () => {
    const { world } = record({ ms: 60_000, symbols: ['BTC/USDT', 'BTC/USD'] });
    const middles = VENUES.map((venue) => {
      const symbol = world.marketsOf(venue)[0]!.symbol;
      const book = world.market(venue, symbol)!.book();
      return (Number(book.bids[0]![0]) + Number(book.asks[0]![0])) / 2;
    });
    const spreadBps = (1e4 * (Math.max(...middles) - Math.min(...middles))) / middles[0]!;
    expect(spreadBps).toBeGreaterThan(0);
    expect(spreadBps).toBeLessThan(30);
  });

  it('moves prices of different venues together', () => {
    // The asset that shares least with the market as a whole: its own moves must be the same everywhere, not just the common ones.
    const symbols = ['DOGE/USDT', 'DOGE/USD'];
    const world = new SimulatedWorld({ venues: ['binance', 'coinbase'], seed: 5, startTs: START_TS, symbols });
    const last = { binance: 0, coinbase: 0 };
    for (const venue of ['binance', 'coinbase'] as const) {
      world.setSink(venue, (event) => {
        if (event.kind === 'top') last[venue] = (Number(event.bid[0]) + Number(event.ask[0])) / 2;
      });
    }
    const returns: [number, number][] = [];
    let before = { ...last };
    for (let step = 0; step < 60; step++) {
      world.advance(20_000);
      if (before.binance > 0 && before.coinbase > 0) {
        returns.push([Math.log(last.binance / before.binance), Math.log(last.coinbase / before.coinbase)]);
      }
      before = { ...last };
    }
    expect(correlation(returns)).toBeGreaterThan(0.7);
  });

  it('closes candles on time without trades, and jumps over a pause without inventing trades', () => {
    const { world, events } = record({ ms: 1000, venues: ['kucoin'], symbols: ['LINK/USDT'] });
    events.length = 0;
    world.skip(10 * 60_000);
    const minutes = events.filter(({ event }) => event.kind === 'candle' && event.timeframe === '1m' && event.closed);
    expect(minutes).toHaveLength(10);
    for (const { event } of minutes.slice(1)) expect(event).toMatchObject({ trades: 0, volume: '0.0000' });
    expect(events.every(({ event }) => event.kind === 'candle')).toBe(true);
    expect(world.nowTs).toBe(START_TS + 1000 + 10 * 60_000);
    world.advance(5000);
    expect(events.some(({ event }) => event.kind === 'book')).toBe(true);
  });
});

function correlation(pairs: readonly (readonly [number, number])[]): number {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [left, right] = [mean(pairs.map(([a]) => a)), mean(pairs.map(([, b]) => b))];
  const covariance = mean(pairs.map(([a, b]) => (a - left) * (b - right)));
  const variances = mean(pairs.map(([a]) => (a - left) ** 2)) * mean(pairs.map(([, b]) => (b - right) ** 2));
  return covariance / Math.sqrt(variances);
}
