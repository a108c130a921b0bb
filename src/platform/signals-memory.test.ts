import { expect, it } from 'vitest';
import { describeSignals, hearSignals } from '../testing/signals-contract.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { createMemorySignals } from './signals-memory.ts';

function setup() {
  const metrics = createMetrics({ processMetrics: false });
  return { metrics, signals: createMemorySignals({ log: createLog({ level: 'silent' }), metrics }) };
}

describeSignals('in memory', async () => {
  const { signals } = setup();
  return { here: signals, there: signals, stop: () => signals.stop() };
});

it('drops and counts what listeners publish in a circle for ever', async () => {
  const { metrics, signals } = setup();
  const { heard } = hearSignals(signals, 'orders');
  signals.subscribe('orders', (text) => {
    if (heard.length > 50_000) return;
    signals.publish('orders', text);
    signals.publish('orders', text);
  });
  signals.publish('orders', 'round');
  expect(await metrics.render()).toMatch(/signals_dropped_total\{reason="backlog"\} [1-9]/);
});

it('counts the listeners that throw', async () => {
  const { metrics, signals } = setup();
  signals.subscribe('orders', () => {
    throw new Error('listener');
  });
  signals.publish('orders', 'x');
  expect(await metrics.render()).toContain('signals_listener_faults_total 1');
});
