import { expect, test } from 'vitest';
import { FANOUT } from './fanout-scenario.ts';
import { Histogram } from './histogram.ts';
import { ORDERS } from './orders-scenario.ts';
import { RECONNECT } from './reconnect-scenario.ts';
import { SLOW } from './slow-scenario.ts';
import { judge, newMetric } from './thresholds.ts';

test('a quantile is within one percent, also after two workers are added up', () => {
  const halves = [new Histogram(), new Histogram()];
  for (let value = 1; value <= 1_000; value++) halves[value % 2]!.record(value);
  const all = new Histogram();
  for (const half of halves) all.add(half);
  expect(all.count).toBe(1_000);
  for (const share of [0.5, 0.95, 0.99]) {
    expect(all.quantile(share) / (share * 1_000)).toBeGreaterThan(0.99);
    expect(all.quantile(share) / (share * 1_000)).toBeLessThan(1.011);
  }
  expect(all.quantile(1)).toBe(1_000);
});

test('a run that broke a threshold does not pass', () => {
  const scenario = {
    metrics: {},
    thresholds: { gaps: ['count==0'], ms: ['p(95)<100', 'p(99)<100'], good: ['rate>0.9'] },
  };
  const states = new Map([
    ['gaps', newMetric('counter')],
    ['ms', newMetric('trend')],
    ['good', newMetric('rate')],
  ]);
  for (let sample = 0; sample < 100; sample++) states.get('ms')!.histogram.record(sample < 98 ? 10 : 500);
  Object.assign(states.get('gaps')!, { sum: 1 });
  Object.assign(states.get('good')!, { samples: 10, sum: 10 });
  expect(judge(scenario, states).map(({ passed }) => passed)).toEqual([false, true, false, true]);
});

test.each([FANOUT, RECONNECT, ORDERS, SLOW])(
  'every threshold is about a metric that is recorded and can be judged',
  (scenario) => {
    const states = new Map(Object.entries(scenario.metrics).map(([name, kind]) => [name, newMetric(kind)]));
    states.set('checks', newMetric('rate'));
    expect(judge(scenario, states).length).toBeGreaterThan(5);
  },
);
