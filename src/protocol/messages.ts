import { z } from 'zod';
import { ERROR_CODES } from './errors.ts';
import { BATCH_LIMITS } from './limits.ts';
import { KEY_ID, RECV_WINDOW_LIMIT_MS } from './signing.ts';

/** A decimal as text: plain notation, no exponent. Prices, sizes and amounts are never JSON numbers. */
export const DecimalText = z
  .string()
  .max(64)
  .regex(/^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$/)
  .meta({ id: 'Decimal', description: 'A decimal number as text, plain notation', examples: ['61837.63'] });
export const TimestampMs = z.int().meta({ id: 'TimestampMs', description: 'Unix time in milliseconds' });
const Level = z
  .tuple([DecimalText, DecimalText])
  .meta({ id: 'Level', description: 'Price and size. In a delta the size is absolute and "0" deletes the level' });

export const STREAM_STATUSES = ['live', 'stale', 'resyncing', 'down'] as const;
export const StreamStateData = z
  .strictObject({ status: z.enum(STREAM_STATUSES), since: TimestampMs, reason: z.string().max(200) })
  .meta({ id: 'StreamState', description: 'How far the source behind a stream is to be believed' });

export const BookSnapshotData = z
  .strictObject({ bids: z.array(Level), asks: z.array(Level), checksum: z.int().min(0).max(0xffffffff) })
  .meta({ id: 'BookSnapshot', description: 'Bids best (highest) first, asks best (lowest) first' });
export const BookDeltaData = z
  .strictObject({ bids: z.array(Level), asks: z.array(Level), checksum: z.int().min(0).max(0xffffffff).optional() })
  .meta({ id: 'BookDelta' });

export const TickerData = z
  .strictObject({
    last: DecimalText.nullable(),
    bid: DecimalText.nullable(),
    bidSize: DecimalText.nullable(),
    ask: DecimalText.nullable(),
    askSize: DecimalText.nullable(),
    open: DecimalText.nullable(),
    high: DecimalText.nullable(),
    low: DecimalText.nullable(),
    baseVolume: DecimalText.nullable(),
    quoteVolume: DecimalText.nullable(),
  })
  .meta({
    id: 'Ticker',
    description: 'Latest wins; null means that the venue does not say. The statistics cover 24 hours',
  });

export const TradeData = z
  .strictObject({
    id: z.string().max(128),
    price: DecimalText,
    size: DecimalText,
    side: z
      .enum(['buy', 'sell'])
      .nullable()
      .meta({ description: "the taker's side; null where the venue does not say" }),
    ts: TimestampMs,
  })
  .meta({ id: 'Trade' });
export const TradesData = z.strictObject({ trades: z.array(TradeData) }).meta({ id: 'Trades' });

export const CandleData = z
  .strictObject({
    ts: TimestampMs.meta({ description: 'open time' }),
    open: DecimalText,
    high: DecimalText,
    low: DecimalText,
    close: DecimalText,
    volume: DecimalText.meta({ description: 'in the base asset' }),
    closed: z.boolean(),
    rev: z.int().min(1).meta({ description: 'rises with each correction of this candle' }),
  })
  .meta({ id: 'Candle' });
export const CandlesData = z
  .strictObject({ candles: z.array(CandleData), origin: z.enum(['exchange', 'trades']) })
  .meta({ id: 'Candles', description: 'origin: sent by the exchange, or built here from its trades' });

export const VENUE_SOURCES = ['live', 'recording', 'simulation'] as const;
export const VenueData = z
  .strictObject({
    venue: z.string(),
    source: z.enum(VENUE_SOURCES),
    status: z.enum(STREAM_STATUSES),
    since: TimestampMs,
    reason: z.string(),
    markets: z.int(),
    upstreams: z.int().meta({ description: 'subscriptions held at the exchange' }),
    messagesPerSecond: z.number(),
    lagMs: z.number().nullable().meta({ description: 'median of ingest time minus exchange time; null where unknown' }),
    lastMessageTs: TimestampMs.nullable(),
    reconnects: z.int(),
    circuit: z.enum(['closed', 'open', 'half_open']),
  })
  .meta({ id: 'Venue' });

export const GapData = z
  .strictObject({ from: z.int(), to: z.int(), reason: z.enum(['expired', 'slow_consumer', 'upstream']) })
  .meta({ id: 'Gap', description: 'Messages from..to of this epoch are not coming' });

export const MESSAGE_KINDS = ['snapshot', 'delta', 'update', 'gap', 'state'] as const;
const envelopeFields = {
  stream: z.string(),
  epoch: z.string(),
  seq: z.int().min(0),
  kind: z.enum(MESSAGE_KINDS),
  exchangeTs: TimestampMs.optional(),
  exchangeSeq: z.int().optional().meta({ description: "the exchange's own update id, where it has one" }),
  ingestTs: TimestampMs,
  conflated: z
    .strictObject({ from: z.int(), to: z.int() })
    .optional()
    .meta({ description: 'this snapshot stands for skipped messages: the connection was too slow for them' }),
};
/** What travels on the bus: an envelope without the time of sending. */
export const StreamMessageSchema = z.strictObject({ ...envelopeFields, data: z.unknown() });
export const EnvelopeSchema = z
  .strictObject({ ...envelopeFields, sentTs: TimestampMs, data: z.unknown() })
  .meta({ id: 'Envelope' });

const BatchWish = z
  .union([z.literal(true), z.strictObject({ windowMs: z.int().min(0).max(BATCH_LIMITS.windowMs) })])
  .meta({ description: 'pushes of these streams may come several in one message; `true` is the longest window' });
export const SubscribeParams = z.strictObject({
  streams: z
    .array(
      z.union([
        z.string(),
        z.strictObject({
          stream: z.string(),
          since: z.strictObject({ epoch: z.string().max(64), seq: z.int().min(0) }).optional(),
        }),
      ]),
    )
    .min(1),
  batch: BatchWish.optional(),
});
export const UnsubscribeParams = z.strictObject({ streams: z.array(z.string()).min(1) });
const Credential = z.string().min(1).max(4096);
/** Of an API key, without a request: PROTOCOL.md says what is signed. */
export const SignedProof = z.strictObject({
  keyId: z.string().regex(KEY_ID),
  timestamp: TimestampMs,
  recvWindow: z.int().min(1).max(RECV_WINDOW_LIMIT_MS).optional(),
  nonce: z.string().regex(/^[A-Za-z0-9_-]{16,64}$/),
  signature: z.string().regex(/^[A-Za-z0-9_-]{20,128}$/),
});
export const AuthenticateParams = z.union([
  z.strictObject({ token: Credential }),
  z.strictObject({ ticket: Credential }),
  z.strictObject({ signed: SignedProof }),
]);
export const AuthenticatedSchema = z
  .strictObject({
    userId: z.string(),
    scopes: z.array(z.string()),
    expiresAt: TimestampMs.nullable().meta({
      description: 'authenticate again before, or the connection is closed; null for an API key',
    }),
  })
  .meta({ id: 'Authenticated' });
export const EmptyParams = z.strictObject({}).optional();

/** A request on the plain door. On the Socket.IO door the event name is the method and the acknowledgement is the reply. */
export const RequestSchema = z.strictObject({
  id: z.union([z.int(), z.string().max(64)]),
  method: z.string().max(32),
  params: z.unknown().optional(),
});

export const WireErrorSchema = z
  .strictObject({
    code: z.enum(ERROR_CODES as [string, ...string[]]),
    message: z.string(),
    temporary: z.boolean(),
    retryAfterMs: z.int().optional(),
  })
  .meta({ id: 'Error' });
export const SubscribedSchema = z
  .strictObject({
    stream: z.string(),
    epoch: z.string(),
    seq: z.int().min(0),
    recovered: z.boolean(),
    state: StreamStateData,
  })
  .meta({ id: 'Subscribed' });
export const SubscribeFailedSchema = z
  .strictObject({ stream: z.string(), error: WireErrorSchema })
  .meta({ id: 'SubscribeFailed' });

export type StreamStatus = (typeof STREAM_STATUSES)[number];
export type StreamState = z.infer<typeof StreamStateData>;
export type Level = z.infer<typeof Level>;
export type BookSnapshot = z.infer<typeof BookSnapshotData>;
export type BookDelta = z.infer<typeof BookDeltaData>;
export type Ticker = z.infer<typeof TickerData>;
export type Trade = z.infer<typeof TradeData>;
export type Candle = z.infer<typeof CandleData>;
export type Candles = z.infer<typeof CandlesData>;
export type Venue = z.infer<typeof VenueData>;
export type VenueSource = (typeof VENUE_SOURCES)[number];
export type Gap = z.infer<typeof GapData>;
export type MessageKind = (typeof MESSAGE_KINDS)[number];
export type StreamMessage = Readonly<z.infer<typeof StreamMessageSchema>>;
export type Envelope = Readonly<z.infer<typeof EnvelopeSchema>>;
export type SubscribeRequest = z.infer<typeof SubscribeParams>;
export type AuthenticateRequest = z.infer<typeof AuthenticateParams>;
export type Authenticated = z.infer<typeof AuthenticatedSchema>;
export type Subscribed = z.infer<typeof SubscribedSchema>;
export type SubscribeFailed = z.infer<typeof SubscribeFailedSchema>;
/** A place in a stream. Positions of different epochs are never compared. */
export type StreamPosition = Readonly<{ epoch: string; seq: number }>;

/** Pushes that belong to the connection rather than to a stream: Socket.IO event of this name; `{event, data}` on the plain door. */
export type SystemEvents = {
  welcome: { protocol: 1; connectionId: string; serverTs: number; limits: Record<string, number> };
  heartbeat: { serverTs: number; streams: Record<string, StreamPosition> };
  draining: { afterMs: number };
  slow: { queuedFrames: number; queuedBytes: number; ageMs: number; action: 'conflating' | 'recovered' };
  closing: { code: number; reason: string; reconnect: boolean };
};
