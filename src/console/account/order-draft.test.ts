import { describe, expect, it } from 'vitest';
import { PlaceListBody, PlaceOrderBody, QuoteBody } from '../../protocol/trading.ts';
import { EMPTY_DRAFT, TICKET_KINDS, fieldsOf, orderOf, problemOf } from './order-draft.ts';
import type { OrderDraft, TicketKind } from './order-draft.ts';

const MARKET = { venue: 'binance', symbol: 'BTC/USDT' };
const NOW = 1_795_000_000_000;
const FILLED: OrderDraft = {
  ...EMPTY_DRAFT,
  quantity: ' 0.5 ',
  price: '100',
  stopPrice: '90',
  stopLimitPrice: '89',
  takeProfit: '120',
  trailingPercent: '1.25',
  activationPrice: '110',
};
const KINDS = Object.keys(TICKET_KINDS) as TicketKind[];

describe('whatever the ticket offers', () => {
  it.each(KINDS)('%s: the server understands it, for both sides, with every choice', (kind) => {
    for (const side of ['buy', 'sell'] as const)
      for (const timeInForce of ['GTC', 'IOC', 'FOK', 'GTD'] as const)
        for (const choice of [
          { spend: true, entry: 'limit', postOnly: true },
          { stopLimitPrice: '', activationPrice: '' },
        ] as const) {
          const draft = { ...FILLED, kind, side, timeInForce, ...choice };
          expect(problemOf(draft)).toBeNull();
          const { list, order } = orderOf(draft, MARKET, NOW);
          if (list) PlaceListBody.parse(order);
          else {
            PlaceOrderBody.parse(order);
            QuoteBody.parse(order);
          }
        }
  });

  it('sends only what belongs to the type: a price left over from another type is not sent', () => {
    expect(orderOf({ ...FILLED, kind: 'market', side: 'sell', spend: true }, MARKET, NOW).order).toEqual({
      account: 'paper',
      ...MARKET,
      side: 'sell',
      type: 'market',
      quantity: '0.5',
    });
  });

  it('spends the quote asset only where that was chosen for a market buy', () => {
    expect(orderOf({ ...FILLED, spend: true }, MARKET, NOW).order).toMatchObject({ quoteQuantity: '0.5' });
    expect(orderOf({ ...FILLED, spend: true }, MARKET, NOW).order).not.toHaveProperty('quantity');
  });

  it('turns percent into hundredths exactly', () => {
    const deltaOf = (trailingPercent: string) =>
      orderOf({ ...FILLED, kind: 'trailing_stop', trailingPercent }, MARKET, NOW).order;
    expect(deltaOf('1.25')).toMatchObject({ trailingDelta: 125 });
    expect(deltaOf('0.29')).toMatchObject({ trailingDelta: 29 });
    expect(deltaOf('1.5')).toMatchObject({ trailingDelta: 150 });
    expect(deltaOf('50')).toMatchObject({ trailingDelta: 5_000 });
  });

  it('lets an order with an end end', () => {
    const draft = { ...FILLED, kind: 'limit', timeInForce: 'GTD', expireInMs: 1_000 } as const;
    expect(orderOf(draft, MARKET, NOW).order).toMatchObject({ timeInForce: 'GTD', expireAt: NOW + 1_000 });
    expect(fieldsOf(draft)).toContain('expireInMs');
  });
});

describe('what cannot be sent is said before it is sent', () => {
  it.each(['', '0', '0.00', '-1', '1e3', '1,5', '.5', '01', 'NaN', '１', '1.', '0.0000000000000000001'])(
    'a quantity of %j',
    (quantity) => expect(problemOf({ ...FILLED, quantity })?.field).toBe('quantity'),
  );

  it.each(['', '0.05', '50.01', '1.234', 'x', '-1'])('a distance of %j percent', (trailingPercent) => {
    expect(problemOf({ ...FILLED, kind: 'trailing_stop', trailingPercent })?.field).toBe('trailingPercent');
  });

  it('but not a field that the type does not have', () => {
    expect(problemOf({ ...FILLED, kind: 'market', price: 'x', stopPrice: '' })).toBeNull();
  });
});
