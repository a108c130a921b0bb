import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bookChecksum } from '../../protocol/book.ts';
import {
  SCRIPTED_TS as TS,
  startGateway,
  startQuotedMarket,
  get,
  readProblem,
} from '../../testing/scripted-gateway.ts';
import type { ScriptedMarket } from '../../testing/scripted-market.ts';
import type { HttpGateway } from './app.ts';

let scripted: ScriptedMarket;
let gateway: HttpGateway;

beforeAll(async () => {
  scripted = await startQuotedMarket();
  gateway = await startGateway(scripted);
});

afterAll(async () => {
  await gateway.app.close();
  await scripted.stop();
});

describe('books', () => {
  it('come with position, times, exchange sequence, state and a checksum that holds', async () => {
    const answer = (await get(gateway, '/v1/markets/binance/BTC-USDT/book')).json();
    expect(answer).toMatchObject({
      stream: 'book:binance:BTC/USDT:25:100ms',
      seq: expect.any(Number),
      epoch: expect.any(String),
      exchangeTs: TS,
      ingestTs: TS + 5,
      exchangeSeq: 77,
      ageMs: expect.any(Number),
      state: { status: 'live', reason: '' },
    });
    expect(answer.data.bids).toHaveLength(25);
    expect(answer.data.bids[0]).toEqual(['99.99', '1.500']);
    expect(answer.data.checksum).toBe(bookChecksum(answer.data.bids, answer.data.asks));
  });

  it.each([
    [1, '10'],
    [7, '10'],
    [10, '10'],
    [11, '25'],
    [100, '100'],
  ])('of depth %i are cut from the %s tier, with a checksum of what is sent', async (depth, tier) => {
    const answer = (await get(gateway, `/v1/markets/binance/BTC-USDT/book?depth=${depth}`)).json();
    expect(answer.stream).toBe(`book:binance:BTC/USDT:${tier}:100ms`);
    expect([answer.data.bids.length, answer.data.asks.length]).toEqual([depth, depth]);
    expect(answer.data.checksum).toBe(bookChecksum(answer.data.bids, answer.data.asks));
  });

  it('of a source in doubt are still told, with the doubt', async () => {
    const upstream = { channel: 'book', venue: 'binance', symbol: 'ETH/USDT' } as const;
    await get(gateway, '/v1/markets/binance/ETH-USDT/book');
    scripted.ingest.upstreamState(upstream, { status: 'stale', since: TS + 9, reason: 'silent' });
    const answer = await get(gateway, '/v1/markets/binance/ETH-USDT/book');
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toMatchObject({
      state: { status: 'stale', reason: 'silent' },
      data: { bids: expect.any(Array) },
    });
    scripted.ingest.upstreamState(upstream, { status: 'live', since: TS, reason: '' });
  });

  it(
    'of a market that brings no data are refused as unavailable, with a time to come back',
    { timeout: 10_000 },
    async () => {
      const answer = await gateway.app.inject('/v1/markets/binance/DEAD-USDT/book');
      expect(answer.headers['retry-after']).toBe('5');
      expect(answer.json()).toMatchObject({
        status: 503,
        code: 'venue_unavailable',
        temporary: true,
        retryAfterMs: 5_000,
      });
    },
  );
});

describe('symbols in paths', () => {
  it.each([
    ['BTC-USDT', 'BTC/USDT'],
    ['BTC%2FUSDT', 'BTC/USDT'],
    ['BTC-USDT:USDT', 'BTC/USDT:USDT'],
    ['BTC-USDT%3AUSDT', 'BTC/USDT:USDT'],
    ['1000-SATS-USDT', '1000-SATS/USDT'],
    [encodeURIComponent('１２３-USDT'), '１２３/USDT'],
    [encodeURIComponent('１２３/USDT'), '１２３/USDT'],
  ])('%s is %s', async (pair, symbol) => {
    expect((await get(gateway, `/v1/markets/binance/${pair}/ticker`)).json().stream).toBe(`ticker:binance:${symbol}`);
    expect((await get(gateway, `/v1/markets/binance/${pair}`)).json().symbol).toBe(symbol);
  });

  it.each([
    ['/v1/markets/binance/BTC-EUR/ticker', 'unknown_symbol'],
    ['/v1/markets/binance/btc-usdt/ticker', 'unknown_symbol'],
    ['/v1/markets/binance/BTCUSDT/ticker', 'unknown_symbol'],
    ['/v1/markets/mtgox/BTC-USD/ticker', 'unknown_venue'],
    ['/v1/markets/__proto__/BTC-USD/ticker', 'unknown_venue'],
    ['/v1/markets/silent/BTC-USD/ticker', 'venue_unavailable'],
    [`/v1/markets/binance/${'A'.repeat(200)}/ticker`, 'bad_request'],
    ['/v1/markets/binance/BTC-USDT/tickers', 'not_found'],
    ['/v1/markets/binance/BTC/USDT/ticker', 'not_found'],
  ])('%s answers %s', async (url, code) => {
    expect((await readProblem(gateway, url)).code).toBe(code);
  });
});

describe('tickers, trades and candles', () => {
  it('are what their streams say, as decimal text', async () => {
    expect((await get(gateway, '/v1/markets/binance/BTC-USDT/ticker')).json().data).toMatchObject({
      last: '100.00',
      bid: '99.99',
      high: null,
    });
    const trades = (await get(gateway, '/v1/markets/binance/BTC-USDT/trades?limit=2')).json().data.trades;
    expect(trades.map((trade: { id: string }) => trade.id)).toEqual(['b', 'c']);
    const candles = (await get(gateway, '/v1/markets/binance/BTC-USDT/candles?timeframe=5m&limit=2')).json();
    expect(candles.stream).toBe('candles:binance:BTC/USDT:5m');
    expect(candles.data).toMatchObject({ origin: 'exchange', candles: [{ ts: TS + 60_000 }, { ts: TS + 120_000 }] });
  });

  it('are never kept by a cache', async () => {
    expect((await get(gateway, '/v1/markets/binance/BTC-USDT/ticker')).headers['cache-control']).toBe('no-store');
  });
});

describe('queries', () => {
  const book = '/v1/markets/binance/BTC-USDT/book';
  it.each([
    [`${book}?depth=0`, 'querystring.depth'],
    [`${book}?depth=101`, 'querystring.depth'],
    [`${book}?depth=-1`, 'querystring.depth'],
    [`${book}?depth=1e1`, 'querystring.depth'],
    [`${book}?depth=0x10`, 'querystring.depth'],
    [`${book}?depth=010`, 'querystring.depth'],
    [`${book}?depth=10.0`, 'querystring.depth'],
    [`${book}?depth=%2010`, 'querystring.depth'],
    [`${book}?depth=%EF%BC%91%EF%BC%90`, 'querystring.depth'],
    [`${book}?depth=`, 'querystring.depth'],
    [`${book}?depth`, 'querystring.depth'],
    [`${book}?depth=10&depth=20`, 'querystring.depth'],
    [`${book}?depth[]=10`, 'depth[]'],
    [`${book}?Depth=10`, 'Depth'],
    [`${book}?__proto__=10`, '__proto__'],
    [`${book}?a[__proto__]=10`, '__proto__'],
    [`${book}?deep=10`, 'deep'],
    ['/v1/markets/binance/BTC-USDT/ticker?depth=10', 'depth'],
    ['/v1/venues?all=true', 'all'],
    ['/v1/markets/binance/BTC-USDT/trades?limit=101', 'querystring.limit'],
    ['/v1/markets/binance/BTC-USDT/candles?timeframe=2m', 'querystring.timeframe'],
    ['/v1/markets/binance/BTC-USDT/candles?timeframe=1m&timeframe=1m', 'querystring.timeframe'],
    ['/v1/markets?limit=1000000000', 'querystring.limit'],
    ['/v1/markets?limit=1001', 'querystring.limit'],
    ['/v1/markets?active=1', 'querystring.active'],
    ['/v1/markets?cursor=%00', 'querystring.cursor'],
    ['/v1/markets?cursor=e30', 'querystring.cursor'],
    ['/v1/markets?cursor=WyJhIl0', 'querystring.cursor'],
    ['/v1/markets?venue=Binance', 'querystring.venue'],
    ['/v1/markets?q=', 'querystring.q'],
  ])('%s is refused and the field is named', async (url, named) => {
    const body = await readProblem(gateway, url);
    expect(body.code).toBe('bad_request');
    expect(body.detail).toContain(named);
  });

  it('of a venue that is not configured say so', async () => {
    expect((await readProblem(gateway, '/v1/markets?venue=mtgox')).code).toBe('unknown_venue');
  });
});

describe('the market list', () => {
  it('is complete when paged one by one, without repeats', async () => {
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null && seen.length < 50) {
      const page: { markets: { venue: string; symbol: string }[]; nextCursor: string | null } = (
        await get(gateway, `/v1/markets?limit=1${cursor && `&cursor=${cursor}`}`)
      ).json();
      seen.push(...page.markets.map((each) => `${each.venue}:${each.symbol}`));
      cursor = page.nextCursor;
    }
    expect(seen).toHaveLength(8);
    expect(new Set(seen).size).toBe(8);
    expect(seen.at(-1)).toBe('kraken:OLD/USD');
  });

  it.each([
    ['base=BTC', ['BTC/USDT', 'BTC/USDT:USDT', 'BTC/USD']],
    ['base=BTC&quote=USD', ['BTC/USD']],
    ['venue=kraken', ['BTC/USD', 'OLD/USD']],
    ['active=false', ['OLD/USD']],
    ['q=sats', ['1000-SATS/USDT']],
    ['q=nothing', []],
  ])('filtered by %s is %j', async (query, symbols) => {
    const { markets } = (await get(gateway, `/v1/markets?${query}`)).json();
    expect(markets.map((each: { symbol: string }) => each.symbol)).toEqual(symbols);
  });

  it('is not sent again to who has it', async () => {
    const first = await get(gateway, '/v1/markets');
    expect(first.headers['cache-control']).toBe('public, max-age=10');
    const again = await get(gateway, '/v1/markets', { 'if-none-match': first.headers['etag'] as string });
    expect([again.statusCode, again.body]).toEqual([304, '']);
  });
});

it('venues that have said nothing are named, not invented', async () => {
  const { venues, unreported } = (await get(gateway, '/v1/venues')).json();
  expect(venues.map((each: { venue: string }) => each.venue)).toEqual(['binance', 'kraken', 'silent']);
  expect(venues[0]).toMatchObject({ source: 'simulation', status: 'live', markets: 6 });
  expect(venues[2]).toMatchObject({ status: 'resyncing', markets: 0 });
  expect(unreported).toEqual([]);
});
