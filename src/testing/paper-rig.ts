import type { WorkingOrder } from '../modules/orders/index.ts';
import type { Decision, DecisionAnswer, PaperEvent, PaperSettings } from '../modules/orders/paper/core-events.ts';
import { UNIT, exactly, textOf } from '../modules/orders/paper/fixed-point.ts';
import { MarketCore } from '../modules/orders/paper/market-core.ts';
import type { Level, Trade } from '../protocol/messages.ts';
import type { AmendOrder, Fill, Order, OrderStatus } from '../protocol/trading.ts';

export const RIG_START_MS = 1_700_000_000_000;
export const RIG_SETTINGS: PaperSettings = {
  seed: 1,
  latency: { submit: { medianMs: 50, p99Ms: 50 }, cancel: { medianMs: 30, p99Ms: 30 } },
  bookAgeLimitMs: 30_000,
  tick: UNIT / 100n,
  lot: UNIT / 1_000n,
  depth: 100,
  bookStream: 'book:alpha:BTC/USDT:100:100ms',
  tradesStream: 'trades:alpha:BTC/USDT',
  ordersLimit: 100,
};

export type RigFill = Readonly<{
  orderId: string;
  price: string;
  quantity: string;
  liquidity: 'maker' | 'taker';
  tradeId: string;
}> & {
  market: NonNullable<Fill['market']>;
};

/** The core with a scripted exchange before it and, in place of the database, plain bookkeeping behind it. */
export class PaperRig {
  readonly core: MarketCore;
  readonly orders = new Map<string, WorkingOrder>();
  readonly fills: RigFill[] = [];
  readonly journal: PaperEvent[] = [];
  readonly decided: Decision[] = [];
  nowMs = RIG_START_MS;
  /** Decisions wait for `answerOne`, as they do for a database. */
  answersLate = false;
  readonly #open: Decision[] = [];
  #seq = 0;
  #count = 0;

  constructor(settings: Partial<PaperSettings> = {}) {
    this.core = new MarketCore({ ...RIG_SETTINGS, ...settings }, RIG_START_MS);
  }

  /** Both streams live, with this book. */
  open(bids: readonly Level[], asks: readonly Level[]): void {
    this.book(bids, asks);
    this.trades([], { whole: true });
    this.state('book', true);
    this.state('trades', true);
  }

  book(bids: readonly Level[], asks: readonly Level[], whole = true): void {
    this.feed({ type: 'book', nowMs: this.nowMs, whole, bids, asks, place: this.#place() });
  }

  change(bids: readonly Level[], asks: readonly Level[]): void {
    this.book(bids, asks, false);
  }

  trades(
    trades: readonly (readonly [price: string, size: string, side: Trade['side'], ts?: number])[],
    { whole = false } = {},
  ): void {
    const made = trades.map(([price, size, side, ts]) => ({
      id: `t${++this.#count}`,
      price,
      size,
      side,
      ts: ts ?? this.nowMs,
    }));
    this.feed({ type: 'trades', nowMs: this.nowMs, whole, trades: made, place: this.#place() });
  }

  state(channel: 'book' | 'trades', live: boolean): void {
    this.feed({ type: 'state', nowMs: this.nowMs, channel, live });
  }

  /** A new order of `userId`; takes effect after the latency, which `wait` lets pass. */
  place(fields: Partial<Order> & Pick<Order, 'side' | 'type'>, userId = 'u1'): string {
    const working = newWorkingOrder(`o${this.orders.size + 1}`, fields, { userId, nowMs: this.nowMs });
    this.orders.set(working.order.id, working);
    this.feed({ type: 'order', nowMs: this.nowMs, working });
    return working.order.id;
  }

  /** Places, and lets the latency pass. */
  send(fields: Partial<Order> & Pick<Order, 'side' | 'type'>, userId = 'u1'): string {
    const id = this.place(fields, userId);
    this.wait(60);
    return id;
  }

  cancel(id: string): void {
    this.#command(id, 'pending_cancel', null);
  }

  amend(id: string, change: AmendOrder): void {
    this.#command(id, 'pending_update', change);
  }

  /** What another engine or the database itself did to an order, of which nobody was told. */
  alter(id: string, changes: Partial<Order>): void {
    const working = this.orders.get(id)!;
    this.orders.set(id, { ...working, order: { ...working.order, ...changes, version: working.order.version + 1 } });
  }

  wait(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let due = this.core.dueMs(); due <= untilMs; due = this.core.dueMs()) {
      this.nowMs = due;
      this.feed({ type: 'clock', nowMs: due });
    }
    this.nowMs = untilMs;
  }

  order(id: string): Order {
    return this.orders.get(id)!.order;
  }

  /** `status filled/quantity`. */
  seen(id: string): string {
    const { status, filledQuantity, quantity } = this.order(id);
    return `${status} ${filledQuantity}/${quantity ?? '-'}`;
  }

  fillsOf(id: string): string[] {
    return this.fills
      .filter(({ orderId }) => orderId === id)
      .map(({ liquidity, quantity, price }) => `${liquidity} ${quantity} @ ${price}`);
  }

  feed(event: PaperEvent): void {
    this.journal.push(event);
    this.#open.push(...this.#decide(event));
    if (!this.answersLate) this.answerAll();
  }

  /** The oldest decision is carried out. */
  answerOne(): void {
    const decision = this.#open.shift();
    if (decision === undefined) return;
    const done: PaperEvent = { type: 'done', nowMs: this.nowMs, decision, answer: this.#carryOut(decision) };
    this.journal.push(done);
    this.#open.push(...this.#decide(done));
  }

  answerAll(): void {
    while (this.#open.length > 0) this.answerOne();
  }

  #decide(event: PaperEvent): Decision[] {
    const decisions = this.core.step(event);
    this.decided.push(...decisions);
    return decisions;
  }

  #place() {
    const ts = this.nowMs;
    return { epoch: 'e1', seq: ++this.#seq, exchangeSeq: this.#seq, exchangeTs: ts, ingestTs: ts };
  }

  #command(id: string, status: 'pending_cancel' | 'pending_update', amendment: AmendOrder | null): void {
    const { order, ...rest } = this.orders.get(id)!;
    const before = order.status;
    const version = order.version + 1;
    const working = { ...rest, order: { ...order, status, version }, before, amendment, commandedAtMs: this.nowMs };
    this.orders.set(id, working);
    this.feed({ type: 'order', nowMs: this.nowMs, working });
  }

  #carryOut(decision: Decision): DecisionAnswer {
    const working = this.orders.get(decision.orderId)!;
    if (working.order.version !== decision.version) {
      const isOver = ['filled', 'canceled', 'expired', 'rejected', 'expired_in_match'].includes(working.order.status);
      return { working: isOver ? null : working, refused: 'conflict' };
    }
    const done = this.#apply(working, decision);
    const next = { ...done, memo: decision.memo, order: { ...done.order, version: working.order.version + 1 } };
    this.orders.set(decision.orderId, next);
    return { working: next, refused: null };
  }

  #apply(working: WorkingOrder, { step, orderId }: Decision): WorkingOrder {
    const { order } = working;
    const to = (status: OrderStatus, changes: Partial<Order> = {}) => {
      const isPending = order.status === 'pending_cancel' || order.status === 'pending_update';
      const stays = isPending && (status === 'partially_filled' || status === 'accepted' || status === 'triggered');
      return stays
        ? { ...working, before: status, order: { ...order, ...changes } }
        : { ...working, before: null, amendment: null, order: { ...order, status, ...changes } };
    };
    switch (step.do) {
      case 'accept':
        return to(order.type === 'limit' || order.type === 'market' ? 'accepted' : 'held');
      case 'trigger':
        return to('triggered');
      case 'wait':
        return { ...working, order: { ...order, waiting: step.waiting } };
      case 'remember':
        return { ...working, order: { ...order, stopPrice: step.stopPrice ?? order.stopPrice } };
      case 'finish':
        return to(step.status, { reason: step.reason });
      case 'amend': {
        const wanted = working.amendment?.quantity;
        const taken = exactly(order.filledQuantity) + exactly(order.preventedQuantity);
        // As much was filled meanwhile.
        const isTooLate = wanted !== undefined && exactly(wanted) <= taken;
        const change = step.refusal === null && !isTooLate ? (working.amendment as Partial<Order>) : {};
        return { ...working, before: null, amendment: null, order: { ...order, status: working.before!, ...change } };
      }
      case 'prevent': {
        const prevented = exactly(order.preventedQuantity) + exactly(step.quantity);
        const isOver = prevented + exactly(order.filledQuantity) === exactly(order.quantity!);
        const changes = { preventedQuantity: textOf(prevented) };
        return isOver ? to('expired_in_match', changes) : { ...working, order: { ...order, ...changes } };
      }
      case 'fill': {
        let filled = exactly(order.filledQuantity);
        let quote = exactly(order.filledQuote);
        for (const { tradeId, price, quantity, liquidity, market } of step.fills) {
          if (this.fills.some((each) => each.tradeId === tradeId)) throw new Error(`${tradeId} came twice`);
          this.fills.push({ orderId, tradeId, price, quantity, liquidity, market });
          filled += exactly(quantity);
          quote += (exactly(quantity) * exactly(price)) / UNIT;
        }
        const isFull = order.quantity !== null && filled + exactly(order.preventedQuantity) === exactly(order.quantity);
        const changes = { filledQuantity: textOf(filled), filledQuote: textOf(quote) };
        return to(isFull ? 'filled' : 'partially_filled', changes);
      }
      default:
        return step satisfies never;
    }
  }
}

export function newWorkingOrder(
  id: string,
  fields: Partial<Order> & Pick<Order, 'side' | 'type'>,
  { userId, nowMs }: Readonly<{ userId: string; nowMs: number }>,
): WorkingOrder {
  const isMarket = fields.type === 'market';
  const order: Order = {
    id,
    clientOrderId: null,
    listId: null,
    role: null,
    account: 'paper',
    venue: 'alpha',
    symbol: 'BTC/USDT',
    status: 'submitted',
    reason: null,
    quantity: fields.quoteQuantity === undefined ? '1' : null,
    quoteQuantity: null,
    price: null,
    stopPrice: null,
    trigger: fields.stopPrice !== undefined || fields.type === 'trailing_stop' ? 'last' : null,
    trailingDelta: null,
    activationPrice: null,
    timeInForce: isMarket ? 'IOC' : 'GTC',
    expireAt: null,
    postOnly: false,
    protectionPrice: null,
    selfTradePrevention: 'decrement',
    filledQuantity: '0',
    preventedQuantity: '0',
    remainingQuantity: null,
    filledQuote: '0',
    averagePrice: null,
    fees: [],
    feeRates: { maker: '0.001', taker: '0.001', flat: '0' },
    hold: null,
    heldAt: 'us',
    simulated: true,
    modelVersion: '1',
    waiting: null,
    version: 1,
    createdAt: nowMs,
    updatedAt: nowMs,
    ...fields,
  };
  return { userId, order, amendment: null, before: null, commandedAtMs: nowMs, memo: {} };
}

export const BIDS: readonly Level[] = [
  ['99.00', '2'],
  ['98.00', '5'],
];
export const ASKS: readonly Level[] = [
  ['101.00', '2'],
  ['102.00', '5'],
];

export function openedRig(settings: Partial<PaperSettings> = {}): PaperRig {
  const rig = new PaperRig(settings);
  rig.open(BIDS, ASKS);
  return rig;
}

/** Another process that reads the same orders. */
export function restartedRig(rig: PaperRig): PaperRig {
  const next = new PaperRig();
  next.nowMs = rig.nowMs;
  next.fills.push(...rig.fills);
  for (const [id, working] of rig.orders) next.orders.set(id, working);
  for (const working of rig.orders.values()) next.feed({ type: 'order', nowMs: next.nowMs, working });
  return next;
}
