import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createMemoryBus } from '../../platform/bus-memory.ts';
import type { BusSink, MarketBus } from '../../platform/bus.ts';
import { BookState, bookChecksum } from '../../protocol/book.ts';
import type { BookDelta, BookSnapshot, StreamMessage } from '../../protocol/messages.ts';
import { cacheOn, recorder } from '../../testing/market-rig.ts';

const BOOK = 'book:alpha:BTC/USDT:10:100ms';

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
afterEach(() => {
  expect(vi.getTimerCount(), 'timers left behind').toBe(0);
  vi.useRealTimers();
});

/** A bus whose deliveries the test makes itself. */
function brokenBus() {
  const sinks: BusSink[] = [];
  const opened: string[] = [];
  const bus: MarketBus = {
    ...createMemoryBus(),
    open(stream, sink) {
      opened.push(stream);
      sinks.push(sink);
      return { close: () => void opened.splice(opened.indexOf(stream), 1) };
    },
  };
  return { bus, opened, sink: () => sinks.at(-1)!, first: () => sinks[0]! };
}
const live = { status: 'live', since: 1, reason: '' } as const;
const bids: [string, string][] = [['100.00', '1']];
const snapshot = (epoch: string, seq: number, checksum = bookChecksum(bids, [])): StreamMessage => ({
  stream: BOOK,
  epoch,
  seq,
  kind: 'snapshot',
  ingestTs: 1,
  data: { bids, asks: [], checksum } satisfies BookSnapshot,
});
const delta = (epoch: string, seq: number, checksum?: number): StreamMessage => ({
  stream: BOOK,
  epoch,
  seq,
  kind: 'delta',
  ingestTs: 1,
  data: {
    bids: [['99.00', String(seq)]],
    asks: [],
    ...(checksum === undefined ? {} : { checksum }),
  } satisfies BookDelta,
});

it('says a loss and the recovery, and shows nothing in between', () => {
  const broken = brokenBus();
  const local = cacheOn(broken.bus);
  const listener = recorder();
  const { view } = local.lease(BOOK, listener);
  broken.sink()({
    type: 'head',
    stream: BOOK,
    head: { position: { epoch: 'a', seq: 4 }, state: live, snapshot: snapshot('a', 4) },
  });
  broken.sink()({ type: 'message', message: delta('a', 5) });
  broken.sink()({ type: 'lost', stream: BOOK, reason: 'cable' });
  expect(view).toMatchObject({ state: { status: 'resyncing', reason: 'cable' } });
  expect(view.snapshot()).toBeNull();
  expect(view.after({ epoch: 'a', seq: 4 })).toBeNull();
  broken.sink()({ type: 'message', message: delta('a', 6) });
  broken.sink()({
    type: 'head',
    stream: BOOK,
    head: { position: { epoch: 'a', seq: 9 }, state: live, snapshot: snapshot('a', 9) },
  });
  broken.sink()({ type: 'message', message: delta('a', 10) });
  expect(listener.heard).toEqual(['5 delta', 'reset resyncing empty', 'reset live whole', '10 delta']);
  expect(view.after({ epoch: 'a', seq: 8 })).toBeNull();
  expect(view.after({ epoch: 'a', seq: 9 })).toHaveLength(1);
  local.stop();
});

it.each([
  ['a hole in the sequence', delta('a', 6)],
  ['a repeated message', delta('a', 4)],
  ['another epoch without its snapshot', delta('b', 1)],
  ['an epoch that is joined in the middle', snapshot('b', 3)],
  ['a checksum that differs', delta('a', 5, 1)],
  ['data that cannot be applied', { ...delta('a', 5), data: null }],
])('believes nothing after %s, and asks for a new head without letting go of the stream', (_, message) => {
  const broken = brokenBus();
  const local = cacheOn(broken.bus);
  const listener = recorder();
  const { view } = local.lease(BOOK, listener);
  broken.sink()({
    type: 'head',
    stream: BOOK,
    head: { position: { epoch: 'a', seq: 4 }, state: live, snapshot: snapshot('a', 4) },
  });
  broken.sink()({ type: 'message', message });
  expect(listener.heard).toEqual(['reset resyncing empty']);
  vi.advanceTimersByTime(1_000);
  expect(broken.opened).toEqual([BOOK]);
  broken.sink()({
    type: 'head',
    stream: BOOK,
    head: { position: { epoch: 'a', seq: 7 }, state: live, snapshot: snapshot('a', 7) },
  });
  // What the old subscription still says is not heard.
  broken.first()({ type: 'message', message: delta('a', 8) });
  expect(listener.heard).toEqual(['reset resyncing empty', 'reset live whole']);
  const copy = new BookState();
  copy.reset(view.snapshot()!.message.data as BookSnapshot);
  expect(copy.bids).toEqual(bids);
  local.stop();
});

it('asks once a second at most when every head is wrong, and is ready only with a right one', async () => {
  const broken = brokenBus();
  let opens = 0;
  const counting: MarketBus = {
    ...broken.bus,
    open(stream, sink) {
      opens += 1;
      const wrong = opens <= 5 ? 1 : undefined;
      sink({
        type: 'head',
        stream,
        head: { position: { epoch: 'a', seq: 1 }, state: live, snapshot: snapshot('a', 1, wrong) },
      });
      return { close: () => undefined };
    },
  };
  const local = cacheOn(counting);
  let isReady = false;
  const { view, ready } = local.lease(BOOK, recorder());
  void ready.then(() => (isReady = true));
  await vi.advanceTimersByTimeAsync(2_500);
  expect(opens).toBe(4);
  expect(isReady).toBe(false);
  expect(view.snapshot()).toBeNull();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(opens).toBe(6);
  expect(isReady).toBe(true);
  local.stop();
});
