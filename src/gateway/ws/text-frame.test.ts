import { expect, test } from 'vitest';
import { jsonFrame } from './frame.ts';
import type { Frame } from './frame.ts';

/** Reads one unmasked frame by RFC 6455, independently of the writer. */
function readFrame({ bytes: frame }: Frame): { first: number; text: string } {
  const short = frame[1]! & 0x7f;
  const [length, start] =
    short === 126 ? [frame.readUInt16BE(2), 4] : short === 127 ? [Number(frame.readBigUInt64BE(2)), 10] : [short, 2];
  expect(frame.length).toBe(start + length);
  return { first: frame[0]!, text: frame.toString('utf8', start) };
}

test.each([0, 1, 123, 124, 125, 126, 65_533, 65_534, 65_535, 65_536, 200_000])(
  'a receiver never loses the frame boundary: %i bytes of text survive',
  (size) => {
    const frame = jsonFrame('<', 'x'.repeat(size), '>');
    const { first, text } = readFrame(frame);
    expect(first).toBe(0x81);
    expect(text).toBe(`<${'x'.repeat(size)}>`);
    expect(frame.bytes.toString('utf8', frame.bodyStart, frame.bodyEnd)).toBe('x'.repeat(size));
  },
);

test('lengths count bytes, not characters, so that non-ASCII symbols do not cut the frame', () => {
  const json = JSON.stringify({ stream: 'ticker:binance:１２３４５６/USDT', note: '😀'.repeat(40) });
  expect(readFrame(jsonFrame('42["message",', json, ']')).text).toBe(`42["message",${json}]`);
});
