import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { market, startScriptedMarket } from '../../testing/scripted-market.ts';
import type { ScriptedMarket } from '../../testing/scripted-market.ts';
import { createLiveBooks } from './live-books.ts';
import type { LiveBooks } from './live-books.ts';

const PAIR = { venue: 'alpha', symbol: 'BTC/USDT' } as const;

let under: ScriptedMarket;
let books: LiveBooks;

beforeEach(async () => {
  under = await startScriptedMarket(['alpha'], (upstream, ingest) => {
    if (!('symbol' in upstream) || upstream.symbol !== PAIR.symbol) return;
    // An exchange answers a moment after it was asked.
    setTimeout(() => {
      const since = Date.now();
      ingest.upstreamState(upstream, { status: 'live', since, reason: '' });
      if (upstream.channel === 'book') {
        const [bids, asks] = [new Float64Array([99, 1, 98, 2]), new Float64Array([101, 3])];
        ingest.book({ ...PAIR, bids, asks, exchangeSeq: 7, ingestTs: since });
      }
      if (upstream.channel === 'ticker') ingest.ticker({ ...PAIR, ingestTs: since, fields: { last: '100.5' } });
    }, 50);
  });
  under.ingest.markets('alpha', [market('alpha', PAIR.symbol), market('alpha', 'ETH/USDT')]);
  books = createLiveBooks(under);
});
afterEach(async () => {
  books.stop();
  await under.stop();
});

describe('books for pricing', () => {
  it('the first who prices an order waits for the book instead of being told that there is none', async () => {
    const book = await books.book('alpha', PAIR.symbol);
    expect(book).toMatchObject({
      stream: 'book:alpha:BTC/USDT:100:100ms',
      exchangeSeq: 7,
      status: 'live',
      bids: [
        ['99.00', '1.000'],
        ['98.00', '2.000'],
      ],
      asks: [['101.00', '3.000']],
    });
    await expect.poll(async () => (await books.book('alpha', PAIR.symbol))?.last).toBe('100.50');
  });

  it('a book in doubt says so, and a last price in doubt is not given', async () => {
    await books.book('alpha', PAIR.symbol);
    await expect.poll(async () => (await books.book('alpha', PAIR.symbol))?.last).toBe('100.50');
    for (const channel of ['book', 'ticker'] as const) {
      const state = { status: 'stale', since: Date.now(), reason: 'silence' } as const;
      under.ingest.upstreamState({ channel, ...PAIR }, state);
    }
    await expect.poll(async () => (await books.book('alpha', PAIR.symbol))?.status).toBe('stale');
    expect((await books.book('alpha', PAIR.symbol))?.last ?? null).toBeNull();
  });

  it('a market without data is told as none after a moment, not after for ever', async () => {
    expect(await books.book('alpha', 'ETH/USDT')).toBeNull();
  });
});
