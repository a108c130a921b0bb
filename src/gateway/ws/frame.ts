import { textFrameHead } from './text-frame.ts';

/** One whole WebSocket message, ready for any socket behind its door, with the place of its JSON. */
export class Frame {
  readonly bytes: Buffer;
  /** The JSON is `bytes.subarray(bodyStart, bodyEnd)`. */
  readonly bodyStart: number;
  readonly bodyEnd: number;
  /** The egress's: its place in the table of one round. */
  round = -1;
  place = -1;

  constructor(bytes: Buffer, bodyStart = 0, bodyEnd = bytes.length) {
    this.bytes = bytes;
    this.bodyStart = bodyStart;
    this.bodyEnd = bodyEnd;
  }
}

/** `prefix` and `suffix` are what a door puts around JSON; both must be ASCII. */
export function jsonFrame(prefix: string, json: string, suffix: string): Frame {
  const jsonBytes = Buffer.byteLength(json);
  const head = textFrameHead(prefix.length + jsonBytes + suffix.length);
  const bytes = Buffer.allocUnsafe(head.length + prefix.length + jsonBytes + suffix.length);
  head.copy(bytes);
  const bodyStart = head.length + bytes.write(prefix, head.length, 'latin1');
  const bodyEnd = bodyStart + bytes.write(json, bodyStart, 'utf8');
  bytes.write(suffix, bodyEnd, 'latin1');
  return new Frame(bytes, bodyStart, bodyEnd);
}
