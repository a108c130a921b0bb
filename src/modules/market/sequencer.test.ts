import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { StreamMessage } from '../../protocol/messages.ts';
import { EnvelopeSchema, StreamStateData, TradesData } from '../../protocol/messages.ts';
import type { MarketRig } from '../../testing/market-rig.ts';
import { book, createMarketRig, market, rigClock, state, upstream } from '../../testing/market-rig.ts';
import type { FeedTrade } from './upstream.ts';

const BOOK = 'book:alpha:BTC/USDT:10:100ms';
const TRADES = 'trades:alpha:BTC/USDT';

let rig: MarketRig;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
  rig = createMarketRig();
  rig.sequencer.ingest.markets('alpha', [market('BTC/USDT'), market('ETH/USDT')]);
});

afterEach(() => {
  rig.sequencer.stop();
  expect(vi.getTimerCount(), 'timers left behind').toBe(0);
  vi.useRealTimers();
});

function kinds(messages: readonly StreamMessage[]): string[] {
  return messages.map(
    ({ kind, seq, data }) => `${seq} ${kind}${kind === 'state' ? ` ${StreamStateData.parse(data).status}` : ''}`,
  );
}

function trade(id: string, price = '100.5', extra: Partial<FeedTrade> = {}): FeedTrade {
  return { id, price, size: '0.1', side: 'buy', ts: rigClock.now(), ...extra };
}

function sendTrades(...trades: FeedTrade[]): void {
  rig.sequencer.ingest.trades({ venue: 'alpha', symbol: 'BTC/USDT', trades, ingestTs: rigClock.now() });
}

function tradeIds(message: StreamMessage): string[] {
  return TradesData.parse(message.data).trades.map((each) => each.id);
}

describe('demand', () => {
  it('wants an upstream once for many streams and gives it back after the last', () => {
    const first = rig.record(BOOK);
    const second = rig.record('book:alpha:BTC/USDT');
    const third = rig.record('book:alpha:BTC/USDT:100:1s');
    expect([...rig.wanted]).toEqual(['book:alpha:BTC/USDT']);
    first.close();
    third.close();
    expect(rig.wanted.size).toBe(1);
    second.close();
    expect(rig.wanted.size).toBe(0);
  });

  it('wants the trades too where candles are built from them, and keeps them for the candles alone', () => {
    const trades = rig.record('trades:beta:BTC/USDT');
    const candles = rig.record('candles:beta:BTC/USDT:1m');
    expect([...rig.wanted].toSorted()).toEqual(['candles:beta:BTC/USDT:1m', 'trades:beta:BTC/USDT']);
    trades.close();
    expect(rig.wanted.has('trades:beta:BTC/USDT')).toBe(true);
    candles.close();
    expect(rig.wanted.size).toBe(0);
  });

  it('wants nothing for the venue and its markets, nor for names that are not ours', () => {
    for (const name of ['venue:alpha', 'markets:alpha']) expect(rig.sequencer.source.open(name)).not.toBeNull();
    for (const name of [
      'ticker:gamma:BTC/USDT',
      'ticker:alpha:NEVER/USDT',
      'markets:gamma',
      'nonsense',
      'book:alpha:BTC/USDT:11',
    ]) {
      expect(rig.sequencer.source.open(name), name).toBeNull();
    }
    expect(rig.wanted.size).toBe(0);
  });
});

describe('epochs and doubt', () => {
  it('starts with a snapshot and then live, so that nobody sees live without data', () => {
    const { deliveries, messages } = rig.record(BOOK);
    expect(deliveries[0]).toMatchObject({
      head: { position: { seq: 0 }, state: { status: 'resyncing', reason: 'starting' }, snapshot: null },
    });
    rig.sequencer.ingest.upstreamState(upstream('book'), state('live'));
    expect(messages).toEqual([]);
    rig.sequencer.ingest.book(book([[100, 1]], [[101, 1]], 7));
    expect(kinds(messages)).toEqual(['1 snapshot', '2 state live']);
    expect(messages[0]).toMatchObject({ exchangeSeq: 7, exchangeTs: rigClock.now(), ingestTs: rigClock.now() });
    for (const message of messages) EnvelopeSchema.parse({ ...message, sentTs: 1 });
  });

  it('says each doubt once and begins a new epoch with the first data after it: a frozen price is never shown as live', () => {
    const { messages } = rig.record(BOOK);
    rig.sequencer.ingest.book(book([[100, 1]], [[101, 1]]));
    rig.sequencer.ingest.upstreamState(upstream('book'), state('stale', 'silent'));
    rig.sequencer.ingest.upstreamState(upstream('book'), state('stale', 'silent'));
    rig.sequencer.ingest.upstreamState(upstream('book'), state('resyncing', 'reconnecting'));
    rig.sequencer.ingest.book(book([[90, 1]], [[91, 1]]));
    rig.sequencer.ingest.upstreamState(upstream('book'), state('live'));
    expect(kinds(messages)).toEqual(['1 snapshot', '2 state live', '3 state stale', '4 state resyncing']);
    rig.sequencer.ingest.book(book([[95, 1]], [[96, 1]]));
    expect(kinds(messages.slice(4))).toEqual(['1 snapshot', '2 state live']);
    expect(messages[4]).toMatchObject({ data: { bids: [['95.00', '1.00000']] } });
    expect(messages[4]!.epoch).not.toBe(messages[3]!.epoch);
  });

  it('passes the doubt about a venue to all its streams and to no other venue', () => {
    const alpha = [rig.record(BOOK), rig.record('ticker:alpha:BTC/USDT'), rig.record(TRADES)];
    const beta = rig.record('trades:beta:BTC/USDT');
    const venue = rig.record('venue:alpha');
    rig.sequencer.ingest.venueState('alpha', state('down', 'maintenance'));
    for (const { messages } of alpha)
      expect(messages.at(-1)).toMatchObject({ data: { status: 'down', reason: 'maintenance' } });
    expect(beta.messages).toEqual([]);
    vi.advanceTimersByTime(1_000);
    expect(venue.messages.at(-1)).toMatchObject({ kind: 'update', data: { status: 'down' } });
    // Who comes now is told at once.
    expect(rig.sequencer.source.open('book:alpha:ETH/USDT')).toMatchObject({ state: { status: 'down' } });
    rig.sequencer.ingest.venueState('alpha', state('live'));
    rig.sequencer.ingest.book(book([[100, 1]], [[101, 1]]));
    expect(kinds(alpha[0]!.messages)).toEqual(['1 state down', '1 snapshot', '2 state live']);
    expect(alpha[0]!.messages[1]!.epoch).not.toBe(alpha[0]!.messages[0]!.epoch);
  });

  it('stays in doubt while any of a stream`s sources is', () => {
    const { messages } = rig.record('candles:beta:BTC/USDT:1m');
    const candles = { channel: 'candles', venue: 'beta', symbol: 'BTC/USDT', timeframe: '1m' } as const;
    rig.sequencer.ingest.upstreamState(upstream('trades', 'beta'), state('stale', 'silent'));
    rig.sequencer.ingest.upstreamState(candles, state('live'));
    const history = { venue: 'beta', symbol: 'BTC/USDT', timeframe: '1m', history: true, ingestTs: 1 } as const;
    const candle = { ts: 60_000, open: '1', high: '1', low: '1', close: '1', volume: '1' };
    rig.sequencer.ingest.candles({ ...history, candles: [candle] });
    expect(kinds(messages)).toEqual(['1 state stale']);
    rig.sequencer.ingest.upstreamState(upstream('trades', 'beta'), state('live'));
    rig.sequencer.ingest.candles({ ...history, candles: [candle] });
    expect(kinds(messages)).toEqual(['1 state stale', '1 snapshot', '2 state live']);
  });

  it('never gives two epochs one name, not even after a restart within the same millisecond', () => {
    const epochs = new Set<string>();
    for (let seed = 1; seed <= 50; seed++) {
      const other = createMarketRig({ seed });
      for (const name of [BOOK, 'ticker:alpha:BTC/USDT', TRADES])
        epochs.add(other.sequencer.source.open(name)!.position.epoch);
      other.sequencer.stop();
    }
    expect(epochs.size).toBe(150);
  });
});

describe('books', () => {
  it('shows a tier that opens during a doubt what was last known, with the doubt, and starts it anew afterwards', () => {
    rig.record(BOOK);
    rig.sequencer.ingest.book(book([[100, 1]], [[101, 1]], 3));
    rig.sequencer.ingest.upstreamState(upstream('book'), state('stale', 'silent'));
    const second = rig.record('book:alpha:BTC/USDT:25:1s');
    expect(rig.sequencer.source.open('book:alpha:BTC/USDT:25:1s')).toMatchObject({
      state: { status: 'stale' },
      snapshot: { exchangeSeq: 3, data: { bids: [['100.00', '1.00000']] } },
    });
    rig.sequencer.ingest.upstreamState(upstream('book'), state('live'));
    rig.sequencer.ingest.book(book([[95, 1]], [[96, 1]], 4));
    expect(kinds(second.messages)).toEqual(['1 snapshot', '2 state live']);
    expect(second.messages[0]).toMatchObject({ exchangeSeq: 4, data: { bids: [['95.00', '1.00000']] } });
  });

  it('gives a second tier its head at once from the book that is there', () => {
    rig.record(BOOK);
    rig.sequencer.ingest.book(
      book(
        [
          [100, 1],
          [99, 2],
        ],
        [[101, 1]],
        3,
      ),
    );
    expect(rig.sequencer.source.open('book:alpha:BTC/USDT:25:1s')).toMatchObject({
      position: { seq: 1 },
      state: { status: 'live' },
      snapshot: {
        seq: 1,
        exchangeSeq: 3,
        data: {
          bids: [
            ['100.00', '1.00000'],
            ['99.00', '2.00000'],
          ],
        },
      },
    });
  });

  it('publishes at the leading edge and then no more often than the tier`s rate', () => {
    const { messages } = rig.record(BOOK);
    const sizes = () => messages.filter(({ kind }) => kind === 'delta').length;
    rig.sequencer.ingest.book(book([[100, 1]], [[101, 1]]));
    for (let step = 1; step <= 50; step++) {
      vi.advanceTimersByTime(10);
      rig.sequencer.ingest.book(book([[100, 1 + step]], [[101, 1]]));
    }
    expect(sizes()).toBeGreaterThanOrEqual(4);
    expect(sizes()).toBeLessThanOrEqual(5);
    vi.advanceTimersByTime(200);
    expect(messages.at(-1)).toMatchObject({ data: { bids: [['100.00', '51.00000']], asks: [] } });
    vi.advanceTimersByTime(500);
    rig.sequencer.ingest.book(book([[100, 7]], [[101, 1]]));
    expect(messages.at(-1)).toMatchObject({ data: { bids: [['100.00', '7.00000']] } });
  });

  it('says nothing while a tier does not change, but where it stands once a second', () => {
    const { messages } = rig.record(BOOK);
    for (let seq = 1; seq <= 8; seq++) {
      rig.sequencer.ingest.book(book([[100, 1]], [[101, 1]], seq));
      vi.advanceTimersByTime(100);
    }
    expect(kinds(messages)).toEqual(['1 snapshot', '2 state live']);
    vi.advanceTimersByTime(200);
    expect(messages.slice(2)).toMatchObject([{ kind: 'delta', exchangeSeq: 8, data: { bids: [], asks: [] } }]);
    vi.advanceTimersByTime(5_000);
    expect(messages).toHaveLength(3);
    // A change does not wait for the second to be over.
    rig.sequencer.ingest.book(book([[100, 1]], [[101, 1]], 9));
    vi.advanceTimersByTime(50);
    rig.sequencer.ingest.book(book([[100, 1]], [[101, 1]], 10));
    rig.sequencer.ingest.book(book([[100, 2]], [[101, 1]], 11));
    vi.advanceTimersByTime(100);
    expect(messages.at(-1)).toMatchObject({ exchangeSeq: 11, data: { bids: [['100.00', '2.00000']] } });
  });

  it('refuses a malformed book, casts doubt, and starts anew with the next sound one', async () => {
    const { messages } = rig.record(BOOK);
    rig.sequencer.ingest.book(book([[100, 1]], [[101, 1]]));
    const malformed = [
      book(
        [
          [99, 1],
          [100, 1],
        ],
        [],
      ),
      book([[100, Number.NaN]], []),
      book([[100, -1]], []),
      book([[Infinity, 1]], []),
      book(
        [],
        [
          [101, 1],
          [101, 2],
        ],
      ),
      book([[-5, 1]], []),
      { ...book([], []), bids: Float64Array.of(1) },
    ];
    for (const each of malformed) rig.sequencer.ingest.book(each);
    expect(kinds(messages)).toEqual(['1 snapshot', '2 state live', '3 state resyncing']);
    rig.sequencer.ingest.book(book([[100, 2]], [[101, 1]]));
    expect(kinds(messages.slice(3))).toEqual(['1 snapshot', '2 state live']);
    expect(await rig.metrics.render()).toContain(`market_refused_total{reason="book"} ${malformed.length}`);
  });

  it('starts anew when the market`s precision changes, since every text and checksum does', () => {
    const { messages } = rig.record(BOOK);
    rig.sequencer.ingest.book(book([[100, 1]], [[101, 1]]));
    rig.sequencer.ingest.markets('alpha', [market('BTC/USDT'), market('ETH/USDT')]);
    expect(messages).toHaveLength(2);
    rig.sequencer.ingest.markets('alpha', [market('BTC/USDT', 3)]);
    expect(kinds(messages.slice(2))).toEqual(['1 snapshot', '2 state live']);
    expect(messages[2]).toMatchObject({ data: { bids: [['100.000', '1.00000']] } });
  });
});

describe('trades', () => {
  it('is live without a single trade: a quiet market is not an unknown one', () => {
    const { messages } = rig.record(TRADES);
    rig.sequencer.ingest.upstreamState(upstream('trades'), state('live'));
    expect(kinds(messages)).toEqual(['1 snapshot', '2 state live']);
  });

  it('passes each trade exactly once and in order, however they are repeated and however fast they come', () => {
    const { messages } = rig.record(TRADES);
    rig.sequencer.ingest.upstreamState(upstream('trades'), state('live'));
    for (let id = 0; id < 2_000; id++) {
      sendTrades(trade(String(id)), trade(String(Math.max(0, id - 500))));
      if (id % 100 === 0) vi.advanceTimersByTime(30);
    }
    vi.advanceTimersByTime(50);
    const updates = messages.filter(({ kind }) => kind === 'update');
    expect(updates.flatMap(tradeIds)).toEqual(Array.from({ length: 2_000 }, (_, id) => String(id)));
    expect(Math.max(...updates.map((each) => tradeIds(each).length))).toBeLessThanOrEqual(250);
    expect(tradeIds(rig.sequencer.source.open(TRADES)!.snapshot!)).toHaveLength(100);
  });

  it('splits a large burst and loses nothing of it', () => {
    const { messages } = rig.record(TRADES);
    rig.sequencer.ingest.upstreamState(upstream('trades'), state('live'));
    const ids = Array.from({ length: 900 }, (_, id) => String(id));
    sendTrades(...ids.map((id) => trade(id)));
    expect(messages.slice(2).map((message) => tradeIds(message).length)).toEqual([250, 250, 250, 150]);
    expect(messages.slice(2).flatMap(tradeIds)).toEqual(ids);
  });

  it('keeps trades without an id: they cannot be told apart, so none is dropped', () => {
    const { messages } = rig.record(TRADES);
    rig.sequencer.ingest.upstreamState(upstream('trades'), state('live'));
    sendTrades(trade(''), trade(''));
    vi.advanceTimersByTime(50);
    expect(tradeIds(messages.at(-1)!)).toEqual(['', '']);
  });

  it('lets sound trades out before it says the doubt, and shows those of the doubt in the next snapshot', () => {
    const { messages } = rig.record(TRADES);
    sendTrades(trade('1'));
    sendTrades(trade('2'));
    sendTrades(trade('3'));
    rig.sequencer.ingest.upstreamState(upstream('trades'), state('stale', 'silent'));
    expect(kinds(messages)).toEqual(['1 snapshot', '2 state live', '3 update', '4 state stale']);
    sendTrades(trade('4'));
    expect(tradeIds(rig.sequencer.source.open(TRADES)!.snapshot!)).toEqual(['1', '2', '3']);
    rig.sequencer.ingest.upstreamState(upstream('trades'), state('live'));
    expect(tradeIds(messages[4]!)).toEqual(['1', '2', '3', '4']);
    vi.advanceTimersByTime(100);
    expect(messages).toHaveLength(6);
  });

  it('refuses and counts what is not a trade', async () => {
    const { messages } = rig.record(TRADES);
    rig.sequencer.ingest.upstreamState(upstream('trades'), state('live'));
    const bad = [
      'NaN',
      '-1',
      '0x10',
      '1e999',
      '1e99999999999',
      '1e999999999',
      '',
      ' 1',
      'Infinity',
      '1'.repeat(65),
      '1٣',
      '--1',
    ];
    sendTrades(...bad.map((price, index) => trade(`bad${index}`, price)));
    sendTrades(trade('x'.repeat(129)), trade('ts', '1', { ts: Number.NaN }), trade('size', '1', { size: 'abc' }));
    sendTrades(trade('good', '1.5e-7'));
    vi.advanceTimersByTime(50);
    expect(messages.slice(2)).toMatchObject([
      { data: { trades: [{ id: 'good', price: '0.00000015', size: '0.10000' }] } },
    ]);
    expect(await rig.metrics.render()).toContain(`market_refused_total{reason="trade"} ${bad.length + 3}`);
  });
});

it('keeps seq gapless and the head true to the position from within any delivery', () => {
  const seen: StreamMessage[] = [];
  const heads: unknown[] = [];
  rig.bus.open(TRADES, (delivery) => {
    if (delivery.type !== 'message') return;
    seen.push(delivery.message);
    heads.push(rig.sequencer.source.open(TRADES)!.position);
  });
  rig.sequencer.ingest.upstreamState(upstream('trades'), state('live'));
  for (let id = 0; id < 20; id++) {
    sendTrades(trade(String(id)));
    vi.advanceTimersByTime(60);
  }
  expect(seen.map(({ seq }) => seq)).toEqual(Array.from({ length: 22 }, (_, index) => index + 1));
  expect(heads).toEqual(seen.map(({ epoch, seq }) => ({ epoch, seq })));
});
