import type { Upstream } from '../../modules/market/upstream.ts';
import type { CcxtBook, CcxtExchange, CcxtMarket } from '../ccxt-surface.ts';
import type { RequestRates } from '../request-budget.ts';
import type { Doubt } from '../thread-protocol.ts';

export type Frame = Readonly<Record<string, unknown>>;

/** One subscription at the exchange. An upstream may need several; losing an `optional` one is no doubt about the others. */
export type Leg = Readonly<{ watch: (exchange: CcxtExchange) => Promise<unknown>; optional: boolean }>;

/** What a look at one frame found. `drop`: ccxt must not see this frame. */
export type Finding = Readonly<{
  doubt?: Readonly<{ doubt: Doubt; about: 'connection' | Readonly<{ channel: 'book' | 'trades'; symbol: string }> }>;
  drop?: boolean;
}>;

export interface CheckContext {
  /** The unified symbol of an exchange's own market id. */
  symbolOf(marketId: string): string;
  market(symbol: string): CcxtMarket | undefined;
  /** The book that ccxt keeps at this moment. */
  book(symbol: string): CcxtBook | undefined;
}

/** The integrity checks that an exchange's protocol allows and ccxt does not make. One per exchange object. */
export interface FrameCheck {
  /** Before ccxt handles the frame. `connection` is the socket's identity. */
  before?(frame: Frame, connection: object): Finding | undefined;
  /** After ccxt has handled it. */
  after?(frame: Frame): Finding | undefined;
  /** Whether the book holds all changes seen so far; asked whenever ccxt presents it. */
  complete?(symbol: string, book: CcxtBook): boolean;
}

/** All that is special about one exchange. */
export type VenueQuirks = Readonly<{
  /** Constructor argument for ccxt; `sandbox` is `http://host:port/<venue>` and the same as `ws:`. */
  config?(sandbox: Readonly<{ http: string; ws: string }> | undefined): Record<string, unknown>;
  /** Passed to `watchOrderBook`. Absent: none, which for most exchanges means the whole book. */
  bookLimit?: number;
  /**
   * The exchange streams changes only and ccxt asks REST for the first state, which holds this many levels a side at most;
   * another is asked for when fewer than `refreshBelow` are known.
   */
  snapshot?: Readonly<{ levels: number; refreshBelow: number }>;
  /** The stream covers a fixed number of levels, and what leaves them is not told: ccxt's book must be cut at its depth. */
  window?: boolean;
  /** Levels a side that ccxt must keep, where it would guess. */
  storedDepth?: number;
  /** Whether a book's `nonce` is the exchange's own update id. */
  bookIds: boolean;
  /** A level at price 0 is a message to be ignored, not a fault. */
  ignoresZeroPrice?: boolean;
  /** Frames that are not JSON objects but belong to the protocol; `any`: nobody has looked, so all but broken JSON. */
  plainFrames?: readonly string[] | 'any';
  /** Forgets an address or token that ccxt keeps for the next connection although it has been good for one only. */
  forgetAddress?(exchange: CcxtExchange): void;
  /** The message that takes back a subscription; without it a single stream cannot be subscribed anew. */
  unsubscribe?(message: Frame, nextId: () => number): Frame;
  /** Replaces the default subscriptions of an upstream. */
  legs?(upstream: Upstream): readonly Leg[] | undefined;
  check?(context: CheckContext): FrameCheck;
  /** Whether `check` finds a lost message of these channels; where it does not, an unreadable frame is a doubt about them. */
  continuity: Readonly<{ book: boolean; trades: boolean }>;
  /** `trades`: the exchange streams no candles. */
  candles?: 'exchange' | 'trades';
  rates: RequestRates;
  /** This exchange's handlers skip what nobody waits for, so somebody must always wait. */
  resolvesOnlyAwaited: boolean;
}>;

/** An integer id as exchanges send it: a number, or text where ccxt found it too long for one. */
export function updateId(value: unknown): number | undefined {
  const id = typeof value === 'string' && value !== '' ? Number(value) : value;
  return Number.isSafeInteger(id) ? (id as number) : undefined;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
