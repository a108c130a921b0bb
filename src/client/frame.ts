import type { WireError } from '../protocol/errors.ts';
import type { Envelope, MessageKind } from '../protocol/messages.ts';
import type { InboundFrame, RequestReply, SystemEvent } from './transport.ts';

// Checked by hand rather than with the schemas: zod would be most of the bundle of a browser page that only reads a book.
const KINDS: Readonly<Record<MessageKind, true>> = {
  snapshot: true,
  delta: true,
  update: true,
  gap: true,
  state: true,
};
const EVENTS: Readonly<Record<SystemEvent['name'], true>> = {
  welcome: true,
  heartbeat: true,
  draining: true,
  slow: true,
  closing: true,
};

type Fields = Readonly<Record<string, unknown>>;

/** One text frame of the plain door. */
export function readPlainFrame(text: unknown): InboundFrame {
  if (typeof text !== 'string') return malformed('not a text frame');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return malformed('not JSON');
  }
  if (!isFields(value)) return malformed('not an object');
  if ('stream' in value) return readEnvelope(value);
  if ('batch' in value) return readBatch(value.batch);
  if ('event' in value) return readEvent(value.event, value.data);
  if ('id' in value) return readReply(value.id, value);
  return { type: 'ignored' };
}

/** The envelope of a push. `data` is believed: what it must be depends on the stream and is checked where it is used. */
export function readEnvelope(value: unknown): InboundFrame {
  if (!isFields(value)) return malformed('an envelope is an object');
  const { stream, epoch, seq, kind, ingestTs, sentTs } = value;
  const wellFormed =
    typeof stream === 'string' &&
    typeof epoch === 'string' &&
    isCount(seq) &&
    typeof kind === 'string' &&
    Object.hasOwn(KINDS, kind) &&
    typeof ingestTs === 'number' &&
    typeof sentTs === 'number';
  return wellFormed ? { type: 'message', envelope: value as Envelope } : malformed('not an envelope');
}

/** Several envelopes in one message; what is wrong with one does not harm the others. */
export function readBatch(value: unknown): InboundFrame {
  return Array.isArray(value)
    ? { type: 'batch', frames: value.map(readEnvelope) }
    : malformed('a batch is an array of envelopes');
}

export function readEvent(name: unknown, data: unknown): InboundFrame {
  if (typeof name !== 'string') return malformed('an event has a name');
  if (!Object.hasOwn(EVENTS, name)) return { type: 'ignored' };
  if (!isFields(data)) return malformed(`the event ${name} carries no object`);
  const complete =
    (name !== 'heartbeat' || isFields(data.streams)) &&
    (name !== 'welcome' || isFields(data.limits)) &&
    (name !== 'draining' || isCount(data.afterMs)) &&
    (name !== 'closing' || isCount(data.code));
  return complete ? { type: 'event', event: { name, data } as unknown as SystemEvent } : malformed(`bad ${name} event`);
}

/** `body` holds `result` or `error`, on both doors. */
export function readReply(id: unknown, body: unknown): InboundFrame {
  if (!isCount(id)) return { type: 'ignored' };
  const reply = readReplyBody(body);
  return reply ? { type: 'reply', id, reply } : malformed('a reply has a result or an error');
}

function readReplyBody(body: unknown): RequestReply | undefined {
  if (!isFields(body)) return undefined;
  if (isWireError(body.error)) return { ok: false, error: body.error };
  return 'result' in body ? { ok: true, result: body.result } : undefined;
}

export function isWireError(value: unknown): value is WireError {
  return isFields(value) && typeof value.code === 'string' && typeof value.temporary === 'boolean';
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function malformed(problem: string): InboundFrame {
  return { type: 'malformed', problem };
}
