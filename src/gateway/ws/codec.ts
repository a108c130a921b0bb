import type { PreparedMessage } from '../../protocol/envelope.ts';
import type { SystemEvents } from '../../protocol/messages.ts';
import { Frame, jsonFrame } from './frame.ts';
import { textFrameHead } from './text-frame.ts';
import type { DoorName, ReplyAddress, ReplyBody } from './wire.ts';

/** How a door spells what the hub says. One codec serves all sockets behind its door, so that equal messages are equal frames. */
export interface Codec {
  readonly door: DoorName;
  /** Tells codecs apart: 0, 1, ... */
  readonly index: number;
  /** Made once per message, whatever the number of receivers. */
  push(prepared: PreparedMessage): Frame;
  /** A push of one receiver only: an envelope as JSON. */
  pushJson(json: string): Frame;
  event<K extends keyof SystemEvents>(name: K, data: SystemEvents[K]): Frame;
  /** Null where the client has asked for no answer and there is nothing wrong to tell. */
  reply(address: ReplyAddress, body: ReplyBody): Frame | null;
  /** Several pushes as one message, from their ready frames. */
  batch(pushes: readonly Frame[]): Frame;
}

/** What stands around JSON; ASCII. */
type Wrapping = readonly [prefix: string, suffix: string];
export type Spelling = Readonly<{ push: Wrapping; batch: Wrapping }>;

const COMMA = 0x2c;

export function pushFrame(prepared: PreparedMessage, door: DoorName, [prefix, suffix]: Wrapping): Frame {
  return (prepared.frames[door] ??= jsonFrame(prefix, prepared.json, suffix)) as Frame;
}

export function batchFrame(pushes: readonly Frame[], [prefix, suffix]: Wrapping): Frame {
  let payloadBytes = prefix.length + suffix.length + pushes.length - 1;
  for (const { bodyStart, bodyEnd } of pushes) payloadBytes += bodyEnd - bodyStart;
  const head = textFrameHead(payloadBytes);
  const bytes = Buffer.allocUnsafe(head.length + payloadBytes);
  head.copy(bytes);
  let at = head.length + bytes.write(prefix, head.length, 'latin1');
  for (const [index, push] of pushes.entries()) {
    if (index > 0) bytes[at++] = COMMA;
    at += push.bytes.copy(bytes, at, push.bodyStart, push.bodyEnd);
  }
  bytes.write(suffix, at, 'latin1');
  return new Frame(bytes);
}

/** What stands between the pushes of a batch, and they. */
export function batchPieces(bodies: readonly (readonly Buffer[])[], comma: readonly Buffer[]): Buffer[] {
  return bodies.flatMap((body, index) => (index === 0 ? body : [...comma, ...body]));
}

export const plainSpelling: Spelling = { push: ['', ''], batch: ['{"batch":[', ']}'] };

export const plainCodec: Codec = {
  door: 'plain',
  index: 0,
  push: (prepared) => pushFrame(prepared, 'plain', plainSpelling.push),
  pushJson: (json) => jsonFrame(plainSpelling.push[0], json, plainSpelling.push[1]),
  event: (event, data) => jsonFrame('', JSON.stringify({ event, data }), ''),
  reply: (id, body) => jsonFrame('', JSON.stringify({ id, ...body }), ''),
  batch: (pushes) => batchFrame(pushes, plainSpelling.batch),
};

/** `4` is an Engine.IO message, `2` a Socket.IO event, `3` an acknowledgement. */
export const socketIoSpelling: Spelling = { push: ['42["message",', ']'], batch: ['42["batch",[', ']]'] };

export const socketIoCodec: Codec = {
  door: 'socketio',
  index: 1,
  push: (prepared) => pushFrame(prepared, 'socketio', socketIoSpelling.push),
  pushJson: (json) => jsonFrame(socketIoSpelling.push[0], json, socketIoSpelling.push[1]),
  event: (name, data) => jsonFrame(`42["${name}",`, JSON.stringify(data), ']'),
  /** Without an acknowledgement there is no place for a result; a failure comes as an `error` event. */
  reply(address, body) {
    if (address !== null) return jsonFrame(`43${address}[`, JSON.stringify(body), ']');
    return 'error' in body ? jsonFrame('42["error",', JSON.stringify(body.error), ']') : null;
  },
  batch: (pushes) => batchFrame(pushes, socketIoSpelling.batch),
};
