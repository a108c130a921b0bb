import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32 } from '../kernel/crc32.ts';
import { BookState, bookChecksum } from './book.ts';
import { CLOSE_CODES, mayReconnect } from './close-codes.ts';
import type { Level } from './messages.ts';
import { parseStreamName } from './streams.ts';

describe('stream names', () => {
  it.each([
    ['ticker:binance:BTC/USDT', { channel: 'ticker', venue: 'binance', symbol: 'BTC/USDT' }],
    ['book:binance:BTC/USDT', { channel: 'book', symbol: 'BTC/USDT', depth: 25, rate: '100ms' }],
    ['book:binance:BTC/USDT:10', { channel: 'book', symbol: 'BTC/USDT', depth: 10, rate: '100ms' }],
    ['book:binance:BTC/USDT:1s', { channel: 'book', symbol: 'BTC/USDT', depth: 25, rate: '1s' }],
    ['book:binance:BTC/USDT:100:250ms', { channel: 'book', symbol: 'BTC/USDT', depth: 100, rate: '250ms' }],
    // A swap's symbol holds a colon of its own.
    ['book:binanceusdm:BTC/USDT:USDT:25:100ms', { symbol: 'BTC/USDT:USDT', depth: 25 }],
    ['candles:coinbase:BTC/USD:1m', { channel: 'candles', symbol: 'BTC/USD', timeframe: '1m' }],
    ['candles:okx:BTC/USDT:USDT', { symbol: 'BTC/USDT:USDT', timeframe: '1m' }],
    ['venue:kraken', { channel: 'venue', venue: 'kraken' }],
    // Binance lists symbols that are not ASCII.
    ['trades:binance:１２３４５６/USDT', { symbol: '１２３４５６/USDT' }],
  ])('%s is understood', (name, spec) => {
    expect(parseStreamName(name)).toMatchObject({ ok: true, spec: { ...spec, name } });
  });

  it.each([
    ['', 'unknown_stream'],
    ['ticker', 'unknown_stream'],
    ['ticker:binance', 'unknown_stream'],
    ['ticker:binance:', 'unknown_stream'],
    ['ticker::BTC/USDT', 'unknown_stream'],
    ['ticker:BINANCE:BTC/USDT', 'unknown_stream'],
    ['ticker:binance:BTC USDT', 'unknown_stream'],
    ['ticker:binance:BTC/USDT\u0000', 'unknown_stream'],
    ['venue:kraken:BTC/USD', 'unknown_stream'],
    ['__proto__:binance:BTC/USDT', 'unknown_stream'],
    ['markets:binance', 'unknown_stream'],
    [`ticker:binance:${'A'.repeat(300)}`, 'unknown_stream'],
    ['book:binance:BTC/USDT:11:100ms', 'unsupported_option'],
    ['book:binance:BTC/USDT:10:5ms', 'unsupported_option'],
    ['candles:binance:BTC/USDT:7m', 'unsupported_option'],
  ])('%j is refused as %s', (name, code) => {
    expect(parseStreamName(name)).toMatchObject({ ok: false, code });
  });

  it('never throws, whatever the text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 300 }),
        (name) => typeof parseStreamName(name).ok === 'boolean',
      ),
    );
  });
});

describe('book checksum', () => {
  it('covers price and size of ten ranks, bid before ask, and skips a side that has run out', () => {
    expect(
      bookChecksum(
        [
          ['10.1', '1.0'],
          ['10.0', '2.0'],
        ],
        [['10.2', '3.0']],
      ),
    ).toBe(crc32('10.1:1.0:10.2:3.0:10.0:2.0'));
    expect(bookChecksum([], [])).toBe(0);
    const deep: Level[] = Array.from({ length: 12 }, (_, rank) => [`${100 - rank}`, '1']);
    expect(bookChecksum(deep, [])).toBe(bookChecksum(deep.slice(0, 10), []));
  });
});

describe('book state', () => {
  const change = fc.tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 5 }));
  it('equals a sorted map after any deltas', () => {
    fc.assert(
      fc.property(fc.array(change), fc.array(change), (bids, asks) => {
        const book = new BookState();
        const model = { bids: new Map<number, number>(), asks: new Map<number, number>() };
        for (const [side, changes] of [
          ['bids', bids],
          ['asks', asks],
        ] as const) {
          for (const [price, size] of changes) {
            book.apply({ bids: [], asks: [], [side]: [[String(price), String(size)]] });
            if (size === 0) model[side].delete(price);
            else model[side].set(price, size);
          }
        }
        const sorted = (side: Map<number, number>, direction: number) =>
          [...side].sort((a, b) => (a[0] - b[0]) * direction).map(([price, size]) => [String(price), String(size)]);
        expect(book.bids).toEqual(sorted(model.bids, -1));
        expect(book.asks).toEqual(sorted(model.asks, 1));
      }),
    );
  });

  it('does not change the snapshot it was made from', () => {
    const snapshot = { bids: [['1', '1']] as Level[], asks: [] };
    const book = new BookState();
    book.reset(snapshot);
    book.apply({ bids: [['1', '0']], asks: [] });
    expect(snapshot.bids).toEqual([['1', '1']]);
  });
});

describe('close codes', () => {
  it('tell by their band whether to come back', () => {
    expect(mayReconnect(CLOSE_CODES.shutdown.code)).toBe(true);
    expect(mayReconnect(CLOSE_CODES.slow_consumer.code)).toBe(true);
    expect(mayReconnect(CLOSE_CODES.abuse.code)).toBe(false);
  });
});
