import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { seededRandom } from '../../kernel/random.ts';
import { RETENTION_LIMITS } from '../../protocol/limits.ts';
import type { Candles, StreamMessage, StreamPosition, Trade } from '../../protocol/messages.ts';
import type { MarketRig } from '../../testing/market-rig.ts';
import {
  RIG_LINGER_MS,
  book,
  cacheOn,
  createMarketRig,
  market,
  recorder,
  rigClock,
  state,
  upstream,
} from '../../testing/market-rig.ts';
import type { StreamCache } from './stream-cache.ts';

const BOOK = 'book:alpha:BTC/USDT:10:100ms';
const TRADES = 'trades:alpha:BTC/USDT';

let rig: MarketRig;
let cache: StreamCache;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
  rig = createMarketRig();
  rig.sequencer.ingest.markets('alpha', [market('BTC/USDT')]);
  cache = cacheOn(rig.bus);
});

afterEach(() => {
  cache.stop();
  rig.sequencer.stop();
  expect(vi.getTimerCount(), 'timers left behind').toBe(0);
  vi.useRealTimers();
});

function sendBook(size: number, exchangeSeq = size): void {
  rig.sequencer.ingest.book(book([[100, size]], [[101, 1]], exchangeSeq));
}

describe('leases', () => {
  it('has the head at once on a bus in memory, and is ready', async () => {
    const { view, ready } = cache.lease(BOOK, recorder());
    expect(view).toMatchObject({ position: { seq: 0 }, state: { reason: 'starting' } });
    expect(view.snapshot()).toBeNull();
    await ready;
  });

  it('holds a stream once for many, lingers after the last, and then gives it up', () => {
    const first = cache.lease(BOOK, recorder());
    const second = cache.lease(BOOK, recorder());
    expect(first.view).toBe(second.view);
    first.release();
    first.release();
    vi.advanceTimersByTime(RIG_LINGER_MS * 2);
    expect(rig.wanted.size).toBe(1);
    second.release();
    vi.advanceTimersByTime(RIG_LINGER_MS - 1);
    expect(rig.wanted.size).toBe(1);
    const third = cache.lease(BOOK, recorder());
    expect(third.view).toBe(first.view);
    vi.advanceTimersByTime(RIG_LINGER_MS * 2);
    expect(rig.wanted.size).toBe(1);
    third.release();
    vi.advanceTimersByTime(RIG_LINGER_MS);
    expect(rig.wanted.size).toBe(0);
  });

  it('goes on past a listener that throws, and past one that leaves or joins while it is told', () => {
    const last = recorder();
    const late = recorder();
    const fault = {
      onMessage: () => {
        throw new Error('listener');
      },
      onReset: () => undefined,
    };
    cache.lease(BOOK, fault);
    const leaving = cache.lease(BOOK, { onMessage: () => leaving.release(), onReset: () => undefined });
    cache.lease(BOOK, {
      onMessage: ({ message }) => {
        if (message.seq === 1) cache.lease(BOOK, late);
      },
      onReset: () => undefined,
    });
    const gone = recorder();
    const gate: { release?: () => void } = {};
    cache.lease(BOOK, { onMessage: () => gate.release?.(), onReset: () => undefined });
    const unheard = cache.lease(BOOK, gone);
    gate.release = () => unheard.release();
    cache.lease(BOOK, last);
    sendBook(1);
    expect(gone.heard).toEqual([]);
    expect(last.heard).toEqual(['1 snapshot', '2 state']);
    expect(late.heard).toEqual(['2 state']);
  });
});

describe('the copy', () => {
  it('is shared: one prepared snapshot per position, equal to what the sequencer would answer', () => {
    const { view } = cache.lease(BOOK, recorder());
    sendBook(1);
    vi.advanceTimersByTime(200);
    sendBook(2);
    const snapshot = view.snapshot()!;
    expect(view.snapshot()).toBe(snapshot);
    expect(snapshot.message).toEqual(rig.sequencer.source.open(BOOK)!.snapshot);
    expect(snapshot.message.seq).toBe(3);
    vi.advanceTimersByTime(200);
    sendBook(3);
    expect(view.snapshot()).not.toBe(snapshot);
  });

  it('equals the sequencer`s own snapshot at every position of every channel', () => {
    const names = [BOOK, TRADES, 'ticker:alpha:BTC/USDT', 'candles:alpha:BTC/USDT:1m', 'venue:alpha', 'markets:alpha'];
    const random = seededRandom(3);
    let resets = 0;
    const pairs: [StreamMessage | null, StreamMessage | null][] = [];
    for (const name of names) {
      const lease = cache.lease(name, {
        onMessage: () => {
          // Compared outside: what a listener throws is caught.
          pairs.push([lease.view.snapshot()?.message ?? null, rig.sequencer.source.open(name)!.snapshot]);
        },
        onReset: () => void (resets += 1),
      });
    }
    let id = 0;
    for (let step = 0; step < 3_000; step++) {
      feedSomething(random, () => (id += 1));
      vi.advanceTimersByTime(Math.floor(random() * 120));
    }
    expect(resets).toBe(0);
    expect(pairs.length).toBeGreaterThan(2_500);
    for (const [ours, theirs] of pairs) expect(ours).toEqual(theirs);
  });

  it('brings a whole new epoch in order, without a reset', () => {
    const listener = recorder();
    const { view } = cache.lease(BOOK, listener);
    sendBook(1);
    rig.sequencer.ingest.upstreamState(upstream('book'), state('down', 'x'));
    expect(view.state.status).toBe('down');
    rig.sequencer.ingest.upstreamState(upstream('book'), state('live'));
    sendBook(2);
    expect(listener.heard).toEqual(['1 snapshot', '2 state', '3 state', '1 snapshot', '2 state']);
    expect(view.state.status).toBe('live');
  });
});

/** One random event of any channel, doubts included. */
function feedSomething(random: () => number, nextId: () => number): void {
  const { ingest } = rig.sequencer;
  const base = { venue: 'alpha', symbol: 'BTC/USDT', ingestTs: rigClock.now() };
  const price = (100 + random()).toFixed(2);
  const dice = random();
  if (dice < 0.4) {
    const levels = (direction: number) =>
      Array.from(
        { length: 12 },
        (_, rank) =>
          [100 + direction * (rank + 1 + Math.floor(random() * 2) * 0.5), 1 + Math.floor(random() * 3)] as const,
      );
    ingest.book(book(levels(-1), levels(1), nextId()));
  } else if (dice < 0.6) {
    const trade = () => ({ id: String(nextId()), price, size: '1', side: 'buy' as const, ts: rigClock.now() });
    ingest.trades({ ...base, trades: Array.from({ length: 1 + Math.floor(random() * 40) }, trade) });
  } else if (dice < 0.75) ingest.ticker({ ...base, fields: { last: price, bid: price } });
  else if (dice < 0.9) {
    const ts = Math.floor(rigClock.now() / 60_000) * 60_000 - Math.floor(random() * 3) * 60_000;
    const candles = [
      { ts, open: price, high: '200', low: '1', close: price, volume: String(1 + Math.floor(random() * 5)) },
    ];
    ingest.candles({ ...base, timeframe: '1m', candles, history: random() < 0.2 });
  } else if (dice < 0.95) {
    ingest.venueHealth('alpha', {
      source: 'simulation',
      upstreams: nextId(),
      messagesPerSecond: 1,
      lagMs: 1,
      lastMessageTs: null,
      reconnects: 0,
      circuit: 'closed',
    });
  } else if (dice < 0.97) {
    const channel = (['book', 'trades', 'ticker'] as const)[Math.floor(random() * 3)]!;
    ingest.upstreamState(upstream(channel), state(random() < 0.5 ? 'stale' : 'down', 'test'));
    ingest.upstreamState(upstream(channel), state('live'));
  } else if (dice < 0.98) ingest.markets('alpha', [market('BTC/USDT'), market(`X${nextId()}/USDT`)]);
}

describe('resume', () => {
  it('answers exactly the missed messages or nothing: 10,000 resumes from random places, 0 silent gaps', () => {
    const random = seededRandom(20260902);
    const names = [BOOK, TRADES, 'ticker:alpha:BTC/USDT', 'candles:alpha:BTC/USDT:1m'];
    const limits = { messages: 200, bytes: 60_000, ageMs: 20_000 };
    const small = cacheOn(rig.bus, limits);
    const sources = names.map((name) => {
      const listener = recorder();
      return { listener, view: small.lease(name, listener).view };
    });
    const outcomes = { whole: 0, refused: 0, empty: 0 };
    let id = 0;
    for (let resumes = 0; resumes < 10_000; resumes++) {
      for (let events = Math.floor(random() * 4); events > 0; events--) feedSomething(random, () => (id += 1));
      if (random() < 0.6) vi.advanceTimersByTime(Math.floor(random() * (random() < 0.02 ? 30_000 : 150)));
      const { listener, view } = sources[Math.floor(random() * sources.length)]!;
      const all = listener.messages.map(({ message }) => message);
      const from = Math.max(0, all.length - 1 - Math.floor(random() ** 3 * 300));
      const since =
        all.length === 0 || random() < 0.05 ? madeUpPosition(view.position!, random) : positionOf(all[from]!);
      const missed = view.after(since);
      if (missed === null) {
        outcomes.refused += 1;
        continue;
      }
      expect(since.epoch).toBe(view.position!.epoch);
      const expected = all.filter(({ epoch, seq }) => epoch === since.epoch && seq > since.seq);
      expect(missed.map(({ message }) => message)).toEqual(expected);
      expect(since.seq + missed.length).toBe(view.position!.seq);
      outcomes[missed.length === 0 ? 'empty' : 'whole'] += 1;
    }
    expect(outcomes.whole).toBeGreaterThan(2_000);
    expect(outcomes.refused).toBeGreaterThan(500);
    for (const { view } of sources)
      expect(view.after({ epoch: view.position!.epoch, seq: view.position!.seq + 1 })).toBeNull();
    small.stop();
  });

  it('keeps no more than the limits in messages, bytes and age, and refuses what is older', () => {
    const { view } = cache.lease(TRADES, recorder());
    rig.sequencer.ingest.upstreamState(upstream('trades'), state('live'));
    const send = (id: number): void => {
      const trades: Trade[] = [{ id: String(id), price: '1', size: '1', side: null, ts: rigClock.now() }];
      rig.sequencer.ingest.trades({ venue: 'alpha', symbol: 'BTC/USDT', trades, ingestTs: rigClock.now() });
      vi.advanceTimersByTime(50);
    };
    for (let id = 0; id < 2_000; id++) send(id);
    const { epoch, seq } = view.position!;
    expect(view.after({ epoch, seq: seq - RETENTION_LIMITS.messages })).toHaveLength(RETENTION_LIMITS.messages);
    expect(view.after({ epoch, seq: seq - RETENTION_LIMITS.messages - 1 })).toBeNull();
    vi.advanceTimersByTime(RETENTION_LIMITS.ageMs - 1_000);
    expect(view.after({ epoch, seq: seq - 10 })).toHaveLength(10);
    vi.advanceTimersByTime(2_000);
    expect(view.after({ epoch, seq: seq - 10 })).toBeNull();
    expect(view.after({ epoch, seq })).toEqual([]);
  });
});

function positionOf({ epoch, seq }: StreamMessage): StreamPosition {
  return { epoch, seq };
}

function madeUpPosition({ epoch, seq }: StreamPosition, random: () => number): StreamPosition {
  const made = [
    { epoch: 'never', seq },
    { epoch, seq: seq + 1 + Math.floor(random() * 10) },
    { epoch, seq: -1 },
    { epoch, seq: Math.floor(random() * 1e9) },
  ];
  return made[Math.floor(random() * made.length)]!;
}

it('a candle update that the sequencer evicts is evicted here too', () => {
  const { view } = cache.lease('candles:alpha:BTC/USDT:1m', recorder());
  const candle = (index: number) => ({
    ts: 60_000 * (index + 1),
    open: '1',
    high: '1',
    low: '1',
    close: '1',
    volume: String(index),
  });
  for (let index = 0; index < 250; index++) {
    rig.sequencer.ingest.candles({
      venue: 'alpha',
      symbol: 'BTC/USDT',
      timeframe: '1m',
      candles: [candle(index)],
      history: false,
      ingestTs: 1,
      exchangeTs: 60_000 * (index + 1),
    });
  }
  const { candles } = view.snapshot()!.message.data as Candles;
  expect(candles).toHaveLength(100);
  expect(candles[0]!.ts).toBe(60_000 * 151);
});
