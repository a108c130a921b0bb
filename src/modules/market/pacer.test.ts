import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { seededRandom } from '../../kernel/random.ts';
import { Pacer } from './pacer.ts';

const INTERVAL_MS = 100;
const clock = { now: () => Date.now(), monotonic: () => performance.now() };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function pace(gapMs: () => number, changes: number): { delaysMs: number[]; runsMs: number[] } {
  const delaysMs: number[] = [];
  const runsMs: number[] = [];
  let changedMs = 0;
  const pacer = new Pacer(INTERVAL_MS, clock, () => {
    runsMs.push(clock.monotonic());
    delaysMs.push(clock.monotonic() - changedMs);
    return true;
  });
  for (let change = 0; change < changes; change++) {
    changedMs = clock.monotonic();
    pacer.request();
    vi.advanceTimersByTime(gapMs());
  }
  pacer.cancel();
  return { delaysMs, runsMs };
}

it('does not stay behind a market that changes at its own pace once one change was late', () => {
  const random = seededRandom(1);
  let late = 0;
  // Each change up to 10 ms off its time, never adding up.
  const gapMs = (): number => {
    const next = Math.floor(random() * 11);
    const gap = INTERVAL_MS + next - late;
    late = next;
    return gap;
  };
  const { delaysMs } = pace(gapMs, 200);
  expect(delaysMs).toHaveLength(200);
  expect(Math.max(...delaysMs)).toBe(0);
});

it('runs once per interval in the mean, however fast and however uneven the changes are', () => {
  for (const gap of [1, 7, 40, 76, 99]) {
    const { runsMs } = pace(() => gap, Math.ceil(10_000 / gap));
    expect(runsMs.length).toBeLessThanOrEqual(102);
    expect(runsMs.length).toBeGreaterThanOrEqual(Math.floor(Math.min(10_000 / gap, 95)));
    for (let run = 1; run < runsMs.length; run++) {
      expect(runsMs[run]! - runsMs[run - 1]!).toBeGreaterThanOrEqual(INTERVAL_MS * 0.75 - 1);
    }
  }
});
