import type { Order, OrderStatus } from '../../protocol/trading.ts';
import { ABSENT, grouped } from '../format.ts';
import { TICKET_KINDS } from './order-draft.ts';

const STATUSES: Readonly<Record<OrderStatus, string>> = {
  submitted: 'submitted',
  accepted: 'accepted',
  held: 'waits for its trigger',
  triggered: 'triggered',
  partially_filled: 'partly filled',
  pending_cancel: 'being cancelled',
  pending_update: 'being changed',
  submit_unknown: 'of unknown fate',
  filled: 'filled',
  canceled: 'cancelled',
  expired: 'expired',
  expired_in_match: 'expired against your own order',
  rejected: 'rejected',
  denied: 'denied',
};

/** What an order is in and why, in words. */
export function statusText({ status, reason, waiting }: Order): string {
  const because = reason ? `: ${reason.message}` : '';
  return waiting === 'market_data'
    ? `${STATUSES[status]}, waits for fresh market data`
    : `${STATUSES[status]}${because}`;
}

export function typeText({ type, role, timeInForce, postOnly }: Order): string {
  const extras = [
    role?.replaceAll('_', ' '),
    timeInForce === 'GTC' ? null : timeInForce,
    postOnly ? 'post only' : null,
  ];
  return [TICKET_KINDS[type], ...extras.filter(Boolean)].join(', ');
}

/** Limit and trigger, as far as the order has them. */
export function priceText({ price, stopPrice, trailingDelta }: Order): string {
  const parts = [
    price === null ? null : grouped(price),
    stopPrice === null ? null : `trigger ${grouped(stopPrice)}`,
    trailingDelta === null ? null : `trails ${(trailingDelta / 100).toFixed(2)} %`,
  ].filter((part) => part !== null);
  return parts.length === 0 ? ABSENT : parts.join(', ');
}
