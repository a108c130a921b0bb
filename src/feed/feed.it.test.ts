import { afterEach, describe, expect, it } from 'vitest';
import type { FeedBook, Upstream } from '../modules/market/upstream.ts';
import type { SandboxVenue, TapeLevel } from '../sandbox/tape.ts';
import type { FeedRig, RigOptions } from '../testing/feed-rig.ts';
import { startFeedRig, until } from '../testing/feed-rig.ts';
import { ScriptedTape } from '../testing/scripted-tape.ts';

const SYMBOLS: Readonly<Record<string, string>> = { kraken: 'BTC/USD', coinbase: 'BTC/USD' };
const symbolOf = (venue: SandboxVenue): string => SYMBOLS[venue] ?? 'BTC/USDT';
/** The bounds of real life, with pauses that a test can wait for. */
const PROMPT = {
  quietConfirmMs: 200,
  redial: { baseMs: 20, factor: 2, maxMs: 200, jitter: 0.5 },
  resubscribe: { baseMs: 20, factor: 2, maxMs: 500, jitter: 0.3 },
};
const VENUES = ['binance', 'kraken', 'coinbase', 'kucoin'] as const;

let rig: FeedRig | undefined;
let chatter: NodeJS.Timeout | undefined;
afterEach(async () => {
  clearInterval(chatter);
  await rig?.stop();
  rig = undefined;
});

type Stage = { rig: FeedRig; tape: ScriptedTape; symbol: string; book: Upstream; trades: Upstream; ticker: Upstream };

/** A venue of one market whose book is live. */
async function stage(venue: SandboxVenue, options: Omit<RigOptions, 'sources'> = {}): Promise<Stage> {
  const symbol = symbolOf(venue);
  const tape = new ScriptedTape(venue, [symbol]);
  rig = await startFeedRig({ ...options, sources: [tape], limits: { ...PROMPT, ...options.limits } });
  const of = <C extends 'book' | 'trades' | 'ticker'>(channel: C) => ({ channel, venue, symbol });
  const made = { rig, tape, symbol, book: of('book'), trades: of('trades'), ticker: of('ticker') };
  made.rig.want(made.book);
  keepTalking(tape, symbol);
  await until(() => made.rig.state(made.book)?.status === 'live', `${venue}'s book is live`);
  return made;
}

let turn = 0;
/** One level whose size changes, as a market does all the time. */
function change(tape: ScriptedTape, symbol: string): void {
  turn += 1;
  const size = (1 + (turn % 1000) / 1000).toFixed(8);
  // Among the ten best, which are all that Kraken's checksum covers.
  const distance = (turn % 9) / 10;
  if (turn % 2 === 0) tape.changeBook(symbol, [[(99.9 - distance).toFixed(1), size]], []);
  else tape.changeBook(symbol, [], [[(100.1 + distance).toFixed(1), size]]);
}

function keepTalking(tape: ScriptedTape, symbol: string, everyMs = 20): void {
  clearInterval(chatter);
  chatter = setInterval(() => change(tape, symbol), everyMs);
}

const lastBook = ({ rig: { of }, book }: Stage): FeedBook => of(book, 'book').at(-1)!.book;
const best = (book: FeedBook): number[] => [book.bids[0]!, book.asks[0]!];

describe('feed', () => {
  it('loses nothing when many frames come in one tick, which ccxt hands to nobody', async () => {
    const made = await stage('binance');
    made.rig.want(made.trades);
    await until(() => made.rig.state(made.trades)?.status === 'live', 'trades are subscribed');
    clearInterval(chatter);
    for (let round = 0; round < 5; round++) {
      for (let each = 0; each < 1_000; each++) made.tape.trade(made.symbol, (100 + each / 100).toFixed(2));
      for (let each = 0; each < 50; each++) change(made.tape, made.symbol);
    }
    const told = () => made.rig.of(made.trades, 'trades').flatMap(({ trades }) => trades);
    await until(() => told().length >= 5_000, 'all trades have come');
    expect(told().map(({ id }) => Number(id))).toEqual(Array.from({ length: 5_000 }, (_, index) => index + 1));
    expect(made.rig.silentHoles()).toEqual([]);
    await until(() => lastBook(made).exchangeSeq === made.tape.book(made.symbol)!.lastId, 'the last book has come');
    expect(made.rig.wrongBooks()).toEqual([]);
  });

  for (const venue of VENUES) {
    it(`never shows ${venue}'s book as live after a lost change, and mends it`, async () => {
      const made = await stage(venue);
      made.rig.sandbox.faults.set(`gap ${venue}/book`);
      const before = made.rig.told.length;
      await until(() => made.rig.sandbox.faults.counts().gap > 0, 'a change is lost');
      made.rig.sandbox.faults.clear();
      const after = () => made.rig.told.slice(before).filter(({ upstream }) => upstream.startsWith('book:'));
      await until(() => after().some((one) => one.type === 'state'), 'the loss is noticed');
      await until(() => made.rig.state(made.book)?.status === 'live', 'the book is live again');
      const states = after().flatMap((one) => (one.type === 'state' ? [one.state] : []));
      expect(states[0]).toMatchObject({ status: 'resyncing' });
      expect(states.at(-1)!.status).toBe('live');
      await until(() => after().at(-1)?.type === 'book', 'fresh data follows');
      expect(made.rig.wrongBooks()).toEqual([]);
    });

    it(`brings all of ${venue}'s streams back after a lost connection, and says so first`, async () => {
      const made = await stage(venue);
      made.rig.want(made.trades, made.ticker);
      const all = [made.book, made.trades, made.ticker];
      const ticker = { last: '100', open: '99', high: '101', low: '98', baseVolume: '5', quoteVolume: '500' };
      const sides = { bid: '99.9', bidSize: '1', ask: '100.1', askSize: '1' };
      let price = 100;
      const talking = setInterval(() => {
        made.tape.setTicker(made.symbol, { ...ticker, ...sides, last: String((price += 0.1)) });
        made.tape.trade(made.symbol);
      }, 50);
      await until(() => all.every((each) => made.rig.state(each)?.status === 'live'), 'all are live');
      for (let round = 0; round < 3; round++) {
        const before = made.rig.told.length;
        made.rig.sandbox.faults.set(`disconnect ${venue}`);
        await until(() => {
          const lost = made.rig.told.slice(before).filter((one) => one.type === 'state' && one.state.status !== 'live');
          return new Set(lost.map(({ upstream }) => upstream)).size >= 3;
        }, 'all are doubted');
        made.rig.sandbox.faults.clear();
        await until(() => all.every((each) => made.rig.state(each)?.status === 'live'), 'all are live again');
      }
      clearInterval(talking);
      expect(made.rig.of(made.book, 'state').map(({ state }) => state.reason)).toContain('disconnected');
      expect(made.rig.wrongBooks()).toEqual([]);
    });

    it(`survives every kind of garbage from ${venue} without passing any of it on`, async () => {
      const made = await stage(venue);
      made.rig.want(made.trades);
      const talking = setInterval(() => made.tape.trade(made.symbol), 30);
      made.rig.sandbox.faults.set(`garbage ${venue} 20%`);
      await until(() => made.rig.sandbox.faults.counts().garbage > 60, 'enough garbage has come');
      made.rig.sandbox.faults.clear();
      clearInterval(talking);
      await until(() => made.rig.state(made.book)?.status === 'live', 'the book is live again');
      expect(made.rig.wrongBooks()).toEqual([]);
      expect(made.rig.venueStates.map(({ status }) => status)).toEqual(['resyncing', 'live']);
      expect(await made.rig.metrics()).toMatch(/feed_threads_lost_total 0|^(?![\s\S]*feed_threads_lost_total\{)/);
    });
  }

  it('shows no crossed book, which no lost id would give away', async () => {
    const made = await stage('binance');
    made.rig.sandbox.faults.set('crossed binance/book');
    await until(() => made.rig.state(made.book)?.reason === 'crossed book', 'the crossing is noticed');
    made.rig.sandbox.faults.clear();
    await until(() => made.rig.state(made.book)?.status === 'live', 'the book is live again');
    expect(made.rig.wrongBooks()).toEqual([]);
    for (const { book } of made.rig.of(made.book, 'book')) expect(best(book)[0]).toBeLessThan(best(book)[1]!);
  });

  it('never shows a Kraken book whose checksum does not match', async () => {
    const made = await stage('kraken');
    made.rig.sandbox.faults.set('wrong-checksum kraken/book 30%');
    const mismatches = () =>
      made.rig.of(made.book, 'state').filter(({ state }) => state.reason === 'checksum mismatch').length;
    await until(() => mismatches() >= 5, 'mismatches are noticed again and again');
    made.rig.sandbox.faults.clear();
    await until(() => made.rig.state(made.book)?.status === 'live', 'the book is live again');
    // Also counts books that are told while the stream is not live.
    expect(made.rig.wrongBooks()).toEqual([]);
  });

  it('calls a silent stream stale within its budget, and believes only something newer', async () => {
    const silence = { minMs: 600, initialMs: 600, maxMs: 2_000, factor: 5 };
    const nudge = { baseMs: 200, factor: 1.5, maxMs: 500, jitter: 0 };
    const made = await stage('binance', { limits: { silence, nudge } });
    await until(() => made.rig.of(made.book, 'book').length > 20, 'the rate is known');
    clearInterval(chatter);
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
    keepTalking(made.tape, made.symbol);
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
    feed.unwant(made.book);
    const told = made.rig.told.length;
    feed.want(made.book);
    // Taken up again while it lingers: the present state is told once more, for whoever has forgotten it.
    expect(made.rig.told[told]).toMatchObject({ type: 'state', state: { status: 'live' } });
    await until(() => made.rig.told.slice(told).some(({ type }) => type === 'book'), 'the present book is told');
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
    rig = await startFeedRig({ sources: [good, bad], limits: { ...PROMPT, hangMs: 1_500, pulseMs: 100 } });
    const made = rig;
    const healthy: Upstream = { channel: 'book', venue: 'kraken', symbol: 'BTC/USD' };
    const hanging: Upstream = { channel: 'book', venue: 'binance', symbol: 'BTC/USDT' };
    made.want(healthy, hanging);
    chatter = setInterval(() => {
      change(good, 'BTC/USD');
      change(bad, 'BTC/USDT');
    }, 20);
    await until(() => [healthy, hanging].every((each) => made.state(each)?.status === 'live'), 'both are live');
    // ccxt inserts levels in quadratic time: a message like this keeps it busy for many seconds.
    const asks = Array.from({ length: 200_000 }, (_, index) => [String(1_000 + ((index * 7_919) % 200_000)), '1']);
    const next = bad.book('BTC/USDT')!.lastId + 1;
    bad.sendRaw(
      'BTC/USDT',
      JSON.stringify({ e: 'depthUpdate', E: Date.now(), s: 'BTCUSDT', U: next, u: next, b: [], a: asks }),
    );
    await until(() => made.state(hanging)?.reason === 'the thread hangs', 'the hanging thread is given up');
    const before = made.told.length;
    await until(() => made.state(hanging)?.status === 'live', 'a new thread has taken over');
    expect(made.told.slice(before).some(({ upstream }) => upstream.startsWith('book:kraken'))).toBe(true);
    expect(made.of(healthy, 'state').map(({ state }) => state.status)).toEqual(['resyncing', 'live']);
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
  });
});

/** Nothing has been told for a while that a chattering market would have filled. */
function quiet({ told }: FeedRig): boolean {
  return performance.now() - (told.at(-1)?.atMs ?? 0) > 200;
}
