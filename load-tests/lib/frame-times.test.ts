import { expect, test } from 'vitest';
import { readFrameTimes } from './frame-times.ts';

const at = (text: string): ReturnType<typeof readFrameTimes> => {
  const frame = Buffer.from(`junk${text}junk`);
  return readFrameTimes(frame, 4, frame.length - 4);
};
const envelope = {
  stream: 'book:x:Ａ/USDT:10:1s',
  epoch: 'e',
  seq: 7,
  kind: 'delta',
  exchangeTs: 1,
  ingestTs: 1700000000123,
  data: { sentTs: 5 },
  sentTs: 1700000000456,
};

test('times are read from the bytes as they would be from the JSON', () => {
  expect(at(JSON.stringify(envelope))).toEqual({ channel: 'book', ingestTs: 1700000000123, sentTs: 1700000000456 });
});

test('what carries an old ingest time, or none, is no sample', () => {
  for (const kind of ['snapshot', 'state']) expect(at(JSON.stringify({ ...envelope, kind }))).toBeUndefined();
  expect(at('{"event":"heartbeat","data":{"ingestTs":1}}')).toBeUndefined();
  expect(at('{"id":1,"result":[]}')).toBeUndefined();
  expect(at('')).toBeUndefined();
});
