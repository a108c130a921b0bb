import type { OrderStatus } from '../../protocol/trading.ts';

/** What can happen to an order. `lose`: nobody knows whether the venue took it; `arm`: an exit of a bracket has something to protect. */
export const ORDER_EVENTS = [
  'accept',
  'hold',
  'lose',
  'arm',
  'trigger',
  'fill_part',
  'fill_all',
  'request_cancel',
  'refuse_cancel',
  'cancel',
  'request_amend',
  'amend',
  'refuse_amend',
  'resize',
  'prevent',
  'wait',
  'expire',
  'expire_in_match',
  'reject',
  'deny',
] as const;
export type OrderEvent = (typeof ORDER_EVENTS)[number];
/** `before`: what a pending order was before it became pending. */
export type NextStatus = OrderStatus | 'before';
/** `becomes`: what a pending order will go back to from now on. */
export type Transition = Readonly<{ to: NextStatus; becomes?: OrderStatus }>;

export const ENDED: ReadonlySet<OrderStatus> = new Set([
  'filled',
  'canceled',
  'expired',
  'expired_in_match',
  'rejected',
  'denied',
]);
export const PENDING: ReadonlySet<OrderStatus> = new Set(['pending_cancel', 'pending_update']);

const SENT = ['submitted', 'submit_unknown'] as const;
const WORKING = ['accepted', 'triggered', 'partially_filled'] as const;
const WAITING = ['pending_cancel', 'pending_update'] as const;
const OPEN = [...SENT, 'held', ...WORKING, ...WAITING] as const;

type Rows = Readonly<Partial<Record<OrderStatus, Transition>>>;

function rows(from: readonly OrderStatus[], to: NextStatus): Rows {
  return Object.fromEntries(from.map((status) => [status, { to }]));
}

/** Nothing changes in the status itself. */
function stay(from: readonly OrderStatus[], becomes?: OrderStatus): Rows {
  return Object.fromEntries(from.map((status) => [status, becomes ? { to: status, becomes } : { to: status }]));
}

/**
 * The state machine: event, from, to. The same rows stand in `orders.transitions` (migration 0008), where each step is
 * checked; a test holds the two together.
 */
export const TRANSITIONS: Readonly<Record<OrderEvent, Rows>> = {
  accept: { ...rows(SENT, 'accepted'), ...stay(['pending_cancel'], 'accepted') },
  hold: { ...rows(SENT, 'held'), ...stay(['pending_cancel'], 'held') },
  lose: rows(['submitted'], 'submit_unknown'),
  arm: rows(['held'], 'submitted'),
  trigger: { ...rows(['held', 'accepted'], 'triggered'), ...stay(WAITING, 'triggered') },
  fill_part: {
    ...rows([...SENT, 'held', ...WORKING], 'partially_filled'),
    ...stay(WAITING, 'partially_filled'),
    // A venue may report a fill after it reported the end.
    ...stay(['canceled', 'expired']),
  },
  fill_all: rows([...OPEN, 'canceled', 'expired'], 'filled'),
  request_cancel: rows([...SENT, ...WORKING, ...WAITING], 'pending_cancel'),
  refuse_cancel: rows(['pending_cancel'], 'before'),
  cancel: rows(OPEN, 'canceled'),
  request_amend: rows(WORKING, 'pending_update'),
  amend: { ...rows(['pending_update'], 'before'), ...stay(['held']) },
  refuse_amend: rows(['pending_update'], 'before'),
  resize: stay(OPEN),
  prevent: stay(['submitted', ...WORKING, ...WAITING]),
  wait: stay(OPEN),
  expire: rows(OPEN, 'expired'),
  expire_in_match: rows(['submitted', ...WORKING, ...WAITING], 'expired_in_match'),
  reject: rows([...SENT, 'accepted', 'triggered', ...WAITING], 'rejected'),
  deny: rows(['held'], 'denied'),
};

/** Null: no such step. */
export function nextStatus(
  from: OrderStatus,
  event: OrderEvent,
  before: OrderStatus | null = null,
): OrderStatus | null {
  const to = TRANSITIONS[event][from]?.to;
  if (to === undefined) return null;
  return to === 'before' ? before : to;
}
