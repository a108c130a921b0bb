import { z } from 'zod';
import {
  AuthenticatedSchema,
  BookDeltaData,
  BookSnapshotData,
  CandleData,
  CandlesData,
  DecimalText,
  EnvelopeSchema,
  GapData,
  RequestSchema,
  StreamStateData,
  SubscribeFailedSchema,
  SubscribedSchema,
  TickerData,
  TimestampMs,
  TradeData,
  TradesData,
  VenueData,
  WireErrorSchema,
} from '../../protocol/messages.ts';
import type { MessageKind, SystemEvents } from '../../protocol/messages.ts';
import { IdempotencyKey, METHODS, TRADING_RESULTS } from '../../protocol/methods.ts';
import type { MethodName } from '../../protocol/methods.ts';
import { PUBLIC_CHANNELS } from '../../protocol/streams.ts';
import { CancelAfterAnswer, CancelAfterBody, CanceledAnswer } from '../../protocol/trading-answers.ts';
import {
  AmountText,
  AssetAmount,
  BalanceChangeSchema,
  BalanceSchema,
  BalancesAnswer,
  ClientOrderId,
  FeeRatesSchema,
  FillSchema,
  NotificationSchema,
  OrderListSchema,
  OrderSchema,
  OrdersSnapshotData,
  PRIVATE_STREAMS,
  PortfolioSchema,
  PortfolioSnapshotData,
  PositionSchema,
  PrivateUpdateData,
  QuoteBody,
  QuoteSchema,
  ReasonSchema,
  VALUATION_STREAM,
  ValuedPositionSchema,
} from '../../protocol/trading.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

const STATE = { state: StreamStateData } as const;

/** Every channel of the document: of the market, and of a user. */
export const CHANNELS = [...PUBLIC_CHANNELS, ...PRIVATE_STREAMS, VALUATION_STREAM] as const;
export type Channel = (typeof CHANNELS)[number];

/** What each channel pushes by kind. */
export const CHANNEL_DATA: Readonly<Record<Channel, Partial<Record<MessageKind, z.ZodType>>>> = {
  ticker: { snapshot: TickerData, update: TickerData, ...STATE },
  book: { snapshot: BookSnapshotData, delta: BookDeltaData, ...STATE },
  trades: { snapshot: TradesData, update: TradesData, gap: GapData, ...STATE },
  candles: { snapshot: CandlesData, update: CandlesData, ...STATE },
  venue: { snapshot: VenueData, update: VenueData, ...STATE },
  orders: { snapshot: OrdersSnapshotData, update: PrivateUpdateData },
  portfolio: { snapshot: PortfolioSnapshotData, update: PrivateUpdateData },
  notifications: { update: PrivateUpdateData, gap: GapData },
  valuation: { snapshot: PortfolioSchema, update: PortfolioSchema, ...STATE },
};

const Position = z.strictObject({ epoch: z.string(), seq: z.int().min(0) });
/** Zod twins of the connection's own events: `satisfies` keeps them equal to what the sockets send. */
export const EVENT_DATA = {
  welcome: z.strictObject({
    protocol: z.literal(1),
    connectionId: z.string(),
    serverTs: TimestampMs,
    limits: z.record(z.string(), z.number()),
  }),
  heartbeat: z.strictObject({ serverTs: TimestampMs, streams: z.record(z.string(), Position) }),
  draining: z.strictObject({ afterMs: z.int().min(0) }),
  slow: z.strictObject({
    queuedFrames: z.int(),
    queuedBytes: z.int(),
    ageMs: z.number(),
    action: z.enum(['conflating', 'recovered']),
  }),
  closing: z.strictObject({ code: z.int(), reason: z.string(), reconnect: z.boolean() }),
} satisfies { [E in keyof SystemEvents]: z.ZodType<SystemEvents[E]> };

export const EVENT_SUMMARIES: Readonly<Record<keyof SystemEvents, string>> = {
  welcome: 'First message of every connection: who you are to the server, and all limits',
  heartbeat: 'The last position of every stream that was silent for a while, so that a lost tail shows',
  draining: 'The server is going away: reconnect within the time given',
  slow: 'You read too slowly and now get snapshots instead of every message, or you have caught up',
  closing: 'On the Socket.IO door, whose clients do not see close codes: why the connection is about to close',
};

export const METHOD_SUMMARIES: Readonly<Record<MethodName, string>> = {
  subscribe: 'Start streams, or go on after `since`; one result per stream, in order',
  unsubscribe: 'Stop streams',
  list: 'The streams of this connection',
  authenticate: 'Prove whose connection this is, or renew the proof before it expires',
  ping: 'Answers the server time',
  'order.place': 'Place an order; answered once it is durable, what follows comes on the stream `orders`',
  'order.place_list': 'Place orders that depend on each other: one cancels the other, or a bracket',
  'order.amend': 'Change an order that waits or works',
  'order.cancel': 'Cancel an order, and with it its siblings in a list',
  'order.cancel_all': 'Cancel all open orders, or those of a venue or market',
  'order.cancel_after': "Dead man's switch: cancels all unless called again in time",
  'order.quote': 'What an order would do now; places nothing',
  balances: 'What the user has',
};

/** What each method answers; one entry per stream in the order of the request. */
const METHOD_RESULTS: Readonly<Record<MethodName, z.ZodType>> = {
  subscribe: z.array(z.union([SubscribedSchema, SubscribeFailedSchema])),
  unsubscribe: z.array(z.strictObject({ stream: z.string(), left: z.boolean() })),
  list: z.array(z.strictObject({ stream: z.string(), epoch: z.string(), seq: z.int().min(0) })),
  authenticate: AuthenticatedSchema,
  ping: z.strictObject({ serverTs: TimestampMs }),
  ...TRADING_RESULTS,
};

export function messageName(channel: Channel, kind: MessageKind): string {
  return `${channel}.${kind}`;
}

const TRADING_SHAPES = {
  Amount: AmountText,
  AssetAmount,
  Balance: BalanceSchema,
  BalanceChange: BalanceChangeSchema,
  Balances: BalancesAnswer,
  CancelAfter: CancelAfterBody,
  CancelAfterSet: CancelAfterAnswer,
  CanceledOrders: CanceledAnswer,
  ClientOrderId,
  FeeRates: FeeRatesSchema,
  Fill: FillSchema,
  IdempotencyKey,
  Notification: NotificationSchema,
  Order: OrderSchema,
  OrderList: OrderListSchema,
  OrderReason: ReasonSchema,
  OrdersSnapshot: OrdersSnapshotData,
  Portfolio: PortfolioSchema,
  PortfolioSnapshot: PortfolioSnapshotData,
  Position: PositionSchema,
  PrivateUpdate: PrivateUpdateData,
  Quote: QuoteSchema,
  QuoteRequest: QuoteBody,
  ValuedPosition: ValuedPositionSchema,
} as const satisfies Readonly<Record<string, z.ZodType>>;

/** Every schema of the document by its name under `#/components/schemas/`. */
export function asyncapiSchemas(): Record<string, JsonSchema> {
  const registry = z.registry<{ id: string }>();
  const named: Record<string, z.ZodType> = {
    Decimal: DecimalText,
    TimestampMs,
    Level: BookSnapshotData.shape.bids.element,
    StreamState: StreamStateData,
    BookSnapshot: BookSnapshotData,
    BookDelta: BookDeltaData,
    Ticker: TickerData,
    Trade: TradeData,
    Trades: TradesData,
    Candle: CandleData,
    Candles: CandlesData,
    Venue: VenueData,
    Gap: GapData,
    Error: WireErrorSchema,
    Subscribed: SubscribedSchema,
    SubscribeFailed: SubscribeFailedSchema,
    Authenticated: AuthenticatedSchema,
    ...TRADING_SHAPES,
    failure: z.strictObject({ id: RequestSchema.shape.id.nullable(), error: WireErrorSchema }),
  };
  for (const [channel, kinds] of Object.entries(CHANNEL_DATA)) {
    for (const [kind, data] of Object.entries(kinds)) {
      named[`${channel}.${kind}`] = EnvelopeSchema.extend({ kind: z.literal(kind as MessageKind), data });
    }
  }
  for (const [method, params] of Object.entries(METHODS)) {
    named[`${method}.request`] = RequestSchema.extend({ method: z.literal(method), params });
    const result = METHOD_RESULTS[method as MethodName];
    named[`${method}.reply`] = z.strictObject({ id: RequestSchema.shape.id, result });
  }
  for (const [event, data] of Object.entries(EVENT_DATA)) {
    named[`event.${event}`] = z.strictObject({ event: z.literal(event), data });
  }
  for (const [id, schema] of Object.entries(named)) registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, {
    target: 'draft-7',
    uri: (id) => `#/components/schemas/${id}`,
    metadata: z.globalRegistry,
  });
  return Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, withoutIdentity(schema)]));
}

/** `$id` and `$schema` would make each schema a document of its own, in which the references lead nowhere. */
function withoutIdentity(schema: JsonSchema): JsonSchema {
  const { $id: _id, $schema: _schema, id: _name, ...rest } = schema;
  return rest;
}
