import { expect, it } from 'vitest';
import { parseFaultScript } from './fault-script.ts';
import { Faults } from './faults.ts';

it('reads the example of its own documentation', () => {
  const script =
    'seed=7; gap binance/book 1%; silence kraken/book/BTC/USD at=10s for=20s; disconnect * at=30s every=1m';
  const { seed, rules } = parseFaultScript(script);
  expect(seed).toBe(7);
  expect(rules).toMatchObject([
    { fault: 'gap', venue: 'binance', channel: 'book', symbol: '*', probability: 0.01, atMs: 0 },
    {
      fault: 'silence',
      venue: 'kraken',
      channel: 'book',
      symbol: 'BTC/USD',
      probability: 1,
      atMs: 10_000,
      forMs: 20_000,
    },
    { fault: 'disconnect', venue: '*', atMs: 30_000, everyMs: 60_000 },
  ]);
  expect(parseFaultScript('').rules).toEqual([]);
  expect(parseFaultScript('# nothing yet\n\n').rules).toEqual([]);
});

it.each([
  ['gapp binance', 'unknown fault'],
  ['gap nowhere', 'unknown venue'],
  ['gap binance/depth', 'unknown channel'],
  ['gap binance 200x', 'unknown word 200x'],
  ['gap binance code=1', 'unknown word code=1'],
  ['gap binance count=many', 'count must be a whole number'],
  ['gap binance at=soon', 'bad time at=soon'],
  ['garbage binance kind=spam', 'unknown kind spam'],
  ['garbage binance mode=both', 'mode is extra or replace'],
  [Array.from({ length: 65 }, () => 'gap *').join(';'), 'more than 64 rules'],
])('refuses %s with a reason instead of injecting something else', (script, reason) => {
  expect(() => parseFaultScript(script)).toThrow(reason);
});

it('decides by seed, rule, stream and frame number alone: other streams in between change nothing', () => {
  const decisions = (seed: number, noise: boolean): boolean[] => {
    const faults = new Faults({ monotonic: () => 0, seed, script: 'gap * 20%' });
    return Array.from({ length: 200 }, () => {
      if (noise) faults.frame('kraken', 'trades', 'BTC/USD');
      return faults.frame('binance', 'book', 'BTC/USDT')?.drop === 'gap';
    });
  };
  expect(decisions(1, true)).toEqual(decisions(1, false));
  expect(decisions(2, false)).not.toEqual(decisions(1, false));
  const hits = decisions(1, false).filter(Boolean).length;
  expect(hits).toBeGreaterThan(20);
  expect(hits).toBeLessThan(60);
});

it('opens and closes windows, again after each period', () => {
  let now = 0;
  const faults = new Faults({ monotonic: () => now, script: 'silence binance at=10s for=2s every=10s' });
  const silentAt = [0, 9999, 10_000, 11_999, 12_000, 19_999, 20_000, 21_000, 22_500].filter((ms) => {
    now = ms;
    return faults.frame('binance', 'book', 'X')?.drop === 'silence';
  });
  expect(silentAt).toEqual([10_000, 11_999, 20_000, 21_000]);
});

it('a scheduled disconnect strikes once per window, one by chance never by itself', () => {
  let now = 0;
  const faults = new Faults({
    monotonic: () => now,
    script: 'disconnect kraken at=5s every=10s code=1012; disconnect * 1%',
  });
  expect(faults.dueDisconnect('kraken')).toBeUndefined();
  now = 5000;
  expect([faults.dueDisconnect('kraken'), faults.dueDisconnect('kraken')]).toEqual([1012, undefined]);
  expect(faults.dueDisconnect('binance')).toBeUndefined();
  now = 15_001;
  expect(faults.dueDisconnect('kraken')).toBe(1012);
});

it('a chance of silence starts a spell for that stream alone', () => {
  let now = 0;
  const faults = new Faults({ monotonic: () => now, script: 'silence binance 50% ms=1000' });
  while (faults.frame('binance', 'book', 'A')?.drop !== 'silence') now += 1;
  const from = now;
  const spell = [];
  for (; now < from + 1000; now += 100) spell.push(faults.frame('binance', 'book', 'A')?.drop);
  expect(spell).toEqual(Array.from({ length: 10 }, () => 'silence'));
});
