import { ENGINE_IO_PATH, PONG, decodePacket, encodeConnect, encodeEvent } from './engineio.ts';

/** One inbound text as either door sends it. `answer` must be sent back at once; `admitted` answers a door's `hello`. */
export type Inbound =
  | Readonly<{ type: 'message'; envelope: WireEnvelope }>
  | Readonly<{ type: 'event'; name: string; data: unknown }>
  | Readonly<{ type: 'reply'; id: number; body: ReplyBody }>
  | Readonly<{ type: 'answer'; text: string }>
  | Readonly<{ type: 'admitted' }>
  | Readonly<{ type: 'nothing' }>
  | Readonly<{ type: 'malformed'; problem: string }>;

export type WireEnvelope = Readonly<{
  stream: string;
  epoch: string;
  seq: number;
  kind: 'snapshot' | 'delta' | 'update' | 'gap' | 'state';
  exchangeTs?: number;
  ingestTs: number;
  sentTs: number;
  conflated?: { from: number; to: number };
  data: unknown;
}>;
export type ReplyBody = Readonly<{ result?: unknown; error?: { code: string; message: string } }>;

export interface Door {
  readonly name: 'ws' | 'socketio';
  readonly path: string;
  /** What a client has to say, and have answered, before it may ask for anything; null where it may at once. */
  readonly hello: string | null;
  encode(id: number, method: string, params?: unknown): string;
  decode(text: string): Inbound;
}

export const PLAIN_DOOR: Door = {
  name: 'ws',
  path: '/ws',
  hello: null,
  encode: (id, method, params) => JSON.stringify(params === undefined ? { id, method } : { id, method, params }),
  decode(text) {
    const value = readObject(text);
    if (!value) return { type: 'malformed', problem: text.slice(0, 80) };
    if ('stream' in value) return { type: 'message', envelope: value as WireEnvelope };
    if ('event' in value) return { type: 'event', name: String(value.event), data: value.data };
    return { type: 'reply', id: Number(value.id), body: value as ReplyBody };
  },
};

export const SOCKET_IO_DOOR: Door = {
  name: 'socketio',
  path: ENGINE_IO_PATH,
  hello: encodeConnect(),
  encode: encodeEvent,
  decode(text) {
    const packet = decodePacket(text);
    switch (packet.type) {
      case 'connected':
        return { type: 'admitted' };
      case 'ping':
        return { type: 'answer', text: PONG };
      case 'event':
        if (packet.name === 'message') return { type: 'message', envelope: packet.data as WireEnvelope };
        return { type: 'event', name: packet.name, data: packet.data };
      case 'ack':
        return { type: 'reply', id: packet.id, body: (packet.data ?? {}) as ReplyBody };
      case 'refused':
        return { type: 'malformed', problem: `refused: ${packet.message}` };
      case 'unknown':
        return { type: 'malformed', problem: packet.text.slice(0, 80) };
      case 'open':
      case 'pong':
      case 'close':
      case 'noop':
        return { type: 'nothing' };
    }
  },
};

/** `both` alternates by virtual user, so that one run loads both doors alike. */
export function doorOf(name: string, user: number): Door {
  if (name === 'ws') return PLAIN_DOOR;
  if (name === 'socketio') return SOCKET_IO_DOOR;
  if (name === 'both') return user % 2 === 0 ? PLAIN_DOOR : SOCKET_IO_DOOR;
  throw new Error(`DOOR must be ws, socketio or both, not ${name}`);
}

function readObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
