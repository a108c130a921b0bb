import { z } from 'zod';
import { ACCOUNTS, BalanceSchema, PositionSchema } from './holdings.ts';
import { DecimalText, TimestampMs } from './messages.ts';

export * from './holdings.ts';

/** Shapes of orders, fills and the user's log: the same over REST and over the sockets. */

/** What a client may send as a price, quantity or amount: positive, plain, ASCII, at most 18 decimals. Never a JSON number. */
export const AmountText = z
  .string()
  .max(40)
  .regex(/^(?!0(?:\.0*)?$)(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,18})?$/)
  .meta({ id: 'Amount', description: 'A positive decimal number as text, plain notation', examples: ['0.015'] });

export const SIDES = ['buy', 'sell'] as const;
/**
 * `stop`: becomes a market order when the trigger price is met against the position (buy at or above, sell at or below);
 * `take_profit` the reverse; the `_limit` forms become limit orders. `trailing_stop` follows the market at `trailingDelta`.
 */
export const ORDER_TYPES = [
  'market',
  'limit',
  'stop',
  'stop_limit',
  'take_profit',
  'take_profit_limit',
  'trailing_stop',
] as const;
export const TIMES_IN_FORCE = ['GTC', 'IOC', 'FOK', 'GTD'] as const;
export const TRIGGER_SOURCES = ['last', 'bid_ask', 'mid'] as const;
export const SELF_TRADE_MODES = ['none', 'expire_taker', 'expire_maker', 'expire_both', 'decrement'] as const;
/** What an order is in; `src/modules/orders` has the table of transitions. */
export const ORDER_STATUSES = [
  'submitted',
  'accepted',
  'held',
  'triggered',
  'partially_filled',
  'pending_cancel',
  'pending_update',
  'submit_unknown',
  'filled',
  'canceled',
  'expired',
  'expired_in_match',
  'rejected',
  'denied',
] as const;

const Venue = z.string().regex(/^[a-z0-9_]{2,32}$/);
const Symbol = z.string().regex(/^[^\s\p{C}]{1,64}$/u);
export const ClientOrderId = z
  .string()
  .regex(/^[A-Za-z0-9._:-]{1,64}$/)
  .meta({ id: 'ClientOrderId' });
export const TRAILING_LIMITS_BIPS = { min: 10, max: 5_000 } as const;
const TrailingDelta = z.int().min(TRAILING_LIMITS_BIPS.min).max(TRAILING_LIMITS_BIPS.max);

const orderFields = {
  account: z.enum(ACCOUNTS),
  venue: Venue,
  symbol: Symbol,
  side: z.enum(SIDES),
  type: z.enum(ORDER_TYPES),
  quantity: AmountText.optional().meta({ description: 'in the base asset' }),
  quoteQuantity: AmountText.optional().meta({
    description: 'instead of quantity, for market buys: spend at most this',
  }),
  price: AmountText.optional().meta({ description: 'limit price' }),
  stopPrice: AmountText.optional().meta({ description: 'trigger price' }),
  trigger: z.enum(TRIGGER_SOURCES).optional().meta({ description: 'what meets the trigger price; default last' }),
  trailingDelta: TrailingDelta.optional().meta({ description: 'hundredths of a percent' }),
  activationPrice: AmountText.optional().meta({ description: 'a trailing stop follows from here on' }),
  timeInForce: z.enum(TIMES_IN_FORCE).optional().meta({ description: 'default GTC; market orders are IOC or FOK' }),
  expireAt: TimestampMs.optional().meta({ description: 'with GTD' }),
  postOnly: z.boolean().optional().meta({ description: 'rejected rather than taking' }),
  protectionPrice: AmountText.optional().meta({ description: 'worst price of a market order; default from the book' }),
  selfTradePrevention: z
    .enum(SELF_TRADE_MODES)
    .optional()
    .meta({ description: "the taker's decides; default decrement" }),
};
export const PlaceOrderBody = z
  .strictObject({ ...orderFields, clientOrderId: ClientOrderId.optional() })
  .meta({ id: 'PlaceOrder' });
export const QuoteBody = z.strictObject(orderFields).meta({ id: 'QuoteRequest' });
export const AmendOrderBody = z
  .strictObject({
    quantity: AmountText.optional().meta({ description: 'the new whole quantity, filled part included' }),
    price: AmountText.optional(),
    stopPrice: AmountText.optional(),
    trailingDelta: TrailingDelta.optional(),
    expireAt: TimestampMs.optional(),
  })
  .meta({ id: 'AmendOrder' });

const exitLeg = { stopPrice: AmountText, price: AmountText.optional().meta({ description: 'makes it a stop-limit' }) };
/** One cancels the other: a limit (take profit) and a stop of one quantity and one shared hold. */
export const PlaceOcoBody = z
  .strictObject({
    kind: z.literal('oco'),
    account: z.enum(ACCOUNTS),
    venue: Venue,
    symbol: Symbol,
    side: z.enum(SIDES),
    quantity: AmountText,
    limit: z.strictObject({ price: AmountText }),
    stop: z.strictObject(exitLeg),
    trigger: z.enum(TRIGGER_SOURCES).optional(),
    clientOrderId: ClientOrderId.optional(),
  })
  .meta({ id: 'PlaceOco' });
/** An entry whose fills are protected by a take profit and a stop loss that grow with it and shrink each other. */
export const PlaceBracketBody = z
  .strictObject({
    kind: z.literal('bracket'),
    account: z.enum(ACCOUNTS),
    venue: Venue,
    symbol: Symbol,
    side: z.enum(SIDES),
    quantity: AmountText,
    entry: z.strictObject({ type: z.enum(['market', 'limit']), price: AmountText.optional() }),
    takeProfit: z.strictObject({ price: AmountText }),
    stopLoss: z.strictObject(exitLeg),
    trigger: z.enum(TRIGGER_SOURCES).optional(),
    clientOrderId: ClientOrderId.optional(),
  })
  .meta({ id: 'PlaceBracket' });
export const PlaceListBody = z.discriminatedUnion('kind', [PlaceOcoBody, PlaceBracketBody]);

export const AssetAmount = z.strictObject({ asset: z.string(), amount: DecimalText }).meta({ id: 'AssetAmount' });
export const FeeRatesSchema = z
  .strictObject({
    maker: DecimalText,
    taker: DecimalText,
    flat: DecimalText.meta({ description: 'per order, in the quote asset, taken with the first fill' }),
  })
  .meta({ id: 'FeeRates', description: 'Fractions: "0.001" is 0.1 %. Frozen on the order' });
export const ReasonSchema = z
  .strictObject({ code: z.string(), message: z.string() })
  .meta({ id: 'OrderReason', description: 'Why the order ended, or what it waits for' });

export const OrderSchema = z
  .strictObject({
    id: z.string(),
    clientOrderId: z.string().nullable(),
    listId: z.string().nullable(),
    /** Of a list: what this order is in it. */
    role: z.enum(['limit', 'stop', 'entry', 'take_profit', 'stop_loss']).nullable(),
    account: z.enum(ACCOUNTS),
    venue: z.string(),
    symbol: z.string(),
    side: z.enum(SIDES),
    type: z.enum(ORDER_TYPES),
    status: z.enum(ORDER_STATUSES),
    reason: ReasonSchema.nullable(),
    quantity: DecimalText.nullable().meta({ description: 'null for an order by quoteQuantity' }),
    quoteQuantity: DecimalText.nullable(),
    price: DecimalText.nullable(),
    stopPrice: DecimalText.nullable().meta({ description: 'of a trailing stop: where it stands now' }),
    trigger: z.enum(TRIGGER_SOURCES).nullable(),
    trailingDelta: z.int().nullable(),
    activationPrice: DecimalText.nullable(),
    timeInForce: z.enum(TIMES_IN_FORCE),
    expireAt: TimestampMs.nullable(),
    postOnly: z.boolean(),
    protectionPrice: DecimalText.nullable(),
    selfTradePrevention: z.enum(SELF_TRADE_MODES),
    filledQuantity: DecimalText,
    preventedQuantity: DecimalText,
    remainingQuantity: DecimalText.nullable(),
    filledQuote: DecimalText.meta({ description: 'sum of price x quantity of the fills' }),
    averagePrice: DecimalText.nullable(),
    fees: z.array(AssetAmount),
    feeRates: FeeRatesSchema,
    hold: AssetAmount.nullable().meta({ description: 'what is still held for it' }),
    /** Where a stop waits: everything on paper is ours. */
    heldAt: z.enum(['us', 'venue']),
    simulated: z.boolean(),
    modelVersion: z.string().nullable(),
    waiting: z.enum(['market_data']).nullable().meta({ description: 'set while no fill can happen, and why' }),
    version: z.int(),
    createdAt: TimestampMs,
    updatedAt: TimestampMs,
  })
  .meta({ id: 'Order' });

export const FillSchema = z
  .strictObject({
    id: z.string(),
    orderId: z.string(),
    clientOrderId: z.string().nullable(),
    account: z.enum(ACCOUNTS),
    venue: z.string(),
    symbol: z.string(),
    side: z.enum(SIDES),
    liquidity: z.enum(['maker', 'taker']),
    price: DecimalText,
    quantity: DecimalText,
    quote: DecimalText.meta({ description: 'what a buyer paid or a seller received for it, before fees' }),
    fee: AssetAmount.meta({ description: 'taken from what was received: base of a buyer, quote of a seller' }),
    flatFee: AssetAmount.nullable().meta({ description: 'the flat part, where a buyer paid it on top' }),
    simulated: z.boolean(),
    /** The book that it was made from. */
    market: z
      .strictObject({
        stream: z.string(),
        epoch: z.string(),
        seq: z.int(),
        exchangeSeq: z.int().nullable(),
        ageMs: z.int(),
        latencyMs: z.int().meta({ description: 'the drawn delay between the order and its effect' }),
        tradeId: z.string().nullable().meta({ description: 'the public trade that filled a resting order' }),
      })
      .nullable(),
    ts: TimestampMs,
  })
  .meta({ id: 'Fill' });

export const OrderListSchema = z
  .strictObject({
    id: z.string(),
    kind: z.enum(['oco', 'bracket']),
    clientOrderId: z.string().nullable(),
    status: z.enum(['open', 'closed']),
    orders: z.array(OrderSchema),
    createdAt: TimestampMs,
  })
  .meta({ id: 'OrderList' });

export const QuoteSchema = z
  .strictObject({
    venue: z.string(),
    symbol: z.string(),
    side: z.enum(SIDES),
    quantity: DecimalText.meta({ description: 'that the book can fill now, at prices that the order allows' }),
    complete: z.boolean().meta({ description: 'the whole order would fill at once' }),
    pay: AssetAmount,
    receive: AssetAmount.meta({ description: 'net of the fee, to the last unit' }),
    fee: AssetAmount,
    feeRates: FeeRatesSchema,
    averagePrice: DecimalText.nullable(),
    worstPrice: DecimalText.nullable().meta({ description: 'of the last level touched' }),
    protectionPrice: DecimalText.nullable().meta({ description: 'no fill beyond it' }),
    hold: AssetAmount.meta({ description: 'what placing it would hold' }),
    dust: DecimalText.meta({ description: 'of what is received: less than a lot, so that it cannot be sold again' }),
    matches: z.array(z.strictObject({ price: DecimalText, quantity: DecimalText })).max(100),
    book: z.strictObject({ stream: z.string(), epoch: z.string(), seq: z.int(), ageMs: z.int() }),
    problem: ReasonSchema.nullable().meta({ description: 'why placing it would be refused now' }),
  })
  .meta({ id: 'Quote' });

/**
 * The user's log. `seq` rises by exactly 1 per user over everything; `streamSeq` by exactly 1 within the private stream that
 * carries it. Both are written in the transaction of the fact itself.
 */
export const PRIVATE_STREAMS = ['orders', 'portfolio', 'notifications'] as const;
export type PrivateStream = (typeof PRIVATE_STREAMS)[number];
/** Latest wins and made from live prices, so that it is no part of the log. */
export const VALUATION_STREAM = 'valuation';
export const NotificationSchema = z
  .strictObject({
    id: z.string(),
    kind: z.string(),
    title: z.string(),
    text: z.string(),
    data: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Notification' });
export const BalanceChangeSchema = BalanceSchema.extend({
  version: z.int(),
  cause: z.strictObject({ kind: z.string(), journalId: z.string(), reference: z.string().nullable() }),
}).meta({ id: 'BalanceChange' });
/** What one event of the log says, by type. */
export const UserEventData = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('order'), order: OrderSchema }),
  z.strictObject({ type: z.literal('fill'), fill: FillSchema }),
  z.strictObject({ type: z.literal('balance'), balance: BalanceChangeSchema }),
  z.strictObject({ type: z.literal('position'), position: PositionSchema }),
  z.strictObject({ type: z.literal('notification'), notification: NotificationSchema }),
]);
export const SyncEventSchema = z
  .strictObject({
    seq: z.int(),
    stream: z.enum(PRIVATE_STREAMS),
    streamSeq: z.int(),
    ts: TimestampMs,
    data: UserEventData,
  })
  .meta({ id: 'SyncEvent' });
export const SyncAnswer = z
  .strictObject({
    events: z.array(SyncEventSchema),
    next: z.int().meta({ description: 'pass it as `since` for what follows' }),
    head: z.int().meta({ description: 'the newest event; done when next equals it' }),
  })
  .meta({ id: 'Sync' });
/** What a private push carries in `data`: snapshots of `orders` are open orders, of `portfolio` balances and positions. */
export const PrivateUpdateData = z
  .strictObject({ logSeq: z.int(), event: UserEventData })
  .meta({ id: 'PrivateUpdate', description: 'logSeq: the place in the log that `GET /v1/sync` reads' });
export const OrdersSnapshotData = z
  .strictObject({ logSeq: z.int(), orders: z.array(OrderSchema) })
  .meta({ id: 'OrdersSnapshot' });
export const PortfolioSnapshotData = z
  .strictObject({ logSeq: z.int(), balances: z.array(BalanceSchema), positions: z.array(PositionSchema) })
  .meta({ id: 'PortfolioSnapshot' });

export type PlaceOrder = z.infer<typeof PlaceOrderBody>;
export type QuoteRequest = z.infer<typeof QuoteBody>;
export type AmendOrder = z.infer<typeof AmendOrderBody>;
export type PlaceList = z.infer<typeof PlaceListBody>;
export type Order = Readonly<z.infer<typeof OrderSchema>>;
export type OrderStatus = (typeof ORDER_STATUSES)[number];
export type OrderType = (typeof ORDER_TYPES)[number];
export type Fill = Readonly<z.infer<typeof FillSchema>>;
export type OrderList = Readonly<z.infer<typeof OrderListSchema>>;
export type Quote = z.infer<typeof QuoteSchema>;
export type UserEventBody = z.infer<typeof UserEventData>;
export type SyncEvent = z.infer<typeof SyncEventSchema>;
