import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { PackedBatch } from './batch-wire.ts';
import { BatchPacker, BatchUnpacker, buffersOf } from './batch-wire.ts';
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
const batches = fc.array(fc.array(fc.oneof(book, fresh), { maxLength: 24 }), { maxLength: 8 });

const cross = (packed: PackedBatch): PackedBatch => structuredClone(packed, { transfer: buffersOf(packed) });
const isBook = ({ type }: ThreadEvent): boolean => type === 'book';

it('nothing of a batch is lost, changed or given to another market on its way to the main thread, nor by the batches that follow', () => {
  fc.assert(
    // A thread that ends is replaced, and both ends begin anew: what it has posted stays as it was.
    fc.property(fc.array(batches, { maxLength: 2 }), (threads) => {
      const taken: ThreadEvent[] = [];
      const expected: ThreadEvent[] = [];
      for (const run of threads) {
        const packer = new BatchPacker();
        const unpacker = new BatchUnpacker();
        run.forEach((events, index) => {
          const packed = packer.pack({ batch: index + 1, events });
          expect(unpacker.unpack(cross(packed), (event) => taken.push(event))).toBe(index + 1);
          expected.push(...events.filter((event) => !isBook(event)), ...events.filter(isBook));
        });
      }
      expect(taken).toEqual(expected);
    }),
    { seed: 5 },
  );
});

function bookOf(market: number, levels: number): ThreadEvent & { type: 'book' } {
  const values = Float64Array.from({ length: levels * 2 }, (_, index) => market + index);
  return { type: 'book', key: `book:x:${market}`, bids: values, asks: values, ingestTs: market };
}

it('a quiet market does not keep the books of a whole busy venue in memory', () => {
  const events = Array.from({ length: 300 }, (_, market) => bookOf(market, 100));
  const held: number[] = [];
  const unpacker = new BatchUnpacker();
  const packer = new BatchPacker();
  for (const batch of [1, 2]) {
    unpacker.unpack(cross(packer.pack({ batch, events })), (event) => {
      if (event.type !== 'book') return;
      expect(event.asks.buffer).toBe(event.bids.buffer);
      held.push(event.bids.buffer.byteLength);
    });
  }
  expect(held).toHaveLength(600);
  expect(Math.max(...held)).toBeLessThan(9 * 400 * Float64Array.BYTES_PER_ELEMENT);
});

it("a book that was posted is out of the thread's reach, and the book that it was made from is not", () => {
  const packer = new BatchPacker();
  const unpacker = new BatchUnpacker();
  const event = bookOf(1, 2);
  let taken: ThreadEvent | undefined;
  for (const batch of [1, 2]) {
    const packed = packer.pack({ batch, events: [event] });
    unpacker.unpack(cross(packed), (each) => (taken = each));
    const left = packed instanceof Float64Array ? [packed] : packed.books;
    expect(left.map(({ length }) => length)).toEqual([0]);
  }
  event.bids.fill(0);
  expect(taken).toEqual(bookOf(1, 2));
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
