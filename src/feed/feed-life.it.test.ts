import { afterEach, describe, expect, it } from 'vitest';
import type { Upstream } from '../modules/market/upstream.ts';
import { createLog } from '../platform/log.ts';
import { createMetrics } from '../platform/metrics.ts';
import { startSandbox } from '../sandbox/index.ts';
import type { FeedRig } from '../testing/feed-rig.ts';
import { until } from '../testing/feed-rig.ts';
import {
  PROMPT_LIMITS,
  STAGED_VENUES,
  clearStage,
  fallSilent,
  keepTalking,
  lastBook,
  raise,
  stage,
  symbolOf,
} from '../testing/feed-stage.ts';
import { ScriptedTape } from '../testing/scripted-tape.ts';
import { candlesOrigin, createFeed } from './index.ts';

afterEach(clearStage);

describe('feed life', () => {
  it('calls a silent stream stale within its budget, and believes only something newer', async () => {
    const silence = { minMs: 600, initialMs: 600, maxMs: 2_000, factor: 5 };
    const nudge = { baseMs: 200, factor: 1.5, maxMs: 500, jitter: 0 };
    const made = await stage('binance', { limits: { silence, nudge } });
    await until(() => made.rig.of(made.book, 'book').length > 20, 'the rate is known');
    fallSilent();
    const quietMs = performance.now();
    await until(() => made.rig.state(made.book)?.status === 'stale', 'the silence is noticed');
    expect(performance.now() - quietMs).toBeLessThan(silence.maxMs + 1_500);
    const before = made.rig.told.length;
    await until(() => made.rig.sandbox.clients('binance') > 0, 'the feed is connected again');
    const nudges = async () =>
      Number(/feed_nudges_total\{[^}]*silence[^}]*\} (\d+)/.exec(await made.rig.metrics())?.[1]);
    for (let tries = 0; (await nudges()) < 4; tries++) {
      expect(tries).toBeLessThan(500);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    // The exchange has answered with the same frozen book several times by now.
    expect(made.rig.told.slice(before)).toEqual([]);
    keepTalking([made.tape]);
    await until(() => made.rig.state(made.book)?.status === 'live', 'something newer is believed');
    await until(() => lastBook(made).exchangeSeq! > 1_050, 'new data flows');
    expect(made.rig.wrongBooks()).toEqual([]);
  });

  it('makes no call while the exchange has said 429, and goes on afterwards', async () => {
    const made = await stage('binance');
    made.rig.sandbox.faults.set('http429 binance retry=2; gap binance/book for=50ms');
    await until(() => made.rig.sandbox.faults.counts().http429 > 0, 'the exchange has said 429');
    const bannedMs = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(made.rig.sandbox.faults.counts().http429).toBe(1);
    made.rig.sandbox.faults.clear();
    await until(() => made.rig.state(made.book)?.status === 'live', 'the book is live again');
    expect(performance.now() - bannedMs).toBeGreaterThan(1_900);
    expect(made.rig.wrongBooks()).toEqual([]);
  });

  it('takes and gives back the same upstream without ever losing it', async () => {
    const made = await stage('kucoin', { limits: { lingerMs: 300 } });
    const { feed } = made.rig;
    fallSilent();
    await until(() => quiet(made.rig), 'nothing happens in the market');
    feed.unwant(made.book);
    const told = made.rig.told.length;
    feed.want(made.book);
    // Taken up again while it lingers: the present state is told once more, for whoever has forgotten it.
    expect(made.rig.told[told]).toMatchObject({ type: 'state', state: { status: 'live' } });
    await until(() => made.rig.told.slice(told).some(({ type }) => type === 'book'), 'the present book is told');
    keepTalking([made.tape]);
    for (let round = 0; round < 3; round++) {
      feed.unwant(made.book);
      const before = made.rig.told.length;
      await until(() => made.rig.told.length > before, 'it lingers');
      await until(() => quiet(made.rig), 'the real unsubscribe');
      feed.want(made.book);
      expect(made.rig.state(made.book)?.status).toBe('resyncing');
      await until(() => made.rig.state(made.book)?.status === 'live', 'it is live again');
    }
    expect(made.rig.wrongBooks()).toEqual([]);
  });

  it('ends a thread that hangs and keeps the other venues out of it', async () => {
    const [good, bad] = [new ScriptedTape('kraken', ['BTC/USD']), new ScriptedTape('binance', ['BTC/USDT'])];
    const made = await raise({ sources: [good, bad], limits: { hangMs: 3_000, pulseMs: 100 } });
    const healthy: Upstream = { channel: 'book', venue: 'kraken', symbol: 'BTC/USD' };
    const hanging: Upstream = { channel: 'book', venue: 'binance', symbol: 'BTC/USDT' };
    made.want(healthy, hanging);
    keepTalking([good, bad]);
    await until(() => [healthy, hanging].every((each) => made.state(each)?.status === 'live'), 'both are live');
    const begun = made.told.length;
    // ccxt inserts and removes at the front of a side in linear time: a message like this keeps it busy for 12 s and more.
    const prices = Array.from({ length: 90_000 }, (_, index) => String(2_000 + index));
    const comeAndGo = [...prices.toReversed().map((price) => [price, '1']), ...prices.map((price) => [price, '0'])];
    const asks = [...comeAndGo, ...comeAndGo];
    const next = bad.book('BTC/USDT')!.lastId + 1;
    bad.sendRaw(
      'BTC/USDT',
      JSON.stringify({ e: 'depthUpdate', E: Date.now(), s: 'BTCUSDT', U: next, u: next, b: [], a: asks }),
    );
    await until(() => made.state(hanging)?.reason === 'the thread hangs', 'the hanging thread is given up');
    const before = made.told.length;
    await until(() => made.state(hanging)?.status === 'live', 'a new thread has taken over');
    const ofHealthy = made.told.slice(begun).filter(({ upstream }) => upstream === 'book:kraken:BTC/USD');
    expect(ofHealthy.filter(({ type }) => type === 'state')).toEqual([]);
    expect(made.told.indexOf(ofHealthy.at(-1)!)).toBeGreaterThanOrEqual(before);
    expect(made.wrongBooks()).toEqual([]);
  });

  it('tells of a symbol that the exchange does not list, and builds no candles where it streams none', async () => {
    const made = await stage('coinbase');
    const unknown: Upstream = { channel: 'book', venue: 'coinbase', symbol: 'NO/SUCH' };
    const candles: Upstream = { channel: 'candles', venue: 'coinbase', symbol: made.symbol, timeframe: '1m' };
    made.rig.want(unknown, candles);
    await until(() => made.rig.state(unknown)?.status === 'down', 'the symbol is refused');
    await until(() => made.rig.state(candles)?.status === 'live', 'the history has been asked for');
    expect(made.rig.feed.capabilities('coinbase')).toMatchObject({ candles: 'trades', book: true });
    expect(candlesOrigin('coinbase')).toBe('trades');
  });

  for (const venue of ['binance', 'kraken', 'kucoin'] as const) {
    it(`keeps the timeframes of ${venue}'s candles apart`, async () => {
      const made = await stage(venue);
      const upstreamOf = (timeframe: '1m' | '5m'): Upstream => ({
        channel: 'candles',
        venue,
        symbol: made.symbol,
        timeframe,
      });
      made.rig.want(upstreamOf('1m'), upstreamOf('5m'));
      await until(() => made.rig.state(upstreamOf('5m'))?.status === 'live', 'they are live');
      const openTs = Math.floor(Date.now() / 3_600_000) * 3_600_000;
      const closes = (timeframe: '1m' | '5m') =>
        made.rig
          .of(upstreamOf(timeframe), 'candles')
          .flatMap((one) => one.candles.candles.map(({ close }) => Number(close)));
      await until(() => {
        made.tape.setCandle(made.symbol, '1m', openTs, '101.0');
        made.tape.setCandle(made.symbol, '5m', openTs, '105.0');
        return closes('1m').length > 0 && closes('5m').length > 0;
      }, 'both timeframes have come');
      expect(new Set(closes('1m'))).toEqual(new Set([101]));
      expect(new Set(closes('5m'))).toEqual(new Set([105]));
    });
  }

  it('replaces an exchange object whose synchronisation is stuck', async () => {
    const nudge = { baseMs: 50, factor: 1, maxMs: 50, jitter: 0 };
    const made = await stage('binance', { limits: { nudge, resyncDeadlineMs: 200 } });
    made.rig.sandbox.faults.set('fail-snapshot binance; gap binance/book for=100ms');
    const recycled = async () =>
      /feed_doubts_total\{[^}]*doubt="exchange client recycled"\} [1-9]/.test(await made.rig.metrics());
    for (let tries = 0; !(await recycled()); tries++) {
      expect(tries).toBeLessThan(1_000);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    made.rig.sandbox.faults.clear();
    await until(() => made.rig.state(made.book)?.status === 'live', 'the new object delivers');
    expect(made.rig.wrongBooks()).toEqual([]);
  });

  it('brings an exchange that nobody has looked at closely by configuration alone', async () => {
    const tape = new ScriptedTape('okx', ['BTC/USDT']);
    // ccxt's name for OKX in Europe: the same protocol, and no quirk file of ours.
    const made = await raise({
      sources: [tape],
      settings: (venue, url) => ({
        venue,
        ccxtId: 'myokx',
        source: 'simulation',
        ccxt: {
          // Its pongs are bare text, which must not pass for garbage. ccxt lets 600 of them be missing, 30 s, where it would let two:
          // a busy machine is late by more than 100 ms.
          streaming: { keepAlive: 50, maxPingPongMisses: 600 },
          options: { fetchMarkets: { types: ['spot'] } },
          urls: { api: { rest: `${url}/okx`, ws: `${url.replace('http', 'ws')}/okx/ws/v5` } },
        },
      }),
    });
    const symbol = 'BTC/USDT';
    const book: Upstream = { channel: 'book', venue: 'okx', symbol };
    const trades: Upstream = { channel: 'trades', venue: 'okx', symbol };
    made.want(book, trades);
    keepTalking([tape]);
    await until(() => [book, trades].every((each) => made.state(each)?.status === 'live'), 'both are live');
    for (let each = 0; each < 500; each++) tape.trade(symbol);
    const told = () => made.of(trades, 'trades').flatMap((one) => one.trades);
    await until(() => told().length >= 500, 'all trades have come');
    expect(new Set(told().map(({ id }) => id)).size).toBe(500);
    expect(made.of(book, 'state').map(({ state }) => state.status)).toEqual(['resyncing', 'live']);
    made.sandbox.faults.set('disconnect okx');
    await until(() => made.state(book)?.reason === 'disconnected', 'the loss is noticed');
    made.sandbox.faults.clear();
    await until(() => made.state(book)?.status === 'live', 'the book is live again');
    expect(made.wrongBooks()).toEqual([]);
  });

  it('stops asking an exchange that cannot be reached, says so, and comes back by itself', async () => {
    const log = createLog({ level: 'silent' });
    const free = await startSandbox({ sources: [new ScriptedTape('kraken', ['BTC/USD'])], log });
    const port = Number(new URL(free.url).port);
    await free.stop();
    const upstreams = new Map<string, string>();
    const venue: string[] = [];
    const feed = createFeed({
      venues: [{ venue: 'kraken', ccxtId: 'kraken', source: 'simulation', sandboxUrl: free.url }],
      log,
      metrics: createMetrics({ processMetrics: false }),
      clock: { now: () => Date.now(), monotonic: () => performance.now() },
      random: Math.random,
      limits: { ...PROMPT_LIMITS, circuit: { failures: 3, pause: { baseMs: 300, factor: 2, maxMs: 600, jitter: 0 } } },
      ingest: {
        markets: () => {},
        book: () => {},
        trades: () => {},
        ticker: () => {},
        candles: () => {},
        upstreamState: (upstream, { status }) => upstreams.set(upstream.channel, status),
        venueState: (_venue, { status }) => venue.push(status),
        venueHealth: () => {},
      },
    });
    await feed.start();
    feed.want({ channel: 'book', venue: 'kraken', symbol: 'BTC/USD' });
    let sandbox: Awaited<ReturnType<typeof startSandbox>> | undefined;
    try {
      await until(() => venue.at(-1) === 'down' && upstreams.get('book') === 'down', 'the circuit is open');
      const tape = new ScriptedTape('kraken', ['BTC/USD']);
      sandbox = await startSandbox({ sources: [tape], log, port });
      keepTalking([tape]);
      await until(() => upstreams.get('book') === 'live', 'the book is live');
      expect(venue.at(-1)).toBe('live');
    } finally {
      await feed.stop();
      await sandbox?.stop();
    }
  });

  it('comes through a storm of disconnects with every book right', async () => {
    const tapes = STAGED_VENUES.map((venue) => new ScriptedTape(venue, [symbolOf(venue)]));
    const made = await raise({ sources: tapes });
    const books = STAGED_VENUES.map((venue): Upstream => ({ channel: 'book', venue, symbol: symbolOf(venue) }));
    made.want(...books);
    keepTalking(tapes, 10);
    const allLive = () => books.every((book) => made.state(book)?.status === 'live');
    await until(allLive, 'all are live');
    made.sandbox.faults.set('disconnect * 10%');
    await until(() => made.sandbox.faults.counts().disconnect >= 120, '120 connections are lost');
    made.sandbox.faults.clear();
    await until(allLive, 'all are live again');
    expect(made.booksChecked()).toBeGreaterThan(200);
    expect(made.wrongBooks()).toEqual([]);
  });
});

/** Nothing has been told for a while that a chattering market would have filled. */
function quiet({ told }: FeedRig): boolean {
  return performance.now() - (told.at(-1)?.atMs ?? 0) > 200;
}
