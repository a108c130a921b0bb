import { describe, expect, it } from 'vitest';
import { SilenceBudget } from './silence-budget.ts';

const POLICY = { minMs: 3_000, initialMs: 10_000, maxMs: 60_000, factor: 10 };

function fed(intervalMs: number, times: number): { budget: SilenceBudget; nowMs: number } {
  const budget = new SilenceBudget(POLICY, 0);
  let nowMs = 0;
  for (let count = 0; count < times; count++) budget.heard((nowMs += intervalMs));
  return { budget, nowMs };
}

describe('SilenceBudget', () => {
  it('calls a frozen busy stream stale within its own short budget, not within a fixed one', () => {
    const { budget, nowMs } = fed(100, 50);
    expect(budget.budgetMs).toBe(POLICY.minMs);
    expect(budget.spent(nowMs + 3_000)).toBe(false);
    expect(budget.spent(nowMs + 3_001)).toBe(true);
  });

  it('does not call an illiquid stream stale between two of its usual messages', () => {
    const { budget, nowMs } = fed(5_000, 20);
    expect(budget.spent(nowMs + 30_000)).toBe(false);
    expect(budget.spent(nowMs + 60_001)).toBe(true);
  });

  it('does not take two messages sent together at the start for a rate', () => {
    const { budget } = fed(5, 2);
    expect(budget.budgetMs).toBe(POLICY.initialMs);
  });

  it('forgets an outage of a busy stream within its next messages', () => {
    const { budget, nowMs } = fed(100, 50);
    let later = nowMs + 50_000;
    budget.heard(later);
    expect(budget.budgetMs).toBeGreaterThan(POLICY.initialMs);
    for (let count = 0; count < 60; count++) budget.heard((later += 100));
    expect(budget.budgetMs).toBe(POLICY.minMs);
  });
});
