import { expect, test } from 'vitest';
import { histogramQuantile, parseMetrics, sumOf } from './prometheus.ts';

const before = parseMetrics(
  '# HELP x\nlag_ms_bucket{le="1"} 5\nlag_ms_bucket{le="10"} 5\nlag_ms_bucket{le="+Inf"} 5\n',
);
const after = parseMetrics(
  'frames_total{door="plain"} 3\nframes_total{door="socketio"} 4\nframes_total_other 9\n' +
    'lag_ms_bucket{le="1"} 55\nlag_ms_bucket{le="10"} 105\nlag_ms_bucket{le="+Inf"} 105\n',
);

test('sums take all labels of one name and nothing of a longer name', () => {
  expect(sumOf(after, 'frames_total')).toBe(7);
  expect(sumOf(after, 'frames_total', 'door="plain"')).toBe(3);
  expect(sumOf(after, 'absent')).toBe(0);
});

test('a quantile counts only what came between two readings', () => {
  expect(histogramQuantile(before, after, 'lag_ms', 0.5)).toBe(1);
  expect(histogramQuantile(before, after, 'lag_ms', 0.75)).toBe(5.5);
  expect(histogramQuantile(after, after, 'lag_ms', 0.5)).toBeNull();
});
