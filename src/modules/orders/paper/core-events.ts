import type { Level, Trade } from '../../../protocol/messages.ts';
import type { Order } from '../../../protocol/trading.ts';
import type { EngineFill, ExecutionRefusal, WorkingOrder } from '../desk.ts';
import type { VenueLatency } from './latency.ts';

/** The core's whole world: what it is told, in order, and what it decides. Same settings and events, same decisions. */

export type PaperSettings = Readonly<{
  seed: number;
  latency: VenueLatency;
  /** No fill from a book that is older. */
  bookAgeLimitMs: number;
  /** Smallest steps of price and size, in 10^-18. */
  tick: bigint;
  lot: bigint;
  /** Levels a side that the book stream shows. */
  depth: number;
  bookStream: string;
  tradesStream: string;
  ordersLimit: number;
}>;

/** Where in a stream something was seen. `exchangeTs` and `exchangeSeq` are null where the exchange does not say. */
export type StreamPlace = Readonly<{
  epoch: string;
  seq: number;
  exchangeSeq: number | null;
  exchangeTs: number | null;
  ingestTs: number;
}>;

export type PaperEvent = Readonly<{ nowMs: number }> &
  Readonly<
    | { type: 'book'; whole: boolean; bids: readonly Level[]; asks: readonly Level[]; place: StreamPlace }
    /** `whole`: a snapshot, which shows what happened before; of it nobody is filled. */
    | { type: 'trades'; whole: boolean; trades: readonly Trade[]; place: StreamPlace }
    | { type: 'state'; channel: 'book' | 'trades'; live: boolean }
    /** A new order, a command on one, or what the database says about one. */
    | { type: 'order'; working: WorkingOrder }
    /** The database had it no more at a time when it was at this version here. */
    | { type: 'gone'; orderId: string; version: number }
    | { type: 'done'; decision: Decision; answer: DecisionAnswer }
    | { type: 'clock' }
  >;

export type Reason = Readonly<{ code: string; message: string }>;
export type EndStatus = 'canceled' | 'expired' | 'rejected' | 'expired_in_match';
export type TriggerEvidence = Readonly<{ price: string; source: string; seq: number; epoch: string }>;

/** One statement on one order. */
export type Step = Readonly<
  | { do: 'accept' }
  | { do: 'fill'; fills: readonly EngineFill[] }
  | { do: 'trigger'; evidence: TriggerEvidence }
  | { do: 'amend'; refusal: Reason | null }
  | { do: 'finish'; status: EndStatus; reason: Reason }
  | { do: 'prevent'; quantity: string }
  | { do: 'wait'; waiting: Order['waiting'] }
  | { do: 'remember'; stopPrice: string | null }
>;
export type Decision = Readonly<{
  orderId: string;
  version: number;
  memo: Readonly<Record<string, unknown>>;
  step: Step;
}>;

/** `working`: the order as it is now; null when it is over or not there. `refused`: nothing happened, and why. */
export type DecisionAnswer = Readonly<{ working: WorkingOrder | null; refused: ExecutionRefusal | null }>;
