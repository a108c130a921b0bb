import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Ticker } from '../../protocol/messages.ts';
import { TickerData, VenueData } from '../../protocol/messages.ts';
import type { MarketRig } from '../../testing/market-rig.ts';
import { book, createMarketRig, market, rigClock, state, upstream } from '../../testing/market-rig.ts';
import type { FeedTicker, FeedTrade } from './upstream.ts';

const TRADES = 'trades:alpha:BTC/USDT';
const TICKER = 'ticker:alpha:BTC/USDT';

let rig: MarketRig;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
  rig = createMarketRig();
  rig.sequencer.ingest.markets('alpha', [market('BTC/USDT')]);
});

afterEach(() => {
  rig.sequencer.stop();
  expect(vi.getTimerCount(), 'timers left behind').toBe(0);
  vi.useRealTimers();
});

function trade(id: string, price = '100.5', extra: Partial<FeedTrade> = {}): FeedTrade {
  return { id, price, size: '0.1', side: 'buy', ts: rigClock.now(), ...extra };
}

function sendTrades(...trades: FeedTrade[]): void {
  rig.sequencer.ingest.trades({ venue: 'alpha', symbol: 'BTC/USDT', trades, ingestTs: rigClock.now() });
}

function sendTicker(fields: FeedTicker['fields']): void {
  rig.sequencer.ingest.ticker({ venue: 'alpha', symbol: 'BTC/USDT', fields, ingestTs: rigClock.now() });
}

describe('tickers', () => {
  it('takes no last price from trades that nobody wants any more: they may be stale, and nobody would say so', () => {
    const { messages } = rig.record(TICKER);
    const trades = rig.record(TRADES);
    sendTicker({ bid: '100' });
    vi.advanceTimersByTime(100);
    sendTrades(trade('1', '100.5'));
    vi.advanceTimersByTime(100);
    trades.close();
    sendTrades(trade('2', '200.5'));
    vi.advanceTimersByTime(100);
    expect((messages.at(-1)!.data as Ticker).last).toBe('100.50');
    rig.record(TRADES);
    sendTrades(trade('3', '101.5'));
    vi.advanceTimersByTime(100);
    expect((messages.at(-1)!.data as Ticker).last).toBe('101.50');
  });

  it('counts every message that it publishes, by channel, at each look anew', async () => {
    const tickers = rig.record(TICKER);
    const trades = rig.record(TRADES);
    sendTicker({ bid: '100' });
    sendTrades(trade('1'));
    const read = async (channel: string): Promise<number> => {
      const text = await rig.metrics.render();
      return Number(new RegExp(`^market_published_total{channel="${channel}"} (\\d+)$`, 'm').exec(text)?.[1]);
    };
    for (let look = 0; look < 2; look++) {
      expect(await read('ticker')).toBe(tickers.messages.length);
      expect(await read('trades')).toBe(trades.messages.length);
      sendTrades(trade(`more ${look}`));
      vi.advanceTimersByTime(1_000);
    }
  });

  it('merges what the messages say, writes canonical text, and null for what nobody said', () => {
    const { messages } = rig.record(TICKER);
    sendTicker({ last: '100.5', bid: '1e2', baseVolume: '12' });
    vi.advanceTimersByTime(100);
    sendTicker({ ask: '101', quoteVolume: '1000.50' });
    const data: Ticker = TickerData.parse(messages.at(-1)!.data);
    expect(data).toEqual({
      last: '100.50',
      bid: '100.00',
      bidSize: null,
      ask: '101.00',
      askSize: null,
      open: null,
      high: null,
      low: null,
      baseVolume: '12.00000',
      quoteVolume: '1000.5',
    });
  });

  it('publishes ten a second at most, the latest always', () => {
    const { messages } = rig.record(TICKER);
    for (let step = 0; step < 1_000; step++) {
      sendTicker({ last: String(step) });
      vi.advanceTimersByTime(1);
    }
    vi.advanceTimersByTime(100);
    const updates = messages.filter(({ kind }) => kind === 'update');
    expect(updates.length).toBeLessThanOrEqual(11);
    expect(updates.length).toBeGreaterThanOrEqual(9);
    expect(messages.at(-1)).toMatchObject({ data: { last: '999.00' } });
  });

  it('takes the last price from the trades only where the ticker does not tell it', () => {
    const { messages } = rig.record(TICKER);
    rig.record(TRADES);
    sendTicker({ bid: '99', ask: '101' });
    sendTrades(trade('1', '100.25'));
    vi.advanceTimersByTime(100);
    expect(messages.at(-1)).toMatchObject({ data: { last: '100.25', bid: '99.00' } });
    sendTicker({ last: '100.5' });
    sendTrades(trade('2', '90'));
    vi.advanceTimersByTime(100);
    expect(messages.at(-1)).toMatchObject({ data: { last: '100.50' } });
  });

  it('forgets everything in a doubt: half an old ticker is a made-up market', () => {
    const { messages } = rig.record(TICKER);
    sendTicker({ last: '100', bid: '99', ask: '101' });
    rig.sequencer.ingest.upstreamState(upstream('ticker'), state('down', 'gone'));
    rig.sequencer.ingest.upstreamState(upstream('ticker'), state('live'));
    sendTicker({ bid: '50' });
    expect(messages.findLast(({ kind }) => kind === 'snapshot')).toMatchObject({
      data: { bid: '50.00', last: null, ask: null },
    });
  });

  it('leaves out a field that is no number and keeps the rest', () => {
    const { messages } = rig.record(TICKER);
    sendTicker({ last: 'NaN', bid: '-3', ask: '101' });
    expect(messages[0]).toMatchObject({ data: { last: null, bid: null, ask: '101.00' } });
  });
});

describe('venues and markets', () => {
  it('publishes a venue at once and then once a second at most', () => {
    const { deliveries, messages } = rig.record('venue:alpha');
    expect(deliveries[0]).toMatchObject({
      head: { state: { status: 'live' }, snapshot: { data: { venue: 'alpha', markets: 1 } } },
    });
    const health = {
      source: 'simulation',
      upstreams: 1,
      lagMs: 3,
      lastMessageTs: 1,
      reconnects: 0,
      circuit: 'closed',
    } as const;
    for (let step = 0; step < 30; step++) {
      rig.sequencer.ingest.venueHealth('alpha', { ...health, messagesPerSecond: step });
      vi.advanceTimersByTime(100);
    }
    vi.advanceTimersByTime(1_000);
    expect(messages.length).toBeLessThanOrEqual(5);
    expect(VenueData.parse(messages.at(-1)!.data)).toMatchObject({ messagesPerSecond: 29, markets: 1 });
  });

  it('leaves out a market that does not fit, so that its precision cannot crash the formatting', () => {
    const { messages } = rig.record('markets:alpha');
    rig.sequencer.ingest.markets('alpha', [
      market('BTC/USDT', 2),
      market('BAD/USDT', -1),
      market('NAN/USDT', Number.NaN),
      market('FINE/USDT', 1_000),
    ]);
    const { markets } = messages.at(-1)!.data as { markets: { symbol: string }[] };
    expect(markets.map(({ symbol }) => symbol)).toEqual(['BTC/USDT', 'FINE/USDT']);
    const fine = rig.record('book:alpha:FINE/USDT');
    rig.sequencer.ingest.book(book([[1, 1]], [], 1, 'alpha', 'FINE/USDT'));
    expect(fine.messages[0]!.kind).toBe('snapshot');
  });

  it('ignores a venue that is not configured', () => {
    rig.sequencer.ingest.book(book([[1, 1]], [], 1, 'gamma'));
    rig.sequencer.ingest.markets('gamma', []);
    rig.sequencer.ingest.venueState('gamma', state('down'));
    rig.sequencer.ingest.venueHealth('gamma', {
      source: 'live',
      upstreams: 0,
      messagesPerSecond: 0,
      lagMs: null,
      lastMessageTs: null,
      reconnects: 0,
      circuit: 'closed',
    });
    expect(rig.sequencer.source.open('venue:gamma')).toBeNull();
  });
});
