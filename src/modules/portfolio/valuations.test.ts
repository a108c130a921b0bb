import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { createMetrics } from '../../platform/metrics.ts';
import type { BalanceText, Portfolio, SyncEvent } from '../../protocol/trading.ts';
import { createValuations } from './index.ts';
import type { PriceSource, Valuations } from './index.ts';

const USDT = 'PAPER:USDT';
let price: string | null;
let asked: number;
let stated: Map<string, BalanceText>;
let tells: Map<string, (events: readonly SyncEvent[]) => void>;
let refuse: boolean;
let valuations: Valuations;

const balance = (asset: string, total: string): BalanceText => ({ asset, total, available: total, held: '0' });
const changed = (asset: string, total: string): SyncEvent => ({
  seq: 2,
  stream: 'portfolio',
  streamSeq: 2,
  ts: 1,
  data: {
    type: 'balance',
    balance: { ...balance(asset, total), version: 2, cause: { kind: 'credit', journalId: '1', reference: null } },
  },
});

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
  price = '10';
  asked = 0;
  refuse = false;
  stated = new Map();
  tells = new Map();
  const source: PriceSource = (base, quote) => {
    asked += 1;
    return base === 'BTC' && quote === 'USDT' && price !== null
      ? { price, ageMs: Date.now() % 1_000, venue: 'alpha' }
      : null;
  };
  valuations = createValuations({
    userLog: {
      async snapshot(userId) {
        if (refuse) throw new Error('away');
        const balances = [stated.get(userId) ?? balance('PAPER:BTC', '2')];
        return { streamSeq: 1, logSeq: 1, data: { logSeq: 1, balances, positions: [] } };
      },
      follow(userId, _afterSeq, listener) {
        tells.set(userId, listener);
        return () => tells.delete(userId);
      },
    },
    prices: { price: source },
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    log: createLog({ level: 'silent' }),
    metrics: createMetrics({ processMetrics: false }),
  });
});
afterEach(async () => {
  await valuations.stop();
  expect(tells.size, 'logs still followed').toBe(0);
  expect(vi.getTimerCount(), 'timers left behind').toBe(0);
  vi.useRealTimers();
});

function watch(userId = 'u1') {
  const seen: Portfolio[] = [];
  return { seen, stop: valuations.follow(userId, (portfolio) => seen.push(portfolio)) };
}
const equities = (seen: readonly Portfolio[]) => seen.map(({ equity }) => equity);

it('tells soon after the start, then when a price or a balance changes, at most once a second, the latest only', async () => {
  const { seen } = watch();
  await vi.advanceTimersByTimeAsync(200);
  expect(equities(seen)).toEqual(['20']);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(equities(seen)).toEqual(['20']);
  for (let step = 0; step < 50; step++) {
    price = `${11 + step}`;
    await vi.advanceTimersByTimeAsync(100);
  }
  expect(seen.length).toBeLessThanOrEqual(7);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(seen.at(-1)!.equity).toBe('120');
  const before = seen.length;
  tells.get('u1')!([changed('PAPER:BTC', '3'), changed(USDT, '5')]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(equities(seen.slice(before))).toEqual(['185']);
});

it('tells when a price is lost and when it comes back, though it is the same', async () => {
  const { seen } = watch();
  await vi.advanceTimersByTimeAsync(200);
  price = null;
  await vi.advanceTimersByTimeAsync(1_000);
  price = '10';
  await vi.advanceTimersByTimeAsync(1_000);
  expect(equities(seen)).toEqual(['20', null, '20']);
});

it('gives one who comes later the portfolio within a second', async () => {
  watch();
  await vi.advanceTimersByTimeAsync(3_000);
  const late = watch();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(equities(late.seen)).toEqual(['20']);
});

it('begins thousands of users a few at a time, and asks for nothing once they have left', async () => {
  const all = Array.from({ length: 2_000 }, (_, index) => watch(`u${index}`));
  await vi.advanceTimersByTimeAsync(30_000);
  expect(all.every(({ seen }) => seen.length === 1)).toBe(true);
  for (const { stop } of all) stop();
  asked = 0;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(asked).toBe(0);
});

it('tries again when the holdings cannot be read, and goes on past a listener that throws', async () => {
  refuse = true;
  valuations.follow('u1', () => {
    throw new Error('listener');
  });
  const { seen } = watch();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(seen).toEqual([]);
  refuse = false;
  await vi.advanceTimersByTimeAsync(1_000);
  price = '11';
  await vi.advanceTimersByTimeAsync(1_000);
  expect(equities(seen)).toEqual(['20', '22']);
});

it('does not follow the log of one who left while the holdings were being read', async () => {
  const { stop } = watch();
  await vi.advanceTimersByTimeAsync(99);
  stop();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(tells.size).toBe(0);
});
