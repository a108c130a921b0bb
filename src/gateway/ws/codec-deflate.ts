import { constants, deflateRawSync } from 'node:zlib';
import type { PreparedMessage } from '../../protocol/envelope.ts';
import { batchPieces, plainCodec, plainSpelling, socketIoCodec, socketIoSpelling } from './codec.ts';
import type { Codec, Spelling } from './codec.ts';
import { Frame } from './frame.ts';
import { textFrameHead } from './text-frame.ts';

/**
 * Compressed once, read by all: nothing refers back beyond its own text, so that pieces can be put together in any order. The
 * small window and memory make a compressor cheap to set up, which is most of the cost for a message of some hundred bytes.
 */
const DEFLATE = { windowBits: 13, memLevel: 5, level: 3, finishFlush: constants.Z_SYNC_FLUSH } as const;
/** Ends each piece on a byte boundary; RFC 7692 leaves the last one of a message out. */
const BOUNDARY = Buffer.from([0x00, 0x00, 0xff, 0xff]);
const STORED_LIMIT_BYTES = 0xffff;

/** Without its boundary. */
function deflated(text: string): Buffer {
  const bytes = deflateRawSync(text, DEFLATE);
  return bytes.subarray(0, bytes.length - BOUNDARY.length);
}

/** What a door puts around JSON, as pieces; an empty text is no piece. */
function fixedPieces(text: string): Buffer[] {
  return text === '' ? [] : [deflated(text), BOUNDARY];
}

/** As it is, in a form that fits between compressed pieces: what only one client gets is not worth a compression. */
function stored(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += STORED_LIMIT_BYTES) {
    const part = bytes.subarray(at, at + STORED_LIMIT_BYTES);
    const head = Buffer.alloc(5);
    head.writeUInt16LE(part.length, 1);
    head.writeUInt16LE(part.length ^ 0xffff, 3);
    pieces.push(head, part);
  }
  return pieces;
}

/** `pieces` end with a boundary, which is left out. `body` is the place of the compressed JSON among them. */
function compressedFrame(pieces: readonly Buffer[], bodyAt = -1): Frame {
  const payloadBytes = pieces.reduce((sum, piece) => sum + piece.length, 0) - BOUNDARY.length;
  const head = textFrameHead(payloadBytes, true);
  const bytes = Buffer.concat([head, ...pieces], head.length + payloadBytes);
  if (bodyAt === -1) return new Frame(bytes);
  const before = pieces.slice(0, bodyAt).reduce((sum, piece) => sum + piece.length, head.length);
  return new Frame(bytes, before, before + pieces[bodyAt]!.length);
}

/** The same JSON is compressed once for both doors. */
function deflatedJson(prepared: PreparedMessage): Buffer {
  return (prepared.frames.deflated ??= deflated(prepared.json)) as Buffer;
}

/** For clients that have negotiated permessage-deflate: shared pushes are compressed, what belongs to one client is not. */
function deflateCodec(plain: Codec, spelling: Spelling, index: number): Codec {
  const [prefix, suffix] = spelling.push.map(fixedPieces) as [Buffer[], Buffer[]];
  const [batchPrefix, batchSuffix] = spelling.batch.map(fixedPieces) as [Buffer[], Buffer[]];
  const comma = fixedPieces(',');
  const key = `${plain.door}Deflated`;
  const compressed = new WeakSet<Frame>();
  return {
    ...plain,
    index,
    push(prepared) {
      const known = prepared.frames[key] as Frame | undefined;
      if (known !== undefined) return known;
      const frame = compressedFrame([...prefix, deflatedJson(prepared), BOUNDARY, ...suffix], prefix.length);
      compressed.add(frame);
      prepared.frames[key] = frame;
      return frame;
    },
    batch(pushes) {
      const bodies = pushes.map((push) => {
        const body = push.bytes.subarray(push.bodyStart, push.bodyEnd);
        return compressed.has(push) ? [body, BOUNDARY] : stored(body);
      });
      return compressedFrame([...batchPrefix, ...batchPieces(bodies, comma), ...batchSuffix]);
    },
  };
}

export const plainDeflateCodec = deflateCodec(plainCodec, plainSpelling, 2);
export const socketIoDeflateCodec = deflateCodec(socketIoCodec, socketIoSpelling, 3);
