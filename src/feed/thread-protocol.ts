import type { FeedCandle, FeedTicker, FeedTrade, Upstream } from '../modules/market/upstream.ts';
import type { Market } from '../protocol/market.ts';
import type { Timeframe } from '../protocol/streams.ts';
import type { PackedBatch } from './batch-wire.ts';
import type { FeedLimits, VenueSettings } from './settings.ts';

/** What the main thread and a venue's thread say to each other. Plain data only: it crosses by structured clone. */

export type ThreadSettings = Readonly<{
  settings: VenueSettings;
  limits: FeedLimits;
  /** Unix milliseconds: no call to the exchange before this; survives the thread that was told so. */
  bannedUntil: number;
}>;

/** Why data cannot be believed; told to clients as the reason of a state. */
export const DOUBTS = [
  'disconnected',
  'sequence gap',
  'trade id gap',
  'checksum mismatch',
  'crossed book',
  'impossible value',
  'absurd price',
  'older than before',
  'unreadable frame',
  'exchange error',
  'silence',
  'not verified in time',
  'exchange client recycled',
  'overflow',
] as const;
export type Doubt = (typeof DOUBTS)[number];

export type ToThread =
  /** For one that is subscribed already: its present state is wanted once more. */
  | Readonly<{ type: 'want'; upstream: Upstream }>
  | Readonly<{ type: 'unwant'; key: string }>
  /** Nothing verified has come for too long. `activity` is the count last heard of: if more has come since, nothing is wrong. */
  | Readonly<{ type: 'nudge'; key: string; doubt: 'silence' | 'not verified in time'; activity: number }>
  | Readonly<{ type: 'recycle' }>
  | Readonly<{ type: 'ack'; batch: number }>
  | Readonly<{ type: 'stop' }>;

/** Data means that the upstream is verified: none is sent between a doubt and the moment it is settled. */
export type ThreadEvent =
  | BookEvent
  | Readonly<{ type: 'trades'; key: string; trades: readonly FeedTrade[]; ingestTs: number }>
  | Readonly<{ type: 'ticker'; key: string; fields: FeedTicker['fields']; exchangeTs?: number; ingestTs: number }>
  | Readonly<{ type: 'candles'; key: string; candles: readonly FeedCandle[]; history: boolean; ingestTs: number }>
  | Readonly<{ type: 'doubt'; key: string; doubt: Doubt }>
  /** Verified, or for trades and candles: subscribed, whether or not anything happens in the market. */
  | Readonly<{ type: 'fresh'; key: string }>
  /** The exchange will never deliver this. */
  | Readonly<{ type: 'refused'; key: string; reason: string }>;

export type BookEvent = Readonly<{
  type: 'book';
  key: string;
  bids: Float64Array<ArrayBuffer>;
  asks: Float64Array<ArrayBuffer>;
  exchangeSeq?: number;
  exchangeTs?: number;
  ingestTs: number;
}>;

export type VenueCapabilities = Readonly<{
  book: boolean;
  trades: boolean;
  ticker: boolean;
  /** `trades`: the exchange streams none; candles come from its history and from trades. */
  candles: 'exchange' | 'trades';
  timeframes: readonly Timeframe[];
}>;

export type Pulse = Readonly<{
  /** Upstreams with news since the last pulse, and how many news there have been in all. */
  active: readonly (readonly [key: string, activity: number])[];
  frames: number;
  lagMs: readonly number[];
  lastMessageTs: number | null;
  sockets: number;
  reconnects: number;
  garbage: number;
  doubts: Readonly<Partial<Record<Doubt, number>>>;
  conflated: number;
  /** Changes that ccxt's books hold back while they wait for a snapshot: grows without end when a synchronisation is stuck. */
  heldBack: number;
  heapBytes: number;
  cpuMs: number;
}>;

/** What leaves the outbox at once. Numbers rise by 1; the main thread acknowledges them in steps. */
export type Batch = Readonly<{ batch: number; events: readonly ThreadEvent[] }>;

export type FromThread =
  | Readonly<{ type: 'ready'; markets: readonly Market[]; capabilities: VenueCapabilities }>
  | PackedBatch
  | Readonly<{ type: 'pulse'; pulse: Pulse }>
  /** How talking to the exchange went: loading its markets or opening a connection. */
  | Readonly<{ type: 'attempt'; what: 'markets' | 'connection'; error: string | null }>
  | Readonly<{ type: 'banned'; until: number }>
  | Readonly<{ type: 'note'; level: 'debug' | 'info' | 'warn' | 'error'; event: string; detail: string }>;
