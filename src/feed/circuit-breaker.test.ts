import { describe, expect, it } from 'vitest';
import { CircuitBreaker } from './circuit-breaker.ts';

const POLICY = { failures: 3, pause: { baseMs: 1_000, factor: 2, maxMs: 4_000, jitter: 0 } };
const breaker = (): CircuitBreaker => new CircuitBreaker(POLICY, () => 0.5);

function open(circuit: CircuitBreaker, nowMs: number): void {
  while (!circuit.failed(nowMs));
}

describe('CircuitBreaker', () => {
  it('does not give an exchange up for failures that a success interrupts', () => {
    const circuit = breaker();
    for (let round = 0; round < 5; round++) {
      expect(circuit.failed(0)).toBe(false);
      expect(circuit.failed(0)).toBe(false);
      circuit.succeeded();
    }
    expect(circuit.state).toBe('closed');
  });

  it('opens after failures in a row and lets exactly one trial through after the pause', () => {
    const circuit = breaker();
    open(circuit, 0);
    expect(circuit.state).toBe('open');
    expect(circuit.tryHalfOpen(999)).toBe(false);
    expect(circuit.tryHalfOpen(1_000)).toBe(true);
    expect(circuit.tryHalfOpen(1_000)).toBe(false);
  });

  it('waits longer after each failed trial, up to a limit, and starts over after a success', () => {
    const circuit = breaker();
    let nowMs = 0;
    open(circuit, nowMs);
    for (const pauseMs of [1_000, 2_000, 4_000, 4_000]) {
      expect(circuit.tryHalfOpen(nowMs + pauseMs - 1)).toBe(false);
      nowMs += pauseMs;
      expect(circuit.tryHalfOpen(nowMs)).toBe(true);
      expect(circuit.failed(nowMs)).toBe(true);
    }
    expect(circuit.tryHalfOpen(nowMs + 4_000)).toBe(true);
    expect(circuit.succeeded()).toBe(true);
    expect(circuit.state).toBe('closed');
  });

  it('does not try an exchange before the end of a ban that it has announced', () => {
    const circuit = breaker();
    while (!circuit.failed(0, 60_000));
    expect(circuit.tryHalfOpen(59_999)).toBe(false);
    expect(circuit.tryHalfOpen(60_000)).toBe(true);
  });
});
