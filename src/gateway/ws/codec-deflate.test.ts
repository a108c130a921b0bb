import { inflateRawSync, constants } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PreparedMessage } from '../../protocol/envelope.ts';
import { plainCodec, socketIoCodec } from './codec.ts';
import { plainDeflateCodec, socketIoDeflateCodec } from './codec-deflate.ts';
import type { Frame } from './frame.ts';

const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);

/** As a client reads it: RFC 6455 and 7692, with a decompressor that knows nothing of earlier messages. */
function textOf({ bytes }: Frame): string {
  const short = bytes[1]! & 0x7f;
  const head = short === 126 ? 4 : short === 127 ? 10 : 2;
  const size = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
  expect(bytes.length).toBe(head + size);
  const payload = bytes.subarray(head);
  if (bytes[0] === 0x81) return payload.toString();
  expect(bytes[0]).toBe(0xc1);
  return inflateRawSync(Buffer.concat([payload, TAIL]), { finishFlush: constants.Z_SYNC_FLUSH }).toString();
}

function prepared(seq: number, pad: string): PreparedMessage {
  const message = { stream: 'ticker:x:A/B', epoch: 'e', seq, kind: 'update', ingestTs: 1, data: { pad } } as const;
  return new PreparedMessage(message, () => 2);
}

const pads = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.nat(200_000).map((size) => 'é1'.repeat(size / 2)),
);

test.each([
  ['plain', plainCodec, plainDeflateCodec],
  ['Socket.IO', socketIoCodec, socketIoDeflateCodec],
])('%s: whoever asks for compression reads the same texts as everybody else', (_name, codec, deflating) => {
  fc.assert(
    fc.property(fc.array(pads, { minLength: 1, maxLength: 8 }), pads, (texts, own) => {
      const messages = texts.map((text, index) => prepared(index, text));
      for (const message of messages) expect(textOf(deflating.push(message))).toBe(textOf(codec.push(message)));
      const ownJson = JSON.stringify({ stream: 's', own });
      const framesOf = (each: typeof codec): Frame[] => [
        ...messages.map((message) => each.push(message)),
        each.pushJson(ownJson),
      ];
      expect(textOf(deflating.batch(framesOf(deflating)))).toBe(textOf(codec.batch(framesOf(codec))));
    }),
    { numRuns: 60 },
  );
});

test('a message is compressed once, whatever the number of receivers and of doors', () => {
  const message = prepared(1, 'x'.repeat(500));
  const [plain, again, socketio] = [
    plainDeflateCodec.push(message),
    plainDeflateCodec.push(message),
    socketIoDeflateCodec.push(message),
  ];
  expect(again).toBe(plain);
  const body = ({ bytes, bodyStart, bodyEnd }: Frame): Buffer => bytes.subarray(bodyStart, bodyEnd);
  expect(body(socketio)).toEqual(body(plain));
  expect(plain.bytes.length).toBeLessThan(plainCodec.push(message).bytes.length / 2);
});
