import { describe, expect, it } from 'vitest';
import { MarketSchema } from '../protocol/market.ts';
import type { CcxtMarket } from './ccxt-surface.ts';
import { marketFrom } from './market-list.ts';

const MARKET: CcxtMarket = {
  id: 'ABUSDT',
  symbol: 'AB/USDT',
  base: 'AB',
  quote: 'USDT',
  type: 'spot',
  active: undefined,
  precision: { price: 0.05, amount: 1e-8 },
  limits: { amount: { min: 0.001 }, cost: { min: 10 } },
  info: {},
};
const [PLACES, DIGITS, TICK] = [2, 3, 4];

describe('marketFrom', () => {
  it('gives ticks as plain text whatever way the exchange counts precision', () => {
    const tick = marketFrom('x', MARKET, TICK);
    expect(tick).toMatchObject({ priceDecimals: 2, tickSize: '0.05', sizeDecimals: 8, lotSize: '0.00000001' });
    expect(tick).toMatchObject({ minSize: '0.001', minNotional: '10', active: true });
    const places = marketFrom('x', { ...MARKET, precision: { price: 3, amount: -1 } }, PLACES);
    expect(places).toMatchObject({ priceDecimals: 3, tickSize: '0.001', sizeDecimals: 0, lotSize: '10' });
    for (const market of [tick, places]) expect(MarketSchema.safeParse(market).success).toBe(true);
  });

  it('says that it does not know instead of guessing', () => {
    for (const precision of [{}, { price: Number.NaN, amount: 0 }, { price: -1, amount: Infinity }]) {
      const market = marketFrom('x', { ...MARKET, precision, limits: {}, active: false }, TICK);
      expect(market).toMatchObject({ tickSize: null, lotSize: null, minSize: null, minNotional: null, active: false });
      expect(MarketSchema.safeParse(market).success).toBe(true);
    }
    expect(marketFrom('x', MARKET, DIGITS).tickSize).toBeNull();
  });
});
