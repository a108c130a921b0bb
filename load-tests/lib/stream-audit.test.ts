import { describe, expect, test } from 'vitest';
import type { WireEnvelope } from './door.ts';
import { StreamAudit } from './stream-audit.ts';

function message(epoch: string, seq: number, kind: WireEnvelope['kind'] = 'update'): WireEnvelope {
  return { stream: 's', epoch, seq, kind, ingestTs: 0, sentTs: 0, data: {} };
}

describe('the audit of a stream', () => {
  test('a missing message is found, a message in sequence is not blamed', () => {
    const audit = new StreamAudit();
    audit.joined({ epoch: 'a', seq: 4, recovered: false });
    expect(audit.take(message('a', 4, 'snapshot'))).toBe('rebased');
    expect(audit.take(message('a', 5))).toBe('next');
    expect(audit.take(message('a', 5))).toBe('repeated');
    expect(audit.take(message('a', 7))).toBe('silent_gap');
    expect(audit.take(message('a', 8))).toBe('next');
  });

  test('a recovery that leaves one out is found; a whole one is not', () => {
    for (const [seqs, verdict] of [
      [[6, 7], 'next'],
      [[7], 'silent_gap'],
    ] as const) {
      const audit = new StreamAudit();
      audit.joined({ epoch: 'a', seq: 5, recovered: false });
      audit.take(message('a', 5, 'snapshot'));
      audit.joined({ epoch: 'a', seq: 7, recovered: true });
      expect(seqs.map((seq) => audit.take(message('a', seq))).at(-1)).toBe(verdict);
    }
  });

  test('what is announced is not silent: gaps, conflated snapshots, new epochs', () => {
    const audit = new StreamAudit();
    audit.take(message('a', 1, 'snapshot'));
    expect(audit.take(message('a', 9, 'snapshot'))).toBe('rebased');
    expect(audit.take(message('a', 20, 'gap'))).toBe('rebased');
    expect(audit.take(message('a', 21))).toBe('next');
    expect(audit.take(message('b', 1, 'snapshot'))).toBe('rebased');
    expect(audit.take(message('c', 1))).toBe('silent_gap');
  });

  test('an announcement of less than what is missing does not cover the rest', () => {
    const audit = new StreamAudit();
    audit.take(message('a', 1, 'snapshot'));
    const conflated = (seq: number, from: number) => ({
      ...message('a', seq, 'snapshot'),
      conflated: { from, to: seq },
    });
    expect(audit.take(conflated(5, 2))).toBe('rebased');
    expect(audit.take(conflated(9, 7))).toBe('silent_gap');
    expect(audit.take({ ...message('a', 20, 'gap'), data: { from: 10, to: 20 } })).toBe('rebased');
    expect(audit.take({ ...message('a', 30, 'gap'), data: { from: 22, to: 30 } })).toBe('silent_gap');
  });

  test('after a reply without recovery nothing may be left out either', () => {
    const audit = new StreamAudit();
    audit.take(message('a', 1, 'snapshot'));
    audit.joined({ epoch: 'a', seq: 50, recovered: false });
    expect(audit.take(message('a', 52))).toBe('silent_gap');
  });
});
