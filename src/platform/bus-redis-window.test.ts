import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SendWindow } from './bus-redis-window.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function rig() {
  const sent: string[] = [];
  return { sent, window: new SendWindow((channel, text) => void sent.push(`${channel} ${text}`)) };
}

it('nothing waits without a window, and what waits leaves together, in order, when its window ends', () => {
  const { sent, window } = rig();
  window.add('a', '1', 0);
  expect(sent).toEqual(['a 1']);
  window.add('a', '2', 25);
  window.add('b', '3', 25);
  vi.advanceTimersByTime(24);
  window.add('a', '4', 25);
  expect(sent).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(sent).toEqual(['a 1', 'a 2', 'b 3', 'a 4']);
  vi.advanceTimersByTime(100);
  expect(sent).toHaveLength(4);
});

it('what may not wait overtakes nothing', () => {
  const { sent, window } = rig();
  window.add('a', '1', 25);
  window.add('a', '2', 0);
  expect(sent).toEqual(['a 1', 'a 2']);
  window.add('a', '3', 25);
  window.flush();
  vi.advanceTimersByTime(100);
  expect(sent).toEqual(['a 1', 'a 2', 'a 3']);
});

it.each([
  ['frames', 1_000, 'x'],
  ['characters', 11, 'x'.repeat(100_000)],
])('a window ends early when it holds too many %s', (_, count, text) => {
  const { sent, window } = rig();
  for (let index = 1; index < count; index++) window.add('a', text, 25);
  expect(sent).toHaveLength(0);
  window.add('a', text, 25);
  expect(sent).toHaveLength(count);
});
