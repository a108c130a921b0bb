import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BatchPacker, BatchUnpacker } from './batch-wire.ts';
import type { ThreadEvent } from './thread-protocol.ts';

const key = fc.constantFrom('book:x:A/B', 'book:x:C/D', 'book:x:E/F');
const side = fc.array(fc.double({ min: 1e-9, max: 1e9, noNaN: true }), { maxLength: 12 }).map((values) => {
  return Float64Array.from(values.slice(0, values.length & ~1));
});
const stamp = fc.option(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), { nil: undefined });
const book = fc
  .record({ key, bids: side, asks: side, exchangeSeq: stamp, exchangeTs: stamp, ingestTs: fc.nat() })
  .map(({ exchangeSeq, exchangeTs, ...rest }): ThreadEvent => ({
    type: 'book',
    ...rest,
    ...(exchangeSeq === undefined ? {} : { exchangeSeq }),
    ...(exchangeTs === undefined ? {} : { exchangeTs }),
  }));
const fresh = key.map((each): ThreadEvent => ({ type: 'fresh', key: each }));
const batches = fc.array(fc.array(fc.oneof(book, fresh), { maxLength: 8 }), { maxLength: 8 });

it('nothing of a batch is lost, changed or given to another market on its way to the main thread', () => {
  fc.assert(
    fc.property(batches, (run) => {
      const packer = new BatchPacker();
      const unpacker = new BatchUnpacker();
      run.forEach((events, index) => {
        const taken: ThreadEvent[] = [];
        const packed = structuredClone(packer.pack({ batch: index + 1, events }));
        expect(unpacker.unpack(packed, (event) => taken.push(event))).toBe(index + 1);
        const isBook = ({ type }: ThreadEvent): boolean => type === 'book';
        expect(taken).toEqual([...events.filter((event) => !isBook(event)), ...events.filter(isBook)]);
      });
    }),
    { seed: 5 },
  );
});

it('refuses a book whose market nobody has named rather than guess', () => {
  const packer = new BatchPacker();
  const event: ThreadEvent = {
    type: 'book',
    key: 'k',
    bids: new Float64Array(),
    asks: new Float64Array(),
    ingestTs: 0,
  };
  packer.pack({ batch: 1, events: [event] });
  const second = packer.pack({ batch: 2, events: [event] });
  expect(() => new BatchUnpacker().unpack(second, () => undefined)).toThrow('without a name');
});
