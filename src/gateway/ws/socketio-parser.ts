import { EventEmitter } from 'node:events';
import type { Inbound } from './requests.ts';

/** Packet types of the Socket.IO protocol, revision 5. Binary ones (5, 6) are not spoken here. */
const CONNECT = 0;
const DISCONNECT = 1;
const EVENT = 2;
const ACK = 3;

type OutboundPacket = { type: number; nsp?: string; id?: number; data?: unknown };

/** What the hub's wrapper gets of an event: still text, so that nothing is parsed before the rate limit has been asked. */
export class InboundEvent {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** An acknowledgement id, then `[name]` or `[name, payload]`. */
  read(): Inbound {
    const digits = /^[0-9]*/.exec(this.text)![0];
    const id = digits === '' ? null : Number(digits);
    if (id !== null && !Number.isSafeInteger(id)) return bad(null, 'the acknowledgement id is too large');
    let value: unknown;
    try {
      value = JSON.parse(this.text.slice(digits.length));
    } catch {
      return bad(id, 'not JSON');
    }
    if (!Array.isArray(value) || typeof value[0] !== 'string')
      return bad(id, 'an event is an array that begins with its name');
    if (value.length > 2) return bad(id, 'an event has one payload at most');
    // JSON has no `undefined`: clients that leave the payload out send null in its place.
    return { ok: true, address: id, method: value[0], params: value[1] ?? undefined };
  }
}

function bad(address: number | null, problem: string): Inbound {
  return { ok: false, address, problem };
}

/**
 * Socket.IO's own decoder closes the connection on an event called `disconnect` or `connect`, and builds binary packets from
 * attachments. This one hands events on as text, whatever they are called (they never reach an emitter), ignores acknowledgements, which we never
 * ask for, and refuses attachments. What it throws makes the library close the connection.
 */
class TextDecoder extends EventEmitter {
  add(chunk: unknown): void {
    if (typeof chunk !== 'string') throw new Error('binary packets are not taken');
    const type = chunk.charCodeAt(0) - 48;
    if (type === ACK) return;
    if (type !== CONNECT && type !== DISCONNECT && type !== EVENT) throw new Error('not a packet type of ours');
    const { namespace, rest } = splitNamespace(chunk);
    const packet = { type, nsp: namespace };
    if (type === EVENT) this.emit('decoded', { ...packet, data: [new InboundEvent(rest)] });
    else this.emit('decoded', type === CONNECT && rest !== '' ? { ...packet, data: connectData(rest) } : packet);
  }

  destroy(): void {
    this.removeAllListeners();
  }
}

/** The library reads properties of whatever it gets here, also of null. */
function connectData(text: string): object {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('auth is an object');
  return value;
}

function splitNamespace(packet: string): { namespace: string; rest: string } {
  if (packet[1] !== '/') return { namespace: '/', rest: packet.slice(1) };
  const comma = packet.indexOf(',');
  return comma === -1
    ? { namespace: packet.slice(1), rest: '' }
    : { namespace: packet.slice(1, comma), rest: packet.slice(comma + 1) };
}

class TextEncoder {
  encode({ type, nsp, id, data }: OutboundPacket): string[] {
    const namespace = nsp === undefined || nsp === '/' ? '' : `${nsp},`;
    return [`${type}${namespace}${id ?? ''}${data === undefined ? '' : JSON.stringify(data)}`];
  }
}

/** For the `parser` option of a Socket.IO server. */
export const textParser = { Encoder: TextEncoder, Decoder: TextDecoder };
