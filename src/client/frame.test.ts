import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readEnvelope, readEvent, readPlainFrame, readReply } from './frame.ts';

const envelope = { stream: 's', epoch: 'e', seq: 1, kind: 'update', ingestTs: 1, sentTs: 2, data: {} };

test('no text whatever makes the reader throw, and only what fits is believed', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      expect(['malformed', 'ignored']).toContain(readPlainFrame(text).type);
    }),
  );
});

test('an envelope with one wrong field is not taken for one', () => {
  expect(readEnvelope(envelope)).toEqual({ type: 'message', envelope });
  const wrong = { stream: 1, epoch: null, seq: -1, kind: 'toString', ingestTs: '1', sentTs: undefined };
  for (const [field, value] of Object.entries(wrong)) {
    expect(readEnvelope({ ...envelope, [field]: value }).type, field).toBe('malformed');
  }
});

test('an event of a later protocol is passed over; a known one that lacks what it must say is not believed', () => {
  expect(readEvent('announcement', { text: 'x' })).toEqual({ type: 'ignored' });
  expect(readEvent('constructor', {})).toEqual({ type: 'ignored' });
  for (const name of ['welcome', 'heartbeat', 'draining', 'closing']) {
    expect(readEvent(name, {}).type, name).toBe('malformed');
  }
});

test('a reply without a result is an error or nothing', () => {
  expect(readReply(1, { result: null })).toEqual({ type: 'reply', id: 1, reply: { ok: true, result: null } });
  const error = { code: 'internal', message: '', temporary: true };
  expect(readReply(1, { error })).toEqual({ type: 'reply', id: 1, reply: { ok: false, error } });
  expect(readReply(1, { error: 'text' }).type).toBe('malformed');
  expect(readReply(null, { error }).type).toBe('ignored');
});

test('one broken envelope in a batch does not hide the others', () => {
  const envelope = { stream: 'venue:x', epoch: 'e', seq: 1, kind: 'update', ingestTs: 1, sentTs: 1, data: {} };
  expect(readPlainFrame(JSON.stringify({ batch: [envelope, { stream: 1 }, { ...envelope, seq: 2 }] }))).toMatchObject({
    type: 'batch',
    frames: [{ type: 'message', envelope: { seq: 1 } }, { type: 'malformed' }, { envelope: { seq: 2 } }],
  });
  expect(readPlainFrame('{"batch":{}}')).toMatchObject({ type: 'malformed' });
});
