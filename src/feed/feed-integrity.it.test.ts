import { afterEach, describe, expect, it } from 'vitest';
import { until } from '../testing/feed-rig.ts';
import { STAGED_VENUES, change, clearStage, fallSilent, lastBook, stage } from '../testing/feed-stage.ts';

afterEach(clearStage);

describe('feed integrity', () => {
  it('loses nothing when many frames come in one tick, which ccxt hands to nobody', async () => {
    const made = await stage('binance');
    made.rig.want(made.trades);
    await until(() => made.rig.state(made.trades)?.status === 'live', 'trades are subscribed');
    fallSilent();
    for (let round = 0; round < 5; round++) {
      for (let each = 0; each < 1_000; each++) made.tape.trade(made.symbol, (100 + each / 100).toFixed(2));
      for (let each = 0; each < 50; each++) change(made.tape);
    }
    const told = () => made.rig.of(made.trades, 'trades').flatMap(({ trades }) => trades);
    await until(() => told().length >= 5_000, 'all trades have come');
    expect(told().map(({ id }) => Number(id))).toEqual(Array.from({ length: 5_000 }, (_, index) => index + 1));
    expect(made.rig.silentHoles()).toEqual([]);
    await until(() => lastBook(made).exchangeSeq === made.tape.book(made.symbol)!.lastId, 'the last book has come');
    expect(made.rig.wrongBooks()).toEqual([]);
  });

  for (const venue of STAGED_VENUES) {
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
    for (const { book } of made.rig.of(made.book, 'book')) expect(book.bids[0]).toBeLessThan(book.asks[0]!);
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
});
