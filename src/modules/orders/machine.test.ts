import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ORDER_STATUSES } from '../../protocol/trading.ts';
import type { OrderStatus } from '../../protocol/trading.ts';
import { ENDED, nextStatus, ORDER_EVENTS, PENDING, TRANSITIONS } from './machine.ts';

const STATUSES = fc.constantFrom(...ORDER_STATUSES);
const EVENTS = fc.array(fc.constantFrom(...ORDER_EVENTS), { maxLength: 40 });

describe('the state machine', () => {
  it('reaches every status from `submitted`, or some could never be seen', () => {
    const reached = new Set<OrderStatus>(['submitted']);
    for (let size = 0; size !== reached.size;) {
      size = reached.size;
      for (const status of reached) {
        for (const event of ORDER_EVENTS) {
          const next = nextStatus(status, event, 'accepted');
          if (next !== null) reached.add(next);
        }
      }
    }
    expect([...reached].toSorted()).toEqual([...ORDER_STATUSES].toSorted());
  });

  it('leads out of every open status to an end, or an order could hang for ever', () => {
    for (const status of ORDER_STATUSES.filter((each) => !ENDED.has(each))) {
      expect(nextStatus(status, 'cancel'), status).toBe('canceled');
    }
  });

  it('never leaves an end except by a late fill', () => {
    for (const status of ENDED) {
      const left = ORDER_EVENTS.filter((event) => TRANSITIONS[event][status] !== undefined);
      expect(left, status).toEqual(['canceled', 'expired'].includes(status) ? ['fill_part', 'fill_all'] : []);
    }
  });

  it('takes fills in every state that is not over and not refused, or executions would be lost', () => {
    for (const status of ORDER_STATUSES.filter((each) => !ENDED.has(each))) {
      expect(nextStatus(status, 'fill_part'), status).not.toBeNull();
      expect(nextStatus(status, 'fill_all'), status).toBe('filled');
    }
    for (const status of ['denied', 'rejected', 'filled'] as const) expect(nextStatus(status, 'fill_part')).toBeNull();
  });

  it('denies only what was held here, and rejects nothing that was executed in part', () => {
    expect(Object.keys(TRANSITIONS.deny)).toEqual(['held']);
    expect(nextStatus('partially_filled', 'reject')).toBeNull();
  });

  it('returns from a pending status to what it was, whatever came in between', () => {
    fc.assert(
      fc.property(STATUSES, EVENTS, (start, events) => {
        let [status, before] = [start, PENDING.has(start) ? ('accepted' as OrderStatus) : null];
        for (const event of events) {
          const rule = TRANSITIONS[event][status];
          const next = nextStatus(status, event, before);
          if (rule === undefined || next === null) continue;
          const was = PENDING.has(status) ? before : status;
          before = PENDING.has(next) ? (rule.becomes ?? was) : null;
          status = next;
          expect(PENDING.has(status)).toBe(before !== null);
          expect(before === null || !PENDING.has(before)).toBe(true);
        }
      }),
    );
  });
});
