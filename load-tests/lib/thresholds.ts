import { Histogram } from './histogram.ts';
import type { MetricKind, Scenario } from './scenario.ts';

/** What a metric came to. `sum` is a counter's value and the number of true samples of a rate. */
export type MetricState = { readonly kind: MetricKind; readonly histogram: Histogram; samples: number; sum: number };
export type Judgement = Readonly<{ metric: string; expression: string; actual: number; passed: boolean }>;

export function newMetric(kind: MetricKind): MetricState {
  return { kind, histogram: new Histogram(), samples: 0, sum: 0 };
}

/** The same expressions that k6 judges, for runs without k6. Throws on one that it does not know. */
export function judge({ thresholds }: Scenario, states: ReadonlyMap<string, MetricState>): Judgement[] {
  return Object.entries(thresholds).flatMap(([metric, expressions]) =>
    expressions.map((expression) => {
      const parsed = /^(p\((?<percent>[0-9.]+)\)|count|rate)(?<comparison><=|>=|<|>|==)(?<limit>[0-9.]+)$/.exec(
        expression,
      );
      const state = states.get(metric);
      if (!parsed?.groups || !state) throw new Error(`cannot judge ${metric}: ${expression}`);
      const { percent, comparison, limit } = parsed.groups;
      const actual = percent === undefined ? total(state) : state.histogram.quantile(Number(percent) / 100);
      return { metric, expression, actual, passed: compare(actual, comparison!, Number(limit)) };
    }),
  );
}

/** A rate of nothing is 1, as k6 has it that a threshold without samples passes. */
function total({ kind, samples, sum }: MetricState): number {
  if (kind !== 'rate') return sum;
  return samples === 0 ? 1 : sum / samples;
}

function compare(actual: number, comparison: string, limit: number): boolean {
  switch (comparison) {
    case '<':
      return actual < limit;
    case '<=':
      return actual <= limit;
    case '>':
      return actual > limit;
    case '>=':
      return actual >= limit;
    default:
      return actual === limit;
  }
}
