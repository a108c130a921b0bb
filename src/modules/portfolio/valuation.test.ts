import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PortfolioSchema } from '../../protocol/trading.ts';
import type { BalanceText, Position } from '../../protocol/trading.ts';
import type { PriceSource } from './portfolio.ts';
import { PAPER_CURRENCY, rateOf, sumIn, valuePortfolio } from './valuation.ts';

const pricesOf =
  (prices: Readonly<Record<string, string>>): PriceSource =>
  (base, quote) => {
    const price = prices[`${base}/${quote}`];
    return price === undefined ? null : { price, ageMs: 5, venue: 'alpha' };
  };
const balance = (asset: string, total: string): BalanceText => ({ asset, total, available: total, held: '0' });
const position = (base: string, quote: string, given: Partial<Position> = {}): Position => ({
  account: 'paper',
  base,
  quote,
  quantity: '2',
  averageCost: '50',
  cost: '100',
  realizedPnl: '7',
  feesPaid: '1',
  updatedAt: 1,
  ...given,
});

describe('a rate', () => {
  it.each([
    ['its own currency', {}, 'PAPER:USDT', '1'],
    ['its market', { 'BTC/USDT': '60000.5' }, 'PAPER:BTC', '60000.5'],
    ['the reverse market', { 'USDT/USD': '0.8' }, 'PAPER:USD', '1.25'],
    ['a bridge', { 'XMR/USD': '100', 'USDT/USD': '0.5' }, 'PAPER:XMR', '200'],
    ['its market rather than a bridge', { 'XMR/USDT': '3', 'XMR/USD': '100', 'USD/USDT': '1' }, 'PAPER:XMR', '3'],
  ])('comes from %s', (_, prices, asset, rate) => {
    expect(rateOf(asset, PAPER_CURRENCY, pricesOf(prices))?.toFixed()).toBe(rate);
  });

  it.each([
    ['no market', {}],
    ['half of a bridge', { 'XMR/USD': '100' }],
    ['a price of zero in reverse', { 'USDT/XMR': '0' }],
    ['two bridges in a row', { 'XMR/EUR': '1', 'EUR/USD': '1', 'USD/USDT': '1' }],
  ])('is not made up from %s', (_, prices) => {
    expect(rateOf('PAPER:XMR', PAPER_CURRENCY, pricesOf(prices))).toBeNull();
  });
});

describe('a portfolio', () => {
  const holdings = {
    balances: [balance('PAPER:USDT', '1000.000000000000000001'), balance('PAPER:BTC', '2'), balance('PAPER:ETH', '0')],
    positions: [position('PAPER:BTC', 'PAPER:USDT')],
  };

  it('is the sum of what is held, to the last place', () => {
    const portfolio = valuePortfolio(holdings, pricesOf({ 'BTC/USDT': '60.1' }), 9);
    expect(PortfolioSchema.parse(portfolio)).toEqual(portfolio);
    expect(portfolio).toMatchObject({
      currency: PAPER_CURRENCY,
      equity: '1120.200000000000000001',
      unvalued: [],
      realizedPnl: '7',
      unrealizedPnl: '20.2',
      positions: [{ price: '60.1', priceAgeMs: 5, venue: 'alpha', value: '120.2', unrealizedPnl: '20.2' }],
      at: 9,
    });
  });

  it('says what it cannot value, and then has no equity rather than a wrong one', () => {
    const portfolio = valuePortfolio(holdings, pricesOf({}), 9);
    expect(PortfolioSchema.parse(portfolio)).toEqual(portfolio);
    expect(portfolio).toMatchObject({
      equity: null,
      unvalued: ['PAPER:BTC'],
      unrealizedPnl: null,
      realizedPnl: '7',
      positions: [{ price: null, priceAgeMs: null, venue: null, value: null, unrealizedPnl: null }],
    });
  });

  it('values a position in its own quote, and profits in the currency of the account', () => {
    const usd = {
      balances: [balance('PAPER:USD', '10'), balance('PAPER:BTC', '2')],
      positions: [position('PAPER:BTC', 'PAPER:USD'), position('PAPER:ETH', 'PAPER:USD', { quantity: '0', cost: '0' })],
    };
    const prices = { 'BTC/USD': '60', 'BTC/USDT': '120', 'USDT/USD': '0.5' };
    expect(valuePortfolio(usd, pricesOf(prices), 9)).toMatchObject({
      equity: '260',
      realizedPnl: '28',
      unrealizedPnl: '40',
      positions: [
        { value: '120', unrealizedPnl: '20' },
        { value: '0', unrealizedPnl: '0', price: null },
      ],
    });
    const without = valuePortfolio({ ...usd, balances: [] }, pricesOf({ 'BTC/USD': '60' }), 9);
    expect(without).toMatchObject({ equity: '0', unvalued: ['PAPER:USD'], realizedPnl: '0', unrealizedPnl: null });
  });

  it('asks for no price of what is not held', () => {
    const asked: string[] = [];
    const closed = {
      balances: [balance('PAPER:BTC', '0')],
      positions: [position('PAPER:BTC', 'PAPER:USDT', { quantity: '0' })],
    };
    valuePortfolio(closed, (base, quote) => (asked.push(`${base}/${quote}`), null), 9);
    expect(asked).toEqual([]);
  });
});

it('adds amounts without losing a unit, whatever their size', () => {
  const amount = fc.bigInt({ min: 1n, max: 10n ** 30n });
  fc.assert(
    fc.property(fc.array(amount, { minLength: 1, maxLength: 20 }), (units) => {
      const text = (value: bigint) => {
        const digits = value.toString().padStart(19, '0');
        return `${digits.slice(0, -18)}.${digits.slice(-18)}`;
      };
      const { total } = sumIn(
        PAPER_CURRENCY,
        units.map((each) => ({ asset: PAPER_CURRENCY, amount: text(each) })),
        () => null,
      );
      const sum = text(units.reduce((one, other) => one + other, 0n)).replace(/\.?0+$/, '');
      expect(total).toBe(sum);
    }),
  );
});
