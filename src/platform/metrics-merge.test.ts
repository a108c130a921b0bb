import { expect, it } from 'vitest';
import { mergeExpositions } from './metrics-merge.ts';
import { createMetrics } from './metrics.ts';

it('two processes become one exposition: a family stands once, and every sample says whose it is', async () => {
  const [one, two] = [createMetrics({ processMetrics: false }), createMetrics({ processMetrics: false })];
  for (const metrics of [one, two]) {
    metrics.counter('frames_total', 'Frames', ['door']).inc({ door: 'plain {x}' }, 3);
    metrics.gauge('connections', 'Open now').set({}, 7);
    metrics.histogram('wait_ms', 'Waits', [1, 5]).observe({}, 2);
  }
  two.counter('only_here_total', 'Of the second').inc({});
  const merged = mergeExpositions([
    { process: 'a', text: await one.render() },
    { process: 'b', text: await two.render() },
    { process: 'gone', text: '' },
  ]);
  const lines = merged.split('\n');
  expect(lines.filter((line) => line === '# TYPE frames_total counter')).toHaveLength(1);
  expect(lines).toContain('frames_total{process="a",door="plain {x}"} 3');
  expect(lines).toContain('frames_total{process="b",door="plain {x}"} 3');
  expect(lines).toContain('connections{process="b"} 7');
  expect(lines).toContain('wait_ms_bucket{process="a",le="5"} 1');
  expect(lines).toContain('wait_ms_count{process="b"} 1');
  expect(lines).toContain('only_here_total{process="b"} 1');
  const types = lines.filter((line) => line.startsWith('# TYPE'));
  expect(new Set(types).size).toBe(types.length);
});
