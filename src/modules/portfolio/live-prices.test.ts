import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { RETENTION_LIMITS } from '../../protocol/limits.ts';
import { createMarketRig, market, rigClock, state } from '../../testing/market-rig.ts';
import type { MarketRig } from '../../testing/market-rig.ts';
import { createMarketDirectory, createStreamCache } from '../market/index.ts';
import type { MarketDirectory, StreamCache } from '../market/index.ts';
import { createLivePrices } from './live-prices.ts';
import type { LivePrices } from './live-prices.ts';

let rig: MarketRig;
let cache: StreamCache;
let directory: MarketDirectory;
let prices: LivePrices;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
  rig = createMarketRig();
  for (const venue of ['alpha', 'beta']) {
    const swap = { ...market('DOGE/USDT', 2, 5, venue), type: 'swap' };
    const closed = { ...market('XRP/USDT', 2, 5, venue), active: false };
    rig.sequencer.ingest.markets(venue, [market('BTC/USDT', 2, 5, venue), swap, closed]);
  }
  const log = createLog({ level: 'silent' });
  const { bus, metrics } = rig;
  cache = createStreamCache({ bus, clock: rigClock, retention: RETENTION_LIMITS, lingerMs: 10, metrics, log });
  directory = createMarketDirectory({ bus, venues: ['alpha', 'beta'] });
  prices = createLivePrices({ cache, directory, venues: ['alpha', 'beta'], clock: rigClock });
});
afterEach(() => {
  prices.stop();
  cache.stop();
  directory.stop();
  rig.sequencer.stop();
  expect(vi.getTimerCount(), 'timers left behind').toBe(0);
  vi.useRealTimers();
});

function send(venue: string, fields: Readonly<Record<string, string>>, symbol = 'BTC/USDT'): void {
  rig.sequencer.ingest.ticker({ venue, symbol, fields, ingestTs: rigClock.now() });
  vi.advanceTimersByTime(100);
}
const doubt = (venue: string) =>
  rig.sequencer.ingest.upstreamState({ venue, channel: 'ticker', symbol: 'BTC/USDT' }, state('stale', 'silent'));

it('knows a price once the ticker has come, with its age and where it is from', () => {
  expect(prices.price('BTC', 'USDT')).toBeNull();
  send('alpha', { last: '60000.5' });
  vi.advanceTimersByTime(900);
  expect(prices.price('BTC', 'USDT')).toEqual({ price: '60000.50', ageMs: 1_000, venue: 'alpha' });
  send('alpha', { last: '60001' });
  expect(prices.price('BTC', 'USDT')).toMatchObject({ price: '60001.00', ageMs: 100 });
});

it('falls back on the next venue while the first is in doubt, and has none when both are', () => {
  prices.price('BTC', 'USDT');
  send('alpha', { last: '1' });
  send('beta', { last: '2' });
  expect(prices.price('BTC', 'USDT')).toMatchObject({ price: '1.00', venue: 'alpha' });
  doubt('alpha');
  expect(prices.price('BTC', 'USDT')).toMatchObject({ price: '2.00', venue: 'beta' });
  doubt('beta');
  expect(prices.price('BTC', 'USDT')).toBeNull();
});

it('takes the middle where a venue does not say the last price, and nothing for a price', () => {
  prices.price('BTC', 'USDT');
  send('alpha', { bid: '1' });
  expect(prices.price('BTC', 'USDT')).toBeNull();
  send('alpha', { ask: '2' });
  expect(prices.price('BTC', 'USDT')).toMatchObject({ price: '1.5' });
  send('alpha', { last: '0' });
  expect(prices.price('BTC', 'USDT')).toBeNull();
});

it('does not show a price that has stood still for too long', () => {
  prices.price('BTC', 'USDT');
  send('alpha', { last: '1' });
  for (let step = 0; step < 19; step++) {
    vi.advanceTimersByTime(30_000);
    expect(prices.price('BTC', 'USDT')).not.toBeNull();
  }
  vi.advanceTimersByTime(31_000);
  expect(prices.price('BTC', 'USDT')).toBeNull();
});

it('opens nothing for what is not traded on the spot, and notices a market that comes later', () => {
  for (const base of ['NOPE', 'DOGE', 'XRP']) expect(prices.price(base, 'USDT')).toBeNull();
  expect([...rig.wanted].filter((key) => key.includes('ticker'))).toEqual([]);
  rig.sequencer.ingest.markets('alpha', [market('NOPE/USDT')]);
  prices.price('NOPE', 'USDT');
  send('alpha', { last: '5' }, 'NOPE/USDT');
  expect(prices.price('NOPE', 'USDT')).toMatchObject({ price: '5.00' });
});

it('lets go of what nobody asks about any more', () => {
  prices.price('BTC', 'USDT');
  const tickers = () => [...rig.wanted].filter((key) => key.includes('ticker')).length;
  expect(tickers()).toBe(2);
  vi.advanceTimersByTime(50_000);
  prices.price('BTC', 'USDT');
  vi.advanceTimersByTime(50_000);
  expect(tickers()).toBe(2);
  vi.advanceTimersByTime(20_000);
  expect(tickers()).toBe(0);
});

it('keeps a bounded number of pairs, and forgets those first that were asked about longest ago', () => {
  const bases = Array.from({ length: 1_001 }, (_, index) => `A${index}`);
  rig.sequencer.ingest.markets(
    'alpha',
    bases.map((base) => market(`${base}/USDT`)),
  );
  for (const base of bases.slice(0, 1_000)) prices.price(base, 'USDT');
  prices.price('A0', 'USDT');
  prices.price('A1000', 'USDT');
  vi.advanceTimersByTime(20);
  const wanted = [...rig.wanted].join(' ');
  expect(rig.wanted.size).toBe(1_000);
  expect(wanted).toContain('A0/USDT');
  expect(wanted).not.toContain('A1/USDT');
});

it('waits for first prices no longer than it is told, and not at all for what is not traded', async () => {
  const done: string[] = [];
  void prices.warm([['NOPE', 'USDT']], 1_000).then(() => done.push('untraded'));
  await vi.advanceTimersByTimeAsync(0);
  expect(done).toEqual(['untraded']);
  void prices
    .warm(
      [
        ['BTC', 'USDT'],
        ['NOPE', 'USDT'],
      ],
      1_000,
    )
    .then(() => done.push('late'));
  await vi.advanceTimersByTimeAsync(999);
  expect(done).toEqual(['untraded']);
  await vi.advanceTimersByTimeAsync(1);
  expect(done).toEqual(['untraded', 'late']);
  void prices.warm([['BTC', 'USDT']], 60_000).then(() => done.push('come'));
  send('alpha', { last: '1' });
  await vi.advanceTimersByTimeAsync(0);
  expect(done).toEqual(['untraded', 'late', 'come']);
});
