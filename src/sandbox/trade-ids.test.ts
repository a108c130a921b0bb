import { expect, it } from 'vitest';
import { TradeIds } from './trade-ids.ts';

it('goes on without a hole where the last pass ended, also past what a double can count', () => {
  const ids = new TradeIds();
  const tape = ['9007199254740993', '9007199254740994', '9007199254740995'];
  expect(tape.map((id) => ids.take(id, 0))).toEqual(tape);
  ids.wrap();
  expect(tape.map((id) => ids.take(id, 0))).toEqual(['9007199254740996', '9007199254740997', '9007199254740998']);
  ids.wrap();
  expect(ids.take(tape[0]!, 0)).toBe('9007199254740999');
});

it('moves object ids by the time they contain, so that they still sort by age', () => {
  const ids = new TradeIds();
  const first = '60857df8aeefabd62c62a1ec';
  const last = '60857e16aeefabd62c62a1ff';
  expect([ids.take(first, 0), ids.take(last, 0)]).toEqual([first, last]);
  ids.wrap();
  expect(ids.take(first, 30_500) > last).toBe(true);
  expect(ids.take(first, 30_500)).toHaveLength(24);
});

it('makes any other id unlike that of the pass before', () => {
  const ids = new TradeIds();
  ids.take('abc-1', 0);
  ids.wrap();
  expect(ids.take('abc-1', 0)).toBe('abc-1~1');
});
