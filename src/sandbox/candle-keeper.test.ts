import { expect, it } from 'vitest';
import { CandleKeeper } from './candle-keeper.ts';
import type { TapeEvent, TapeTrade } from './tape.ts';

const START = 1_700_000_040_000; // a full minute
let nextId = 0;

function trade(ts: number, price: string, size: string): TapeTrade {
  nextId += 1;
  return { kind: 'trade', symbol: 'BTC/USDT', ts, id: String(nextId), price, size, takerSide: 'buy' };
}

it('adds sizes as decimals: a thousand times 0.1 is 100, not 99.9999', () => {
  const keeper = new CandleKeeper('BTC/USDT', []);
  for (let count = 0; count < 1000; count++) keeper.trade(trade(START + count, '3', '0.1'));
  expect(keeper.candles('1m', 10)).toEqual([
    { openTs: START, open: '3', high: '3', low: '3', close: '3', volume: '100', quoteVolume: '300', trades: 1000 },
  ]);
});

it('closes each candle once, with its last state, and begins the next with its own first trade', () => {
  const keeper = new CandleKeeper('BTC/USDT', []);
  const prices = ['10', '12', '9', '11'];
  for (const [index, price] of prices.entries()) keeper.trade(trade(START + index * 1000, price, '1'));
  const events = keeper.trade(trade(START + 61_000, '20', '2'));
  const minute = events.filter((event) => event.kind === 'candle' && event.timeframe === '1m');
  expect(minute).toMatchObject([
    { closed: true, open: '10', high: '12', low: '9', close: '11', volume: '4', trades: 4 },
  ]);
  expect(keeper.due(START + 61_000).filter(isMinute)).toMatchObject([{ closed: false, open: '20', volume: '2' }]);
  expect(keeper.candles('1m', 10).map(({ openTs }) => openTs)).toEqual([START, START + 60_000]);
});

it('invents no candle for a minute without trades', () => {
  const keeper = new CandleKeeper('BTC/USDT', []);
  keeper.trade(trade(START, '10', '1'));
  keeper.trade(trade(START + 300_000, '11', '1'));
  expect(keeper.candles('1m', 10).map(({ openTs }) => openTs)).toEqual([START, START + 300_000]);
});

it('pushes a running candle a few times a second, not once per trade', () => {
  const keeper = new CandleKeeper('BTC/USDT', []);
  let pushed = 0;
  for (let ms = 0; ms < 1000; ms++) pushed += keeper.trade(trade(START + ms, '10', '1')).filter(isMinute).length;
  expect(pushed).toBeGreaterThanOrEqual(3);
  expect(pushed).toBeLessThanOrEqual(5);
});

it('leaves the exchange’s own candles alone until told to derive all', () => {
  const keeper = new CandleKeeper('BTC/USDT', ['1m']);
  const own = {
    openTs: START,
    open: '1',
    high: '9',
    low: '1',
    close: '5',
    volume: '77',
    quoteVolume: '300',
    trades: 40,
  };
  keeper.record({ kind: 'candle', symbol: 'BTC/USDT', ts: START, timeframe: '1m', closed: false, ...own });
  keeper.trade(trade(START + 100, '5', '1'));
  expect(keeper.due(START + 61_000).filter(isMinute)).toEqual([]);
  expect(keeper.candles('1m', 10)).toEqual([own]);
  keeper.deriveAll();
  keeper.trade(trade(START + 120_000, '6', '1'));
  expect(keeper.due(START + 121_000).filter(isMinute)).toHaveLength(1);
});

it('keeps a bounded history', () => {
  const keeper = new CandleKeeper('BTC/USDT', []);
  for (let minute = 0; minute < 2000; minute++) keeper.trade(trade(START + minute * 60_000, '1', '1'));
  expect(keeper.candles('1m', 10_000).length).toBeLessThanOrEqual(1501);
});

function isMinute(event: TapeEvent): boolean {
  return event.kind === 'candle' && event.timeframe === '1m';
}
