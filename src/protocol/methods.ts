import { z } from 'zod';
import { AuthenticateParams, EmptyParams, SubscribeParams, UnsubscribeParams } from './messages.ts';
import { CancelAfterAnswer, CancelAfterBody, CanceledAnswer } from './trading-answers.ts';
import {
  AmendOrderBody,
  BalancesAnswer,
  OrderListSchema,
  OrderSchema,
  PlaceBracketBody,
  PlaceOcoBody,
  PlaceOrderBody,
  QuoteBody,
  QuoteSchema,
} from './trading.ts';

/** Visible ASCII: it travels in a header as well. */
export const IdempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,128}$/)
  .meta({
    id: 'IdempotencyKey',
    description: 'The same key and request do it once and are answered the same again; another request is key_reused',
  });
const idempotencyKey = IdempotencyKey.optional();
/** Ids are made by us and opaque; whatever else fits the pattern is simply not found. */
export const OrderId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);
export const MarketFilter = z.strictObject({
  venue: PlaceOrderBody.shape.venue.exactOptional(),
  symbol: PlaceOrderBody.shape.symbol.exactOptional(),
});

export const CONNECTION_METHODS = {
  subscribe: SubscribeParams,
  unsubscribe: UnsubscribeParams,
  list: EmptyParams,
  authenticate: AuthenticateParams,
  ping: EmptyParams,
} as const;
/** The same commands as REST's, with the same bodies. */
export const TRADING_METHODS = {
  'order.place': PlaceOrderBody.extend({ idempotencyKey }),
  'order.place_list': z.discriminatedUnion('kind', [
    PlaceOcoBody.extend({ idempotencyKey }),
    PlaceBracketBody.extend({ idempotencyKey }),
  ]),
  'order.amend': AmendOrderBody.extend({ orderId: OrderId, idempotencyKey }),
  'order.cancel': z.strictObject({ orderId: OrderId }),
  'order.cancel_all': MarketFilter.optional(),
  'order.cancel_after': CancelAfterBody,
  'order.quote': QuoteBody,
  balances: EmptyParams,
} as const;
export const METHODS = { ...CONNECTION_METHODS, ...TRADING_METHODS } as const;

const repeated = z.boolean().meta({ description: 'an earlier request did it, and this is what it was answered' });
/** What each method answers. */
export const TRADING_RESULTS = {
  'order.place': z.strictObject({ order: OrderSchema, repeated }),
  'order.place_list': z.strictObject({ list: OrderListSchema, repeated }),
  'order.amend': z.strictObject({ order: OrderSchema, repeated }),
  'order.cancel': z.strictObject({ order: OrderSchema }),
  'order.cancel_all': CanceledAnswer,
  'order.cancel_after': CancelAfterAnswer,
  'order.quote': QuoteSchema,
  balances: BalancesAnswer,
} as const satisfies Readonly<Record<keyof typeof TRADING_METHODS, z.ZodType>>;

export type TradingMethodName = keyof typeof TRADING_METHODS;
export type MethodName = keyof typeof METHODS;
export type TradingResult<M extends TradingMethodName> = z.infer<(typeof TRADING_RESULTS)[M]>;
export type MethodParams<M extends MethodName> = z.infer<(typeof METHODS)[M]>;
