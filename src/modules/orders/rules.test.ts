import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Market } from '../../protocol/market.ts';
import { AmountText } from '../../protocol/trading.ts';
import type { QuoteRequest } from '../../protocol/trading.ts';
import { BTC_USDT, FINE_MARKET, limitOrder, marketOrder } from '../../testing/orders.ts';
import { fieldsVerdict, timeInForceOf } from './field-rules.ts';
import { fixed, plain, tryFixed } from './fixed.ts';
import { marketVerdict, openVerdict } from './market-rules.ts';

const NOW = 1_700_000_000_000;
const REFERENCE = fixed('100');

function fields(order: QuoteRequest): string {
  const verdict = fieldsVerdict(order, NOW);
  return verdict.ok ? 'sound' : verdict.code;
}

function onMarket(order: QuoteRequest, market: Market = BTC_USDT): string {
  const verdict = marketVerdict(order, market, REFERENCE);
  return verdict.ok ? 'sound' : `${verdict.code}: ${verdict.message}`;
}

describe('fields of an order', () => {
  const stop: QuoteRequest = { ...marketOrder(), type: 'stop', stopPrice: '110' };
  it.each<[string, QuoteRequest, string]>([
    ['a limit', limitOrder(), 'sound'],
    ['a limit without a price', { ...marketOrder(), type: 'limit' }, 'invalid_order'],
    ['a limit with a stop price', limitOrder({ stopPrice: '90' }), 'invalid_order'],
    ['a limit with a protection price', limitOrder({ protectionPrice: '101' }), 'invalid_order'],
    ['a post-only limit', limitOrder({ postOnly: true }), 'sound'],
    ['a post-only IOC', limitOrder({ postOnly: true, timeInForce: 'IOC' }), 'invalid_order'],
    ['a limit by quoteQuantity', limitOrder({ quoteQuantity: '5' }), 'invalid_order'],
    ['GTD without a date', limitOrder({ timeInForce: 'GTD' }), 'invalid_order'],
    ['GTD', limitOrder({ timeInForce: 'GTD', expireAt: NOW + 1 }), 'sound'],
    ['a date alone', limitOrder({ expireAt: NOW + 1 }), 'sound'],
    ['a date with GTC', limitOrder({ timeInForce: 'GTC', expireAt: NOW + 1 }), 'invalid_order'],
    ['a date now', limitOrder({ expireAt: NOW }), 'invalid_order'],
    ['a date in ten years', limitOrder({ expireAt: NOW + 10 * 366 * 86_400_000 }), 'invalid_order'],
    ['market', marketOrder(), 'sound'],
    ['market that is not post-only', marketOrder({ postOnly: false }), 'sound'],
    ['market that is post-only', marketOrder({ postOnly: true }), 'invalid_order'],
    ['market GTC', marketOrder({ timeInForce: 'GTC' }), 'invalid_order'],
    ['market FOK', marketOrder({ timeInForce: 'FOK' }), 'sound'],
    ['market with a price', marketOrder({ price: '1' }), 'invalid_order'],
    ['market with two amounts', marketOrder({ quoteQuantity: '5' }), 'invalid_order'],
    ['market by quoteQuantity', { ...limitless(), quoteQuantity: '5' }, 'sound'],
    ['market sale by quoteQuantity', { ...limitless(), side: 'sell', quoteQuantity: '5' }, 'invalid_order'],
    ['market with no amount', limitless(), 'invalid_order'],
    ['a stop', stop, 'sound'],
    ['a stop with a price', { ...stop, price: '111' }, 'invalid_order'],
    ['a stop IOC', { ...stop, timeInForce: 'IOC' }, 'invalid_order'],
    ['a stop-limit', { ...stop, type: 'stop_limit', price: '111' }, 'sound'],
    ['a stop-limit without a price', { ...stop, type: 'stop_limit' }, 'invalid_order'],
    ['a trailing stop', { ...marketOrder(), type: 'trailing_stop', trailingDelta: 100 }, 'sound'],
    ['a trailing stop with a stop', { ...stop, type: 'trailing_stop', trailingDelta: 100 }, 'invalid_order'],
    ['a trailing stop without a delta', { ...marketOrder(), type: 'trailing_stop' }, 'invalid_order'],
  ])('%s: %#', (_name, order, expected) => expect(fields(order)).toBe(expected));

  it('say when the order ends by itself', () => {
    expect(timeInForceOf(limitOrder())).toBe('GTC');
    expect(timeInForceOf(limitOrder({ expireAt: NOW + 1 }))).toBe('GTD');
    expect(timeInForceOf(marketOrder())).toBe('IOC');
  });

  function limitless(): QuoteRequest {
    const { quantity: _none, ...rest } = marketOrder();
    return rest;
  }
});

describe('amounts that are no amounts', () => {
  const BAD = [
    '1e309 -1e309 1e-400 NaN Infinity -0 0 0.0 00.1 +1 .5 5. 1e5 1E-8 1e1000000000 0x1f 0b11 1_000 1,000'.split(' '),
    ['1.000,5', ' 1 ', '1\n', '１２', '١٢', '²', '', '-1', '0.1000000000000000055511151231257827'],
    ['9'.repeat(40), `0.${'1'.repeat(19)}`, '9'.repeat(10_240)],
  ].flat();
  it.each(BAD)('are refused at the schema and, should they get past it, by the rules: %j', (text) => {
    expect(AmountText.safeParse(text).success).toBe(false);
    for (const field of ['quantity', 'price'] as const) {
      const verdict = fieldsVerdict(limitOrder({ [field]: text }), NOW);
      const refused = verdict.ok ? marketVerdict(limitOrder({ [field]: text }), BTC_USDT, null) : verdict;
      expect(refused.ok, `${field} ${text}`).toBe(false);
    }
  });

  it.each([null, 1, Number('9007199254740993'), true, [], ['5'], {}])('nor as another type: %j', (value) => {
    expect(AmountText.safeParse(value).success).toBe(false);
  });
});

describe('rules of the market', () => {
  it.each<[QuoteRequest, string]>([
    [limitOrder(), 'sound'],
    [limitOrder({ price: '100.005' }), 'price_off_tick: prices are multiples of 0.01; the nearest: 100 or 100.01'],
    [
      limitOrder({ quantity: '0.123456' }),
      'quantity_off_lot: quantities are multiples of 0.00001; the nearest: 0.12345 or 0.12346',
    ],
    [
      limitOrder({ quantity: '0.000001' }),
      'quantity_off_lot: quantities are multiples of 0.00001; the nearest: 0.00001',
    ],
    [
      limitOrder({ quantity: '0.01', price: '99.99' }),
      'below_minimum: the smallest order is worth 5 USDT: at this price 0.05001 BTC',
    ],
    [marketOrder({ quantity: '0.04' }), 'below_minimum: the smallest order is worth 5 USDT: at this price 0.05 BTC'],
    [limitOrder({ price: '500.01' }), 'price_out_of_band: the market is at 100; prices from 20 to 500'],
    [limitOrder({ price: '19.99' }), 'price_out_of_band: the market is at 100; prices from 20 to 500'],
    [
      limitOrder({ quantity: '99999999999999999999', price: '99.99' }),
      'above_maximum: quantities this large cannot be kept',
    ],
  ])('%j: %s', (order, expected) => expect(onMarket(order)).toBe(expected));

  it('suggest only what is then taken', () => {
    const price = fc.bigInt({ min: 10n ** 12n, max: 10n ** 23n }).map(plain);
    const quantity = fc.bigInt({ min: 1n, max: 10n ** 21n }).map(plain);
    fc.assert(
      fc.property(price, quantity, fc.constantFrom('0.01', '0.5', '7', '0.00000001'), (given, amount, step) => {
        const market = { ...BTC_USDT, tickSize: step, lotSize: step, minSize: step, minNotional: '12.34' };
        let order = limitOrder({ price: given, quantity: amount });
        for (let round = 0; round < 4; round++) {
          const verdict = marketVerdict(order, market, null);
          if (verdict.ok) return true;
          const suggested = verdict.message.match(/[0-9.]*[0-9]/g)!.filter((text) => tryFixed(text) !== null);
          const best = suggested.at(-1)!;
          order = verdict.code === 'price_off_tick' ? { ...order, price: best } : { ...order, quantity: best };
        }
        return false;
      }),
    );
  });

  it('leave free what the exchange says nothing about', () => {
    const order = limitOrder({ symbol: 'FINE/USDT', price: '99.123456789012345678', quantity: '0.000000000000000001' });
    expect(onMarket(order, FINE_MARKET)).toBe('sound');
  });

  it.each([
    [{ active: false }, 'market_closed'],
    [{ type: 'swap' }, 'market_closed'],
    [{ base: '１２３' }, 'market_closed'],
  ])('close %j', (change, code) => expect(openVerdict({ ...BTC_USDT, ...change })).toMatchObject({ code }));
});
