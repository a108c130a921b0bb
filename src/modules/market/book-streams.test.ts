import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { BookState, bookChecksum } from '../../protocol/book.ts';
import type { BookDelta, BookSnapshot, Level, StreamMessage } from '../../protocol/messages.ts';
import { BookDeltaData, BookSnapshotData } from '../../protocol/messages.ts';
import { BOOK_DEPTHS, BOOK_RATES_MS } from '../../protocol/streams.ts';
import { seededRandom } from '../../kernel/random.ts';
import { canonicalFromNumber } from '../../kernel/decimal-text.ts';
import { book, createMarketRig, market, state, upstream } from '../../testing/market-rig.ts';
import type { FeedBook } from './upstream.ts';

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
afterEach(() => void vi.useRealTimers());

const DECIMALS = { price: 2, size: 3 };

/** A book changes by a seed of its own, so that a failing run shrinks to few steps. */
const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ type: fc.constant('book' as const), seed: fc.nat() }) },
  { weight: 9, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 700 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('doubt' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('malformed' as const) }) },
);
const steps = (limit: number) => fc.array(step, { minLength: 1, maxLength: limit, size: 'max' });
type Step = { type: 'book'; seed: number } | { type: 'wait'; ms: number } | { type: 'doubt' } | { type: 'malformed' };

/** An exchange's book in ticks and lots: most changes touch a few levels near the top, some move the market or empty a side. */
class RandomBook {
  readonly #bids = new Map<number, number>();
  readonly #asks = new Map<number, number>();
  #middle = 5_000;

  constructor(seed: number) {
    for (let turn = 0; turn < 8; turn++) this.change(seed + turn, 100);
  }

  change(seed: number, least = 0): void {
    const random = seededRandom(seed);
    const upTo = (limit: number): number => Math.floor(random() * limit);
    if (random() < 0.03) (random() < 0.5 ? this.#bids : this.#asks).clear();
    if (random() < 0.3) this.#middle += upTo(11) - 5;
    for (let change = least + upTo(random() < 0.1 ? 300 : 12); change > 0; change--) {
      const isBid = random() < 0.5;
      const tick = this.#middle + (isBid ? -1 : 1) * (1 + upTo(random() < 0.5 ? 12 : 150));
      const side = isBid ? this.#bids : this.#asks;
      if (random() < 0.3) side.delete(tick);
      else side.set(tick, 1 + upTo(9_999));
    }
    for (const tick of this.#bids.keys()) if (tick >= this.#middle) this.#bids.delete(tick);
    for (const tick of this.#asks.keys()) if (tick <= this.#middle) this.#asks.delete(tick);
  }

  toFeed(exchangeSeq: number): FeedBook {
    const levels = (side: Map<number, number>, direction: number) =>
      [...side]
        .toSorted(([left], [right]) => (left - right) * direction)
        .slice(0, 120)
        .map(([tick, lots]) => [tick / 100, lots / 1_000] as const);
    return book(levels(this.#bids, -1), levels(this.#asks, 1), exchangeSeq);
  }
}

type Tier = { name: string; depth: number; messages: StreamMessage[] };

/** Plays the steps into one sequencer; answers every book by its exchange id, and what each tier published. */
function play(steps: readonly Step[]): { books: Map<number, FeedBook>; tiers: Tier[] } {
  const rig = createMarketRig();
  const books = new Map<number, FeedBook>();
  rig.sequencer.ingest.markets('alpha', [market('BTC/USDT', DECIMALS.price, DECIMALS.size)]);
  const tiers = BOOK_DEPTHS.flatMap((depth) =>
    Object.keys(BOOK_RATES_MS).map((rate) => {
      const name = `book:alpha:BTC/USDT:${depth}:${rate}`;
      return { name, depth, messages: rig.record(name).messages };
    }),
  );
  const source = new RandomBook(steps.length);
  let exchangeSeq = 0;
  for (const each of steps) {
    if (each.type === 'wait') vi.advanceTimersByTime(each.ms);
    else if (each.type === 'malformed') rig.sequencer.ingest.book(book([[1, Number.NaN]], []));
    else if (each.type === 'doubt') {
      rig.sequencer.ingest.upstreamState(upstream('book'), state('resyncing', 'test'));
      rig.sequencer.ingest.upstreamState(upstream('book'), state('live'));
    } else {
      exchangeSeq += 1;
      source.change(each.seed);
      const next = source.toFeed(exchangeSeq);
      books.set(exchangeSeq, next);
      rig.sequencer.ingest.book(next);
    }
  }
  vi.advanceTimersByTime(3_000);
  rig.sequencer.stop();
  return { books, tiers };
}

/** The oracle: the top of a feed's book in wire text, made from the numbers alone. */
function topOf(values: Float64Array, depth: number): Level[] {
  const levels: Level[] = [];
  for (let index = 0; index < Math.min(values.length, depth * 2); index += 2) {
    levels.push([
      canonicalFromNumber(values[index]!, DECIMALS.price),
      canonicalFromNumber(values[index + 1]!, DECIMALS.size),
    ]);
  }
  return levels;
}

function expectBook(state: BookState, at: StreamMessage, books: Map<number, FeedBook>, depth: number): void {
  const source = books.get(at.exchangeSeq!)!;
  expect(state.bids).toEqual(topOf(source.bids, depth));
  expect(state.asks).toEqual(topOf(source.asks, depth));
}

it('a snapshot and the deltas after it are the exchange`s own top of book at every exchange id, in every tier', () => {
  let checksums = 0;
  fc.assert(
    fc.property(steps(60), (run) => {
      const { books, tiers } = play(run);
      for (const { messages, depth } of tiers) {
        const copy = new BookState();
        let previous: StreamMessage | undefined;
        for (const message of messages) {
          const follows = message.epoch === previous?.epoch && message.seq === previous.seq + 1;
          expect(follows || (message.seq === 1 && message.kind === (previous ? 'snapshot' : message.kind))).toBe(true);
          previous = message;
          if (message.kind === 'state') continue;
          if (message.kind === 'snapshot') copy.reset(BookSnapshotData.parse(message.data) as BookSnapshot);
          else copy.apply(BookDeltaData.parse(message.data) as BookDelta);
          expectBook(copy, message, books, depth);
          const { checksum } = message.data as { checksum?: number };
          if (checksum === undefined) continue;
          checksums += 1;
          expect(checksum).toBe(bookChecksum(copy.bids, copy.asks));
        }
      }
    }),
    { numRuns: 100, seed: 20260901 },
  );
  expect(checksums).toBeGreaterThan(500);
});

it('no tier lags behind the newest book: after the pace allows it, every subscriber has it', () => {
  fc.assert(
    fc.property(steps(40), (run) => {
      const { books, tiers } = play(run.filter(({ type }) => type === 'book' || type === 'wait'));
      const newest = Math.max(0, ...books.keys());
      if (newest === 0) return;
      for (const { messages } of tiers) {
        expect(messages.findLast(({ kind }) => kind !== 'state')!.exchangeSeq).toBe(newest);
      }
    }),
    { numRuns: 40, seed: 7 },
  );
});

it('keeps levels apart whose prices differ only past the market`s precision, and never writes a size that is there as zero', () => {
  const rig = createMarketRig();
  rig.sequencer.ingest.markets('alpha', [market('BTC/USDT', 0, 0)]);
  const { messages } = rig.record('book:alpha:BTC/USDT:10:100ms');
  const close = [
    [0.1 + 0.2, 1e-12],
    [0.3, 1 / 3],
  ] as const;
  rig.sequencer.ingest.book(book(close, [[1e20, 5e-7]]));
  const { bids, asks } = BookSnapshotData.parse(messages[0]!.data);
  expect(bids).toEqual([
    ['0.30000000000000004', '0.000000000001'],
    ['0.3', '0.3333333333333333'],
  ]);
  expect(asks).toEqual([['100000000000000000000', '0.0000005']]);
  rig.sequencer.stop();
});
