import type { Outcome } from '../../kernel/outcome.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type {
  AmendOrder,
  Fill,
  Order,
  OrderList,
  OrderStatus,
  PlaceList,
  PlaceOrder,
  Quote,
  QuoteRequest,
} from '../../protocol/trading.ts';

/** Who gives the command, for the audit trail. */
export type Caller = Readonly<{ userId: string; actor: string; requestId: string | null }>;
/** Of a request: same key and body answer the same again. `clientOrderId` in a body does the same for that order. */
export type RequestKey = Readonly<{ idempotencyKey: string | null }>;
/** `repeated`: an earlier request with the same key did it; `value` is as it was answered then. */
export type Done<T> = Promise<Outcome<Readonly<{ value: T; repeated: boolean }>, ErrorCode>>;
export type OrderFilter = Readonly<{
  venue?: string;
  symbol?: string;
  statuses?: readonly OrderStatus[];
  clientOrderId?: string;
  /** Id of the last order of the page before; newest first. */
  before?: string;
  limit: number;
}>;
export type FillFilter = Readonly<{
  orderId?: string;
  venue?: string;
  symbol?: string;
  before?: string;
  limit: number;
}>;

/**
 * What users do with orders. A command is one statement: idempotency, limits, hold, order and events together. It answers
 * once that is durable; what follows (acceptance, fills) comes as events. Orders of others do not exist (`not_found`).
 * Rejects with `DatabaseFailure` only.
 */
export interface OrderDesk {
  place(caller: Caller, order: PlaceOrder, key: RequestKey): Done<Order>;
  placeList(caller: Caller, list: PlaceList, key: RequestKey): Done<OrderList>;
  amend(caller: Caller, orderId: string, change: AmendOrder, key: RequestKey): Done<Order>;
  /** Idempotent: cancelling what is being cancelled answers the order. An order of a list takes its siblings with it. */
  cancel(caller: Caller, orderId: string): Promise<Outcome<Order, ErrorCode>>;
  cancelList(caller: Caller, listId: string): Promise<Outcome<OrderList, ErrorCode>>;
  /** Bounded by the number of open orders that a user may have. */
  cancelAll(caller: Caller, filter: Readonly<{ venue?: string; symbol?: string }>): Promise<readonly Order[]>;
  /** Dead-man switch: cancels all of the user's orders at that time unless called again before; 0 switches it off. */
  cancelAfter(caller: Caller, timeoutMs: number): Promise<Outcome<Readonly<{ triggerAt: number | null }>, ErrorCode>>;
  /** Places nothing. */
  quote(caller: Caller, order: QuoteRequest): Promise<Outcome<Quote, ErrorCode>>;
  order(userId: string, orderId: string): Promise<Order | null>;
  orderList(userId: string, listId: string): Promise<OrderList | null>;
  orders(userId: string, filter: OrderFilter): Promise<Order[]>;
  fills(userId: string, filter: FillFilter): Promise<Fill[]>;
}

/** An order as an engine works on it. `version` rises with every change; a stale one is refused with `conflict`. */
export type WorkingOrder = Readonly<{
  userId: string;
  order: Order;
  /** What the user asked for while `status` is `pending_update`. */
  amendment: AmendOrder | null;
  /** The status that a pending one returns to. */
  before: OrderStatus | null;
  /** Database time of the last command of the user: the engine's latency counts from here. Unix milliseconds. */
  commandedAtMs: number;
  /** Where an engine left its own notes, such as the trailing extreme, drawn latency and queue position; opaque to the desk. */
  memo: Readonly<Record<string, unknown>>;
}>;

export type ExecutionRefusal = 'not_found' | 'conflict' | 'order_closed' | 'insufficient_funds' | 'denied';
export type Executed = Promise<Outcome<WorkingOrder, ExecutionRefusal>>;
/** Names one state of one order. */
export type OrderRef = Readonly<{ orderId: string; version: number }>;
export type EngineFill = Readonly<{
  /** Unique per engine for ever; the same again answers what it did the first time. */
  tradeId: string;
  liquidity: 'maker' | 'taker';
  /** Decimal texts; price in quote per base. */
  price: string;
  quantity: string;
  market: NonNullable<Fill['market']>;
  ts: number;
}>;
/** What else is so once this is done; written in the same statement. */
export type EngineNote = Readonly<{ memo?: Readonly<Record<string, unknown>> }>;

/**
 * What an engine does to orders: each is one statement with its events, and only along the state machine.
 * One engine owns a market at a time (a lease); whoever lost it gets `conflict`.
 */
export interface ExecutionDesk {
  /** All that is not over, oldest command first; for a start. */
  workingOrders(market: Readonly<{ venue: string; symbol: string }>): Promise<WorkingOrder[]>;
  /** Markets that have any. */
  workingMarkets(): Promise<readonly Readonly<{ venue: string; symbol: string }>[]>;
  /** Commands given since `cursor` (null: from now), in the order of their numbers; for whoever missed a wake. */
  commandsSince(
    cursor: string | null,
    limit: number,
  ): Promise<Readonly<{ orders: readonly WorkingOrder[]; cursor: string }>>;
  /**
   * After commit of a user's command in any process, and of what a fill did to the rest of its list: an exit that was armed,
   * changed its quantity, or ended. A hint, `commandsSince` is the truth. Answers how to stop listening.
   */
  onCommand(listener: (order: WorkingOrder) => void): () => void;

  /** The order works in the book now (or waits for its trigger: `held`). */
  accept(ref: OrderRef, note?: EngineNote): Executed;
  /**
   * Money, fee, order, siblings and events at once. The last fill gives back what is left of the hold. Within the price and
   * quantity of an open order it cannot fail for lack of money; by quoteQuantity, `budgetOf` is what may be spent.
   */
  fill(ref: OrderRef, fill: EngineFill, note?: EngineNote): Executed;
  /** Several fills of one walk through the book in one statement. */
  fillAll(ref: OrderRef, fills: readonly EngineFill[], note?: EngineNote): Executed;
  /** The trigger was met: checked again as if placed now; refused checks end it as `denied`. */
  trigger(
    ref: OrderRef,
    evidence: Readonly<{ price: string; source: string; seq: number; epoch: string }>,
    note?: EngineNote,
  ): Executed;
  /** Carries out the user's amendment, or refuses it: the order goes back to what it was. */
  amend(ref: OrderRef, refusal: Readonly<{ code: string; message: string }> | null, note?: EngineNote): Executed;
  /** The end: gives back the rest of the hold. */
  finish(
    ref: OrderRef,
    status: 'canceled' | 'expired' | 'rejected' | 'expired_in_match',
    reason: Readonly<{ code: string; message: string }>,
  ): Executed;
  /** Self-trade prevention takes this much away from what is open. */
  prevent(ref: OrderRef, quantity: string, note?: EngineNote): Executed;
  /** Shows or clears why nothing can happen at the moment; no money moves. */
  wait(ref: OrderRef, waiting: Order['waiting']): Executed;
  /** Keeps the engine's notes (such as a trailing stop's new stop price) without telling it as a step of the order. */
  remember(ref: OrderRef, memo: Readonly<Record<string, unknown>>, stopPrice: string | null): Executed;
}
