import { expect, it } from 'vitest';
import { readRoute, routeHash } from './route.ts';

it('an address comes back as it was written, whatever letters the symbol has', () => {
  for (const symbol of ['BTC/USDT', 'BTC/USDT:USDT', '１２３/USDT', 'A%2FB/C'])
    expect(readRoute(routeHash('trade', 'binance', symbol))).toEqual({ screen: 'trade', venue: 'binance', symbol });
});

it.each(['', '#', '#/nowhere', '#/market/../x', '#/market/BINANCE/x', '#/market/binance', '#/market/binance/%E0%A4'])(
  '%j cannot break the page: it is the market screen with no market named',
  (hash) => expect(readRoute(hash)).toEqual({ screen: 'market', venue: null, symbol: null }),
);
