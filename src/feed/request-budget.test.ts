import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RequestBudget, retryAfterMs } from './request-budget.ts';

const RATES = {
  rest: { capacity: 2, refillPerSecond: 1 },
  subscribe: { capacity: 1, refillPerSecond: 10 },
  dial: { capacity: 1, refillPerSecond: 1 },
};

describe('RequestBudget', () => {
  beforeEach(() => vi.useFakeTimers({ now: 1_700_000_000_000 }));
  afterEach(() => vi.useRealTimers());
  const clock = { now: () => Date.now(), monotonic: () => performance.now() };

  function budget(bannedUntil = 0): { budget: RequestBudget; granted: number[]; ask: (count: number) => void } {
    const made = new RequestBudget(RATES, clock, bannedUntil);
    const granted: number[] = [];
    const startMs = performance.now();
    const ask = (count: number): void => {
      for (let each = 0; each < count; each++) {
        made.take('rest').then(
          () => granted.push(Math.round(performance.now() - startMs)),
          () => undefined,
        );
      }
    };
    return { budget: made, granted, ask };
  }

  it('spreads a burst of snapshots over time instead of earning a ban', async () => {
    const { granted, ask } = budget();
    ask(5);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(granted).toEqual([0, 0, 1_000, 2_000, 3_000]);
  });

  it('makes no call during a ban, not even one that has been waiting', async () => {
    const { budget: made, granted, ask } = budget();
    ask(3);
    await vi.advanceTimersByTimeAsync(0);
    made.ban('5');
    ask(1);
    await vi.advanceTimersByTimeAsync(4_999);
    expect(granted).toEqual([0, 0]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(granted).toHaveLength(4);
    expect(Math.min(...granted.slice(2))).toBeGreaterThanOrEqual(5_000);
  });

  it('keeps to a ban that a thread before this one was told of', async () => {
    const { granted, ask } = budget(Date.now() + 3_000);
    ask(1);
    await vi.advanceTimersByTimeAsync(2_999);
    expect(granted).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(granted).toEqual([3_000]);
  });

  it('refuses rather than queue without end, and lets go of all when closed', async () => {
    const { budget: made } = budget(Date.now() + 60_000);
    const asked = Array.from({ length: 1_001 }, () => made.take('rest'));
    const outcomes = Promise.allSettled(asked);
    made.close();
    expect((await outcomes).every(({ status }) => status === 'rejected')).toBe(true);
    await expect(made.take('rest')).rejects.toThrow('stopping');
    await expect(asked.at(-1)).rejects.toThrow('more than');
  });

  it('reads Retry-After as seconds and as a date, and nothing else', () => {
    const nowMs = Date.parse('2026-01-01T00:00:00Z');
    expect(retryAfterMs('7', nowMs)).toBe(7_000);
    expect(retryAfterMs('Thu, 01 Jan 2026 00:00:30 GMT', nowMs)).toBe(30_000);
    expect(retryAfterMs('Wed, 31 Dec 2025 00:00:00 GMT', nowMs)).toBe(0);
    for (const text of [undefined, '', 'soon', '-1', '1e9', '99999999999']) {
      expect(retryAfterMs(text, nowMs)).toBeUndefined();
    }
  });
});
