import type { Scenario, World } from './scenario.ts';

/** Users of one kind. `run` is one of them, counted from 0 within its part. */
export type Part = Readonly<{ users: number; run(world: World, user: number): void }>;

/** One run: what is measured, and who takes part. The same for k6 and for plain Node. */
export type Plan = Readonly<{
  scenario: Scenario;
  /** By the name of the function that a k6 script exports for it. */
  parts: Readonly<Record<string, Part>>;
  durationMs: number;
}>;

/** `process.env`, or k6's `__ENV`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Times say nothing where the machine is shared: with JUDGE=correctness only what must hold at any load is judged. Everything
 * that is a time is named so.
 */
export function judged(scenario: Scenario, env: Environment): Scenario {
  if (env.JUDGE !== 'correctness') return scenario;
  const kept = Object.entries(scenario.thresholds).filter(([metric]) => !metric.endsWith('_ms'));
  return { ...scenario, thresholds: Object.fromEntries(kept) };
}

/** Two scenarios in one run, for different users. */
export function together(...scenarios: readonly Scenario[]): Scenario {
  return {
    metrics: Object.assign({}, ...scenarios.map(({ metrics }) => metrics)) as Scenario['metrics'],
    thresholds: Object.assign({}, ...scenarios.map(({ thresholds }) => thresholds)) as Scenario['thresholds'],
  };
}
