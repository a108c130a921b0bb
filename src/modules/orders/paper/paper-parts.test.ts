import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { accepted, refused } from '../../../kernel/outcome.ts';
import { createLog } from '../../../platform/log.ts';
import { createMetrics } from '../../../platform/metrics.ts';
import { DatabaseFailure } from '../../../platform/postgres.ts';
import { newWorkingOrder } from '../../../testing/paper-rig.ts';
import type { EngineFill, ExecutionDesk, WorkingOrder } from '../desk.ts';
import type { Decision } from './core-events.ts';
import { Abandoned, carryOut, revise } from './decision-carrier.ts';
import type { CarrierSetup } from './decision-carrier.ts';
import { EventInbox } from './event-inbox.ts';
import { UNIT, exactly, fixedFrom, textOf } from './fixed-point.ts';
import { drawDelayMs } from './latency.ts';
import { createPaperMetrics } from './paper-metrics.ts';

const FIGURES = () => ({ markets: 0, orders: 0, doubtful: 0, queued: 0 });

function fill(quantity: string, n = 0): EngineFill {
  const market = { stream: 's', epoch: 'e', seq: 1, exchangeSeq: null, ageMs: 0, latencyMs: 0, tradeId: null };
  return { tradeId: `paper:o1:${n}`, liquidity: 'maker', price: '100', quantity, market, ts: 1 };
}
function working(version: number, changes: Partial<WorkingOrder['order']> = {}): WorkingOrder {
  const fields = { side: 'buy', type: 'limit', price: '100', quantity: '2', status: 'accepted', version } as const;
  return newWorkingOrder('o1', { ...fields, ...changes }, { userId: 'u1', nowMs: 0 });
}
const decision = (step: Decision['step'], version = 1): Decision => ({ orderId: 'o1', version, memo: {}, step });

/** Answers of the desk in order; what the order is when it is read again. */
function carrier(answers: readonly (() => unknown)[], fresh: WorkingOrder | null = null) {
  const asked: unknown[][] = [];
  const queue = answers.slice();
  const answer = (...words: unknown[]) => {
    asked.push(words);
    return Promise.resolve().then(queue.shift() ?? (() => Promise.reject(new Error('asked too often'))));
  };
  const abort = new AbortController();
  const setup: CarrierSetup = {
    execution: { fill: answer, fillAll: answer, accept: answer } as unknown as ExecutionDesk,
    reRead: () => Promise.resolve(fresh),
    mayWrite: () => true,
    signal: abort.signal,
    clock: { now: () => 0, monotonic: () => 0 },
    random: () => 0,
    log: createLog({ level: 'silent' }),
    metrics: createPaperMetrics(createMetrics({ processMetrics: false }), FIGURES),
  };
  return { setup, asked, abort };
}
const down = () => {
  throw new DatabaseFailure('unavailable', 'down', null);
};

describe('carrying decisions out', () => {
  it('a database that is away loses no fill: the same one is sent until there is an answer', async () => {
    const { setup, asked } = carrier([down, down, () => accepted(working(2))]);
    const answer = await carryOut(setup, decision({ do: 'fill', fills: [fill('1')] }));
    expect(answer).toMatchObject({ working: { order: { version: 2 } }, refused: null });
    expect(asked).toHaveLength(3);
    expect(new Set(asked.map((words) => JSON.stringify(words))).size).toBe(1);
  });

  it('a command that came between keeps the fill, as far as the order is still open', async () => {
    const fresh = working(5, { status: 'pending_cancel', filledQuantity: '1.25' });
    const { setup, asked } = carrier([() => refused('conflict', ''), () => accepted(working(6))], fresh);
    await carryOut(setup, decision({ do: 'fill', fills: [fill('0.5', 0), fill('0.5', 1)] }));
    expect(asked[1]).toMatchObject([{ orderId: 'o1', version: 5 }, [{ quantity: '0.5' }, { quantity: '0.25' }], {}]);
  });

  it('anything else is left to be decided anew', async () => {
    const fresh = working(5, { status: 'pending_cancel' });
    const { setup, asked } = carrier([() => refused('conflict', '')], fresh);
    expect(await carryOut(setup, decision({ do: 'accept' }))).toEqual({ working: fresh, refused: 'conflict' });
    expect(asked).toHaveLength(1);
  });

  it('an order that is over takes no fill', async () => {
    const { setup } = carrier([() => refused('conflict', '')], working(5, { status: 'canceled' }));
    const answer = await carryOut(setup, decision({ do: 'fill', fills: [fill('1')] }));
    expect(answer).toEqual({ working: null, refused: 'conflict' });
  });

  it('nothing is written for a market that was given up', async () => {
    const { setup, asked, abort } = carrier([]);
    const lost = { ...setup, mayWrite: () => false };
    const carried = carryOut(lost, decision({ do: 'accept' }));
    abort.abort();
    await expect(carried).rejects.toThrow(Abandoned);
    expect(asked).toEqual([]);
  });

  it('the same version is never tried again', () => {
    expect(revise(decision({ do: 'fill', fills: [fill('1')] }, 5), working(5))).toBeNull();
  });
});

describe('the inbox', () => {
  it('full, it lets the market go but keeps the newest state of every order', () => {
    const inbox = new EventInbox();
    const order = (version: number) => ({ type: 'order' as const, nowMs: 0, working: working(version) });
    expect(inbox.offer(order(1))).toBe(true);
    expect(inbox.offer(order(2))).toBe(true);
    let kept = true;
    for (let count = 0; kept; count++) {
      expect(count).toBeLessThan(10_000);
      kept = inbox.offer({ type: 'clock', nowMs: 0 });
    }
    expect(inbox.length).toBe(1);
    expect(inbox.take()).toEqual(order(2));
    expect(inbox.take()).toBeUndefined();
  });
});

describe('numbers', () => {
  it('texts survive the way to whole units and back', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 40n }), (value) => {
        expect(exactly(textOf(value))).toBe(value);
      }),
    );
  });

  it('what is finer than a unit is rounded as asked, never guessed', () => {
    expect(fixedFrom('0.1234567890123456789', 'down')).toBe(123_456_789_012_345_678n);
    expect(fixedFrom('0.1234567890123456789', 'up')).toBe(123_456_789_012_345_679n);
    expect(fixedFrom('1.0000000000000000000', 'up')).toBe(UNIT);
    for (const text of ['', '-1', '1e3', 'NaN', '.5', '01']) expect(fixedFrom(text, 'down')).toBeNull();
    expect(() => exactly('0.1234567890123456789')).toThrow();
  });
});

describe('latency', () => {
  const delay = { medianMs: 60, p99Ms: 300 };
  const draw = (n: number, seed = 1) =>
    drawDelayMs(delay, { seed, orderId: `o${n}`, kind: 'submit', commandedAtMs: n });

  it('is the same for the same command, and another for another', () => {
    expect(draw(7)).toBe(draw(7));
    expect(new Set(Array.from({ length: 100 }, (_, n) => draw(n))).size).toBeGreaterThan(50);
    expect(Array.from({ length: 20 }, (_, n) => draw(n, 2))).not.toEqual(Array.from({ length: 20 }, (_, n) => draw(n)));
  });

  it('follows the distribution that was measured', () => {
    const drawn = Array.from({ length: 5_000 }, (_, n) => draw(n)).sort((left, right) => left - right);
    expect(drawn[2_500]).toBeGreaterThan(54);
    expect(drawn[2_500]).toBeLessThan(66);
    expect(drawn[4_950]).toBeGreaterThan(240);
    expect(drawn[4_950]).toBeLessThan(370);
  });
});
