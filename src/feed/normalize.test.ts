import { describe, expect, it } from 'vitest';
import { candleFrom, candlesFrom, decimalText, exchangeTime, tickerFrom, tradeFrom } from './normalize.ts';

const NOW = 1_760_000_000_000;
/** What an exchange's fault can put where a number belongs. */
const NO_DECIMALS: unknown[] = [
  'NaN',
  'Infinity',
  '-Infinity',
  '-1',
  '+1',
  '.5',
  '5.',
  '1,000',
  '0x1f',
  '１２',
  ' 1',
  '1\n',
  '',
  '1e400',
  Number.NaN,
  Infinity,
  -1,
  null,
  undefined,
  true,
  {},
  [],
  ['5'],
  '9'.repeat(65),
];

describe('normalize', () => {
  it('takes no text for a decimal that a market could not have sent', () => {
    for (const value of NO_DECIMALS) expect(decimalText(value)).toBeUndefined();
    for (const text of ['0', '61837.63000000', '1e-8', '1E+5', '00.10']) expect(decimalText(text)).toBe(text);
    expect(decimalText(1e-7)).toBe('1e-7');
  });

  it('refuses times that are seconds, microseconds or far away', () => {
    expect(exchangeTime(NOW, NOW)).toBe(NOW);
    expect(exchangeTime(NOW + 0.5, NOW)).toBe(NOW);
    for (const value of [0, -1, NOW / 1000, NOW * 1000, NOW + 2 * 86_400_000, Number.NaN, 'x', null, undefined]) {
      expect(exchangeTime(value, NOW)).toBeUndefined();
    }
  });

  it('keeps the text of a trade and refuses one without positive price and size', () => {
    const trade = { id: 7, price: '0.10', amount: '1e-8', side: 'buy', timestamp: NOW };
    expect(tradeFrom(trade, NOW)).toEqual({ id: '7', price: '0.10', size: '1e-8', side: 'buy', ts: NOW });
    expect(tradeFrom({ ...trade, side: 'both', id: undefined }, NOW)).toMatchObject({ side: null, id: '' });
    for (const value of [...NO_DECIMALS, '0', 0]) {
      expect(tradeFrom({ ...trade, price: value }, NOW)).toBeNull();
      expect(tradeFrom({ ...trade, amount: value }, NOW)).toBeNull();
    }
    for (const value of [null, undefined, 'x', []]) expect(tradeFrom(value, NOW)).toBeNull();
  });

  it('passes on only what the ticker message says, never what ccxt worked out from it', () => {
    const info = { price: '100.0', price_percent_chg_24_h: '5', volume_24_h: '20.50' };
    const ticker = { last: '100.0', open: '95.23809523809524', baseVolume: '20.50', quoteVolume: '2050', info };
    expect(tickerFrom(ticker)).toEqual({ last: '100.0', baseVolume: '20.50' });
    expect(tickerFrom({ bid: 99.5, ask: 99.6, info: { data: { bids: ['99.50', '1'], asks: [99.6] } } })).toEqual({
      bid: '99.5',
      ask: '99.6',
    });
    for (const value of [null, undefined, 'x', {}, { last: 'NaN', info: { last: 'NaN' } }]) {
      expect(tickerFrom(value)).toBeNull();
    }
  });

  it('refuses candles that contradict themselves and sorts the rest', () => {
    const row = [NOW, '2', '3', '1', '2.5', '0'];
    expect(candleFrom(row, NOW)).toEqual({ ts: NOW, open: '2', high: '3', low: '1', close: '2.5', volume: '0' });
    expect(candleFrom([NOW, '4', '3', '1', '2.5', '0'], NOW)).toBeNull();
    expect(candleFrom([NOW, '2', '3', '2.1', '2.5', '0'], NOW)).toBeNull();
    for (const column of [0, 1, 2, 3, 4, 5]) {
      for (const value of NO_DECIMALS) expect(candleFrom(row.with(column, value as string), NOW)).toBeNull();
    }
    const earlier = row.with(0, NOW - 60_000);
    expect(candlesFrom([row, 'x', earlier], NOW).map(({ ts }) => ts)).toEqual([NOW - 60_000, NOW]);
    expect(candlesFrom({ length: 3 }, NOW)).toEqual([]);
  });
});
