import { expect, test } from 'vitest';
import { nestsDeeperThan } from './json-depth.ts';

function nested(levels: number, wrap: (inner: unknown) => unknown): unknown {
  let value: unknown = 'leaf';
  for (let level = 0; level < levels; level++) value = wrap(value);
  return value;
}

test.each([
  ['arrays', (inner: unknown) => [inner]],
  ['objects', (inner: unknown) => ({ a: 1, inner })],
  ['both', (inner: unknown) => [{ inner }]],
])('depth is counted exactly through %s, so that the limit is neither porous nor too tight', (name, wrap) => {
  const perStep = name === 'both' ? 2 : 1;
  const steps = 16 / perStep;
  expect(nestsDeeperThan(nested(steps, wrap), 16)).toBe(false);
  expect(nestsDeeperThan(nested(steps + 1, wrap), 16)).toBe(true);
});

test('a depth that would overflow the stack of a recursive walk is found without one', () => {
  expect(nestsDeeperThan(JSON.parse('['.repeat(200_000) + ']'.repeat(200_000)), 16)).toBe(true);
});

test.each([undefined, null, 1, 'text', true, [], {}])('%j is not deep', (value) => {
  expect(nestsDeeperThan(value, 16)).toBe(false);
});
