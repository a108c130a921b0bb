import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Candle, StreamMessage } from '../../protocol/messages.ts';
import { CandlesData } from '../../protocol/messages.ts';
import type { MarketRig } from '../../testing/market-rig.ts';
import { createMarketRig, market, rigClock, state, upstream } from '../../testing/market-rig.ts';
import type { FeedCandle, Upstream } from './upstream.ts';

const MINUTE = 60_000;
/** A full minute. */
const START = 1_700_000_040_000;

let rig: MarketRig;

beforeEach(() => {
  vi.useFakeTimers({ now: START });
  rig = createMarketRig();
  for (const venue of ['alpha', 'beta']) rig.sequencer.ingest.markets(venue, [market('BTC/USDT', 2, 3, venue)]);
});

afterEach(() => {
  rig.sequencer.stop();
  expect(vi.getTimerCount(), 'timers left behind').toBe(0);
  vi.useRealTimers();
});

function candle(minute: number, close: number, volume = 1): FeedCandle {
  return {
    ts: START + minute * MINUTE,
    open: '100',
    high: '200',
    low: '50',
    close: String(close),
    volume: String(volume),
  };
}

function send(candles: FeedCandle[], options: { venue?: string; history?: boolean; exchangeTs?: number } = {}): void {
  const { venue = 'alpha', history = false, exchangeTs } = options;
  const message = { venue, symbol: 'BTC/USDT', timeframe: '1m', candles, history, ingestTs: rigClock.now() } as const;
  rig.sequencer.ingest.candles(exchangeTs === undefined ? message : { ...message, exchangeTs });
}

let tradeId = 0;
function sendTrade(price: string, size = '1', ts = rigClock.now()): void {
  tradeId += 1;
  const trades = [{ id: String(tradeId), price, size, side: null, ts }];
  rig.sequencer.ingest.trades({ venue: 'beta', symbol: 'BTC/USDT', trades, ingestTs: rigClock.now() });
}

/** `minute:close:closed:rev` of each candle in the message. */
function told(message: StreamMessage): string {
  if (message.kind === 'state') return 'state';
  const { candles } = CandlesData.parse(message.data);
  const brief = ({ ts, close, closed, rev }: Candle) =>
    `${(ts - START) / MINUTE}:${Number(close)}:${closed ? 'closed' : 'open'}:${rev}`;
  return candles.map(brief).join(' ');
}

const ALPHA: Upstream = { channel: 'candles', venue: 'alpha', symbol: 'BTC/USDT', timeframe: '1m' };

describe('candles of the exchange', () => {
  it('closes by the clock though nothing is traded, and invents no candle for the empty minutes', () => {
    const { messages } = rig.record('candles:alpha:BTC/USDT:1m');
    send([candle(0, 101)]);
    vi.advanceTimersByTime(MINUTE + 1_900);
    expect(messages.map(told)).toEqual(['0:101:open:1', 'state']);
    vi.advanceTimersByTime(200);
    expect(messages.slice(2).map(told)).toEqual(['0:101:closed:1']);
    vi.advanceTimersByTime(10 * MINUTE);
    expect(messages).toHaveLength(3);
  });

  it('closes with the first update of the next minute, and gives each later correction a higher rev', () => {
    const { messages } = rig.record('candles:alpha:BTC/USDT');
    send([candle(0, 101)]);
    vi.advanceTimersByTime(MINUTE);
    send([candle(1, 105)]);
    expect(messages.slice(2).map(told)).toEqual(['0:101:closed:1 1:105:open:1']);
    send([candle(0, 102, 2)]);
    send([candle(0, 102, 2)]);
    send([candle(0, 103, 3)]);
    expect(messages.slice(3).map(told)).toEqual(['0:102:closed:2', '0:103:closed:3']);
  });

  it('tells an open candle once a second at most and every closed one at once', () => {
    const { messages } = rig.record('candles:alpha:BTC/USDT:1m');
    for (let step = 0; step < 150; step++) {
      send([candle(Math.floor(step / 50), 100 + step, step)]);
      vi.advanceTimersByTime(1_200 / 4);
    }
    const closed = messages.flatMap((message) => told(message).split(' ')).filter((each) => each.includes('closed'));
    expect(closed).toEqual(['0:149:closed:1', '1:199:closed:1']);
    expect(messages.length).toBeLessThanOrEqual(2 + 45 + 3);
    expect(messages.length).toBeGreaterThan(30);
  });

  it.each([true, false])(
    'goes by the exchange`s clock: a recording of long ago does not close every candle at once (stamped: %s)',
    (stamped) => {
      const { messages } = rig.record('candles:alpha:BTC/USDT:1m');
      const past = START - 365 * 24 * 60 * MINUTE;
      const minute = Math.floor((past - START) / MINUTE);
      for (let second = 0; second < 70; second++) {
        send(
          [candle(minute + Math.floor(second / 60), 100 + second, second)],
          stamped ? { exchangeTs: past + second * 1_000 } : {},
        );
        vi.advanceTimersByTime(1_000);
      }
      const all = messages.flatMap((message) => told(message).split(' '));
      expect(all.filter((each) => each.endsWith('closed:1'))).toHaveLength(1);
      expect(all.some((each) => each.endsWith(':2'))).toBe(false);
    },
  );

  it('merges history: closed ones, corrections, and never an older view of the running candle', () => {
    const { messages } = rig.record('candles:alpha:BTC/USDT:1m');
    send([candle(0, 110, 9)]);
    send([candle(-3, 1), candle(-2, 2), candle(-1, 3), candle(0, 105, 5)], { history: true });
    expect(messages.slice(2).map(told)).toEqual(['-3:1:closed:1 -2:2:closed:1 -1:3:closed:1']);
    send([candle(-2, 4, 2), candle(-1, 3)], { history: true });
    expect(messages.slice(3).map(told)).toEqual(['-2:4:closed:2']);
    const { candles } = CandlesData.parse(rig.sequencer.source.open('candles:alpha:BTC/USDT:1m')!.snapshot!.data);
    expect(candles.map(({ close }) => Number(close))).toEqual([1, 4, 3, 110]);
  });

  it('drops what a doubt has torn apart rather than show a hole as minutes without trades or half a candle as a whole one', () => {
    const { messages } = rig.record('candles:alpha:BTC/USDT:1m');
    send([candle(-1, 99), candle(0, 101)], { history: true });
    rig.sequencer.ingest.upstreamState(ALPHA, state('down', 'x'));
    vi.advanceTimersByTime(5 * MINUTE);
    expect(messages.map(told)).toEqual(['-1:99:closed:1 0:101:open:1', 'state', 'state']);
    rig.sequencer.ingest.upstreamState(ALPHA, state('live'));
    send([candle(5, 120)]);
    expect(messages.slice(3).map(told)).toEqual(['5:120:open:1', 'state']);
    // What the exchange sends of the past fills the hole.
    send(
      [0, 1, 2, 3, 4].map((minute) => candle(minute, minute)),
      { history: true },
    );
    expect(told(messages.at(-1)!)).toBe('0:0:closed:1 1:1:closed:1 2:2:closed:1 3:3:closed:1 4:4:closed:1');
  });

  it('keeps what still connects after a doubt, and is live again even if nothing has changed', () => {
    const { messages } = rig.record('candles:alpha:BTC/USDT:1m');
    send([candle(-1, 99), candle(0, 101)], { history: true });
    rig.sequencer.ingest.upstreamState(ALPHA, state('stale', 'x'));
    rig.sequencer.ingest.upstreamState(ALPHA, state('live'));
    send([candle(-1, 99), candle(0, 101)], { history: true });
    expect(messages.slice(3).map(told)).toEqual(['-1:99:closed:1 0:101:open:1', 'state']);
    expect(messages[3]!.epoch).not.toBe(messages[0]!.epoch);
  });

  it('refuses what is not a candle', () => {
    const { messages } = rig.record('candles:alpha:BTC/USDT:1m');
    send([
      { ...candle(0, 1), high: '10', low: '20' },
      { ...candle(0, 1), ts: Number.NaN },
      { ...candle(0, 1), open: 'x' },
    ]);
    expect(messages).toEqual([]);
  });

  it('keeps the newest hundred', () => {
    const { messages } = rig.record('candles:alpha:BTC/USDT:1m');
    send(
      Array.from({ length: 300 }, (_, index) => candle(index - 300, index)),
      { history: true },
    );
    expect(CandlesData.parse(messages[0]!.data).candles).toHaveLength(100);
    expect(told(messages[0]!)).toMatch(/^-100:200:closed:1 .* -1:299:(closed|open):1$/);
  });
});

describe('candles built from trades', () => {
  it('leaves out the minute whose start was not heard, and builds the next ones whole', () => {
    const { messages } = rig.record('candles:beta:BTC/USDT:1m');
    vi.advanceTimersByTime(20_000);
    sendTrade('100');
    vi.advanceTimersByTime(MINUTE);
    expect(messages).toEqual([]);
    sendTrade('101', '0.5');
    sendTrade('105', '0.25');
    sendTrade('99', '0.1');
    vi.advanceTimersByTime(1_000);
    sendTrade('102', '0.15');
    vi.advanceTimersByTime(1_000);
    expect(CandlesData.parse(messages.at(-1)!.data)).toEqual({
      origin: 'trades',
      candles: [
        {
          ts: START + MINUTE,
          open: '101.00',
          high: '105.00',
          low: '99.00',
          close: '102.00',
          volume: '1.000',
          closed: false,
          rev: 1,
        },
      ],
    });
    vi.advanceTimersByTime(2 * MINUTE);
    expect(told(messages.at(-1)!)).toBe('1:102:closed:1');
    sendTrade('110');
    expect(told(messages.at(-1)!)).toBe('3:110:open:1');
  });

  it('adds a late trade to its closed candle as a correction', () => {
    const { messages } = rig.record('candles:beta:BTC/USDT:1m');
    rig.sequencer.ingest.upstreamState(upstream('trades', 'beta'), state('live'));
    vi.advanceTimersByTime(MINUTE + 5_000);
    sendTrade('100');
    vi.advanceTimersByTime(MINUTE);
    sendTrade('101');
    expect(told(messages.at(-1)!)).toBe('2:101:open:1');
    sendTrade('150', '2', START + MINUTE + 59_000);
    expect(CandlesData.parse(messages.at(-1)!.data).candles).toEqual([
      {
        ts: START + MINUTE,
        open: '100.00',
        high: '150.00',
        low: '100.00',
        close: '100.00',
        volume: '3.000',
        closed: true,
        rev: 2,
      },
    ]);
  });

  it('starts from history, but takes no running candle from it that the trades could not continue', () => {
    const { messages } = rig.record('candles:beta:BTC/USDT:1m');
    send([candle(-2, 97), candle(-1, 98), candle(0, 99)], { venue: 'beta', history: true });
    expect(messages.map(told)).toEqual(['-2:97:closed:1 -1:98:closed:1', 'state']);
  });

  it('gives up the candle that a doubt about the trades has cut in two', () => {
    const { messages } = rig.record('candles:beta:BTC/USDT:1m');
    rig.sequencer.ingest.upstreamState(upstream('trades', 'beta'), state('live'));
    vi.advanceTimersByTime(MINUTE);
    sendTrade('100');
    rig.sequencer.ingest.upstreamState(upstream('trades', 'beta'), state('down', 'x'));
    rig.sequencer.ingest.upstreamState(upstream('trades', 'beta'), state('live'));
    sendTrade('101');
    vi.advanceTimersByTime(MINUTE);
    sendTrade('102');
    expect(messages.map(told)).toEqual(['1:100:open:1', 'state', 'state', '2:102:open:1', 'state']);
  });

  it('does not let history bring back the candle that a doubt has cut in two', () => {
    const { messages } = rig.record('candles:beta:BTC/USDT:1m');
    rig.sequencer.ingest.upstreamState(upstream('trades', 'beta'), state('live'));
    vi.advanceTimersByTime(MINUTE);
    sendTrade('100');
    rig.sequencer.ingest.upstreamState(upstream('trades', 'beta'), state('down', 'x'));
    rig.sequencer.ingest.upstreamState(upstream('trades', 'beta'), state('live'));
    send([candle(-1, 98), candle(0, 99), candle(1, 101)], { venue: 'beta', history: true });
    expect(messages.slice(3).map(told)).toEqual(['-1:98:closed:1 0:99:closed:1', 'state']);
  });
});
