import type { AmendOrder, Order, OrderStatus } from '../../../protocol/trading.ts';
import type { WorkingOrder } from '../desk.ts';
import type { Step } from './core-events.ts';
import { exactly, exactlyOrNull, fixedFrom, most, textOf } from './fixed-point.ts';
import type { VenueLatency } from './latency.ts';
import { drawDelayMs } from './latency.ts';
import type { QueuePlace } from './maker-queue.ts';
import { newPlace } from './maker-queue.ts';
import type { Trail } from './trailing.ts';

const TERMINAL: ReadonlySet<OrderStatus> = new Set([
  'filled',
  'canceled',
  'expired',
  'expired_in_match',
  'rejected',
  'denied',
]);
const STOPS: ReadonlySet<Order['type']> = new Set([
  'stop',
  'stop_limit',
  'take_profit',
  'take_profit_limit',
  'trailing_stop',
]);
const LIMITS: ReadonlySet<Order['type']> = new Set(['limit', 'stop_limit', 'take_profit_limit']);

/** An order as the core sees it: what the database says, and what the core knows about its place in the market. */
export type PaperOrder = {
  readonly id: string;
  readonly userId: string;
  truth: Order;
  before: OrderStatus | null;
  amendment: AmendOrder | null;
  /** Worst price of a fill: the limit price, or a market order's protection; null: none. */
  limit: bigint | null;
  /** Trigger price as the user gave it. */
  stop: bigint | null;
  /** The whole quantity, filled part included; null for an order by budget. */
  size: bigint | null;
  remaining: bigint | null;
  budget: bigint | null;
  /** When it was submitted, and when that and the last other command take effect. Unix milliseconds. */
  sentAtMs: number | null;
  submitAtMs: number;
  commandAtMs: number;
  /** Which command `commandAtMs` was drawn for. */
  commandKey: string;
  submitDelayMs: number;
  /** It has met the book: what it could take at once, it took. */
  entered: boolean;
  place: QueuePlace;
  /** Exchange time of the market when it came to rest: trades from before belong to others. */
  restingTs: number;
  trail: Trail;
  /** Exchange time up to which trades were compared with its trigger. */
  seenTs: number;
  fillCount: number;
  /** What was decided and is not done yet; the first one is under way while `inFlight`. */
  readonly steps: Step[];
  inFlight: boolean;
  /** `ahead` when its notes were last stored. */
  notedAhead: bigint | null;
  trailMoved: boolean;
};

export function isEnded(status: OrderStatus): boolean {
  return TERMINAL.has(status);
}

export function isOver(order: PaperOrder): boolean {
  return isEnded(order.truth.status);
}

/** The status that a pending command of the user leaves aside. */
export function baseStatus(order: PaperOrder): OrderStatus {
  const { status } = order.truth;
  return (status === 'pending_cancel' || status === 'pending_update') && order.before !== null ? order.before : status;
}

export function isPending(order: PaperOrder): boolean {
  return order.truth.status === 'pending_cancel' || order.truth.status === 'pending_update';
}

/** Does not work in the book yet: a stop that has not been triggered, an exit whose entry has no fill. */
export function isDormant(order: PaperOrder): boolean {
  const status = baseStatus(order);
  return status === 'held' || (STOPS.has(order.truth.type) && status === 'submitted');
}

/** Its notes have become worth storing: a stop that moved, or a place that would be given away by a restart. */
export function isNoteWanted(order: PaperOrder): boolean {
  if (isPending(order)) return false;
  if (order.trailMoved) return true;
  const { ahead } = order.place;
  if (!isResting(order) || ahead === null || order.notedAhead === ahead) return false;
  return order.notedAhead === null || ahead * 2n <= order.notedAhead;
}

/** When time alone changes something about it: a command takes effect, or it expires. Infinity: never after `nowMs`. */
export function dueAfter(order: PaperOrder, nowMs: number): number {
  const { timeInForce, expireAt } = order.truth;
  const times = [
    timeInForce === 'GTD' ? expireAt : null,
    baseStatus(order) === 'submitted' ? order.submitAtMs : null,
    isPending(order) ? order.commandAtMs : null,
  ];
  return times.reduce<number>((due, atMs) => (atMs !== null && atMs > nowMs && atMs < due ? atMs : due), Infinity);
}

/** Nothing of it may stay in the book. */
export function takesOnly(order: PaperOrder): boolean {
  const { type, timeInForce } = order.truth;
  return !LIMITS.has(type) || timeInForce === 'IOC' || timeInForce === 'FOK';
}

export function isResting(order: PaperOrder): boolean {
  return order.entered && !isDormant(order) && !takesOnly(order) && !isOver(order);
}

export type AbsorbSetup = Readonly<{ nowMs: number; seed: number; latency: VenueLatency }>;

/** From what the database says, at the start or after a command; `known` keeps what only the core knows. */
export function absorbOrder(known: PaperOrder | undefined, working: WorkingOrder, setup: AbsorbSetup): PaperOrder {
  const order = known ?? newOrder(working);
  const { order: truth } = working;
  order.truth = truth;
  order.before = working.before;
  order.amendment = working.amendment;
  order.limit = exactlyOrNull(LIMITS.has(truth.type) ? truth.price : truth.protectionPrice);
  order.stop = exactlyOrNull(truth.stopPrice);
  order.size = exactlyOrNull(truth.quantity);
  countRemaining(order);
  order.budget =
    truth.quoteQuantity === null
      ? null
      : exactly(truth.quoteQuantity) - exactly(truth.feeRates.flat) - fixedFrom(truth.filledQuote, 'up')!;
  takeSubmission(order, working, setup);
  takeCommand(order, working, setup);
  return order;
}

/** What is open by the database, less what is decided and not done yet. */
export function countRemaining(order: PaperOrder): void {
  if (order.size === null) return;
  const { filledQuantity, preventedQuantity } = order.truth;
  const taken = order.steps.reduce((sum, step) => sum + quantityOf(step), 0n);
  order.remaining = most(0n, order.size - exactly(filledQuantity) - exactly(preventedQuantity) - taken);
}

/** What a step that is decided and not done yet will take away from what is open. */
function quantityOf(step: Step): bigint {
  if (step.do === 'prevent') return exactly(step.quantity);
  return step.do === 'fill' ? step.fills.reduce((sum, { quantity }) => sum + exactly(quantity), 0n) : 0n;
}

function newOrder(working: WorkingOrder): PaperOrder {
  const { order: truth, memo } = working;
  const ahead = exactlyOrNull(stringIn(memo, 'ahead'));
  const extreme = exactlyOrNull(stringIn(memo, 'extreme'));
  return {
    id: truth.id,
    userId: working.userId,
    truth,
    before: null,
    amendment: null,
    limit: null,
    stop: null,
    remaining: null,
    budget: null,
    size: null,
    sentAtMs: null,
    submitAtMs: 0,
    commandAtMs: 0,
    commandKey: '',
    submitDelayMs: 0,
    entered: memo.entered === true,
    place: newPlace(ahead),
    restingTs: numberIn(memo, 'restingTs') ?? 0,
    trail: { active: memo.active === true, extreme },
    seenTs: numberIn(memo, 'seenTs') ?? truth.updatedAt,
    fillCount: numberIn(memo, 'fills') ?? 0,
    steps: [],
    inFlight: false,
    notedAhead: ahead,
    trailMoved: false,
  };
}

/** An order that is submitted travels from the command that submitted it; for an exit that is when its entry was filled. */
function takeSubmission(order: PaperOrder, working: WorkingOrder, setup: AbsorbSetup): void {
  const sentAtMs = order.truth.status === 'submitted' ? working.commandedAtMs : order.truth.createdAt;
  if (order.sentAtMs !== null && order.truth.status !== 'submitted') return;
  if (order.sentAtMs === sentAtMs) return;
  order.sentAtMs = sentAtMs;
  const command = { seed: setup.seed, orderId: order.id, kind: 'submit', commandedAtMs: sentAtMs };
  order.submitDelayMs = drawDelayMs(setup.latency.submit, command);
  // The database's clock may be ahead of ours; an order must not wait for that.
  order.submitAtMs = Math.min(sentAtMs, setup.nowMs) + order.submitDelayMs;
}

function takeCommand(order: PaperOrder, working: WorkingOrder, setup: AbsorbSetup): void {
  const { status } = order.truth;
  if (status !== 'pending_cancel' && status !== 'pending_update') return;
  const kind = status === 'pending_cancel' ? 'cancel' : 'update';
  const key = `${kind}/${working.commandedAtMs}`;
  if (order.commandKey === key) return;
  order.commandKey = key;
  const delay = kind === 'cancel' ? setup.latency.cancel : setup.latency.submit;
  const command = { seed: setup.seed, orderId: order.id, kind, commandedAtMs: working.commandedAtMs };
  const atMs = Math.min(working.commandedAtMs, setup.nowMs) + drawDelayMs(delay, command);
  // A change cannot overtake the order that it changes; a cancellation may.
  order.commandAtMs = kind === 'update' ? Math.max(atMs, order.submitAtMs) : atMs;
}

/** Everything that a restart must not forget. */
export function memoOf(order: PaperOrder): Record<string, unknown> {
  const { place, trail } = order;
  return {
    v: 1,
    fills: order.fillCount,
    entered: order.entered,
    ...(place.ahead === null ? {} : { ahead: textOf(place.ahead) }),
    restingTs: order.restingTs,
    seenTs: order.seenTs,
    ...(trail.active ? { active: true } : {}),
    ...(trail.extreme === null ? {} : { extreme: textOf(trail.extreme) }),
  };
}

function stringIn(memo: Readonly<Record<string, unknown>>, name: string): string | null {
  const value = memo[name];
  return typeof value === 'string' ? value : null;
}

function numberIn(memo: Readonly<Record<string, unknown>>, name: string): number | null {
  const value = memo[name];
  return typeof value === 'number' ? value : null;
}
