import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { TapeEvent } from '../tape.ts';
import { createSimulation } from './index.ts';

const START_TS = Date.UTC(2026, 7, 14, 12, 0, 0);

/** A clock that only moves when told to; the timers are vitest's. */
function manualClock() {
  let wall = START_TS;
  let monotonic = 1000;
  return {
    now: () => wall,
    monotonic: () => monotonic,
    pass(ms: number): void {
      for (let passed = 0; passed < ms; passed += 10) {
        wall += 10;
        monotonic += 10;
        vi.advanceTimersByTime(10);
      }
    },
    /** The process stands still: time passes, no timer runs. */
    stall(ms: number): void {
      wall += ms;
      monotonic += ms;
    },
    setBack(ms: number): void {
      wall -= ms;
    },
  };
}

describe('simulation against a clock', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  });
  afterEach(() => {
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  function open(clock: ReturnType<typeof manualClock>, venues: ('binance' | 'kraken')[] = ['binance']) {
    return createSimulation({ venues, seed: 1, clock, symbols: ['BTC/USDT', 'BTC/USD'] });
  }

  it('answers REST before it plays: book, candles, ticker and trades are there at once', () => {
    const [source] = open(manualClock());
    expect(source!.markets.map(({ symbol }) => symbol)).toEqual(['BTC/USDT']);
    expect(source!.book('BTC/USDT')!.bids.length).toBeGreaterThan(500);
    expect(source!.candles('BTC/USDT', '1h', 500)).toHaveLength(500);
    expect(source!.trades('BTC/USDT', 10)).toHaveLength(10);
    expect(Number(source!.ticker('BTC/USDT')!.baseVolume)).toBeGreaterThan(0);
    expect(source!.book('NOPE/USDT')).toBeUndefined();
    expect(source!.candles('NOPE/USDT', '1m', 5)).toEqual([]);
  });

  it('keeps pace with the clock, says nothing after stop, and leaves no timer', () => {
    const clock = manualClock();
    const [source] = open(clock);
    const events: TapeEvent[] = [];
    source!.start((event) => events.push(event));
    clock.pass(1000);
    expect(source!.now()).toBe(START_TS + 1000);
    expect(events.filter(({ kind }) => kind === 'book')).toHaveLength(10);
    for (const { ts } of events) expect(ts).toBeLessThanOrEqual(START_TS + 1000);
    source!.stop();
    const told = events.length;
    clock.pass(1000);
    expect(events).toHaveLength(told);
    source!.stop();
  });

  it('catches up after a short stall in bounded slices, losing nothing', () => {
    const clock = manualClock();
    const [source] = open(clock);
    const events: TapeEvent[] = [];
    source!.start((event) => events.push(event));
    clock.stall(3000);
    clock.pass(10);
    expect(source!.now()).toBeLessThanOrEqual(START_TS + 100);
    clock.pass(1000);
    expect(source!.now()).toBe(START_TS + 4010);
    expect(events.filter(({ kind }) => kind === 'book')).toHaveLength(40);
    source!.stop();
  });

  it('jumps after a long stall instead of reliving it at full speed', () => {
    const clock = manualClock();
    const [source] = open(clock);
    const events: TapeEvent[] = [];
    source!.start((event) => events.push(event));
    clock.pass(100);
    events.length = 0;
    clock.stall(3_600_000);
    clock.pass(10);
    expect(source!.now()).toBe(START_TS + 3_600_110);
    expect(events.every(({ kind }) => kind === 'candle')).toBe(true);
    clock.pass(500);
    expect(events.filter(({ kind }) => kind === 'book').length).toBeGreaterThan(3);
    source!.stop();
  });

  it('does not stand still when the wall clock is set back', () => {
    const clock = manualClock();
    const [source] = open(clock);
    source!.start(() => {});
    clock.pass(1000);
    clock.setBack(3_600_000);
    clock.pass(1000);
    expect(source!.now()).toBeGreaterThanOrEqual(START_TS + 1900);
    source!.stop();
  });

  it('runs the world as long as any venue plays', () => {
    const clock = manualClock();
    const [binance, kraken] = open(clock, ['binance', 'kraken']);
    const heard = { binance: 0, kraken: 0 };
    binance!.start(() => (heard.binance += 1));
    kraken!.start(() => (heard.kraken += 1));
    clock.pass(500);
    binance!.stop();
    const before = { ...heard };
    clock.pass(500);
    expect(heard.binance).toBe(before.binance);
    expect(heard.kraken).toBeGreaterThan(before.kraken);
    expect(binance!.now()).toBe(kraken!.now());
    kraken!.stop();
  });
});
