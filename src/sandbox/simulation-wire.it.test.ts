import type { Exchange } from 'ccxt';
import { afterEach, describe, expect, it } from 'vitest';
import { createLog } from '../platform/log.ts';
import { openCcxt, until, watchLoop } from '../testing/ccxt-venue.ts';
import type { CcxtBook } from '../testing/ccxt-venue.ts';
import { createSimulation, SANDBOX_VENUES, startSandbox } from './index.ts';
import type { SandboxVenue, TapeSource } from './index.ts';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const clock = { now: () => Date.now(), monotonic: () => performance.now() };
const SYMBOLS: Readonly<Record<SandboxVenue, string>> = {
  binance: 'BTC/USDT',
  binanceusdm: 'BTC/USDT:USDT',
  kraken: 'BTC/USD',
  coinbase: 'BTC/USD',
  kucoin: 'BTC/USDT',
  okx: 'BTC/USDT',
};
/** Levels that every ccxt book must have right: the depth that its snapshot has at this venue. */
const LEVELS: Readonly<Record<SandboxVenue, number>> = {
  binance: 500,
  binanceusdm: 500,
  kraken: 100,
  coinbase: 1000,
  kucoin: 50,
  okx: 400,
};

async function rig(venue: SandboxVenue): Promise<{ source: TapeSource; exchange: Exchange; symbol: string }> {
  const symbol = SYMBOLS[venue];
  const [source] = createSimulation({ venues: [venue], seed: 3, clock, symbols: [symbol] });
  const sandbox = await startSandbox({ sources: [source!], log: createLog({ level: 'silent' }) });
  cleanups.push(() => sandbox.stop());
  const exchange = await openCcxt(venue, sandbox.url);
  cleanups.push(() => exchange.close());
  return { source: source!, exchange, symbol };
}

describe.each(SANDBOX_VENUES)('frames made for %s', (venue) => {
  it('give unmodified ccxt every stream, and a book that is right when the market stands still', async () => {
    const { source, exchange, symbol } = await rig(venue);
    const got = new Map<string, unknown>();
    const watch = (name: string, call: () => Promise<unknown>): { errors: string[]; stop(): void } =>
      watchLoop(call, (value) => got.set(name, value));
    const depth = venue === 'kraken' ? 100 : undefined;
    const loops = [
      watch('book', () => exchange.watchOrderBook(symbol, depth)),
      watch('trades', () => exchange.watchTrades(symbol)),
      watch('ticker', () => exchange.watchTicker(symbol)),
      ...(exchange.has['watchOHLCV'] === true ? [watch('candles', () => exchange.watchOHLCV(symbol, '1m'))] : []),
      // Kraken's ticker and its bids and asks are one channel that ccxt cannot hold twice.
      ...(exchange.has['watchBidsAsks'] === true && venue !== 'kraken'
        ? [watch('top', () => exchange.watchBidsAsks([symbol]))]
        : []),
    ];
    await until(
      () => got.size === loops.length,
      `all of ${loops.length} streams, not only ${[...got.keys()].join(', ')}`,
    );
    source.stop();
    const numbers = (side: readonly (readonly (string | number)[])[]): number[][] =>
      side.slice(0, LEVELS[venue]).map(([price, size]) => [Number(price), Number(size)]);
    const text = (book: Pick<CcxtBook, 'bids' | 'asks'>): string =>
      JSON.stringify([numbers(book.bids), numbers(book.asks)]);
    const truth = source.book(symbol)! as unknown as CcxtBook;
    await until(() => text(exchange.orderbooks[symbol] as unknown as CcxtBook) === text(truth), 'the book is right');
    loops.forEach((loop) => loop.stop());
    expect(loops.flatMap((loop) => loop.errors)).toEqual([]);
    expect((got.get('trades') as { price: number; side: string }[])[0]!.side).toMatch(/^(buy|sell)$/);
    expect((got.get('ticker') as { last: number }).last).toBeGreaterThan(0);
  });

  it('give unmodified ccxt every REST answer', async () => {
    const { source, exchange, symbol } = await rig(venue);
    const book = await exchange.fetchOrderBook(symbol, 20);
    expect(book.bids[0]![0]!).toBeLessThan(book.asks[0]![0]!);
    const candles = await exchange.fetchOHLCV(symbol, '1m');
    expect(candles.length).toBeGreaterThan(50);
    // The last but one no longer moves.
    const [openTs, , , , close] = candles.at(-2)!;
    expect(Number(source.candles(symbol, '1m', 100).find((candle) => candle.openTs === openTs)!.close)).toBe(close);
    expect((await exchange.fetchTicker(symbol)).last).toBeGreaterThan(0);
    await until(async () => (await exchange.fetchTrades(symbol)).length > 0, 'trades');
    const ids = (await exchange.fetchTrades(symbol)).map(({ id }) => id);
    expect(source.trades(symbol, 1000).some(({ id }) => ids.includes(id))).toBe(true);
  });
});
