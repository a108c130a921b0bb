import { z } from 'zod';
import { ORDER_STATUSES } from '../../protocol/trading.ts';
import type { OrderStatus } from '../../protocol/trading.ts';
import { integerQuery, textQuery } from './query.ts';

const PAGE_LIMIT = 200;
const DEFAULT_PAGE = 50;
/** Orders that can still change. */
export const OPEN_STATUSES: readonly OrderStatus[] = [
  'submitted',
  'accepted',
  'held',
  'triggered',
  'partially_filled',
  'pending_cancel',
  'pending_update',
  'submit_unknown',
];

/** Queries that several lists share. */
export const limit = integerQuery({ min: 1, max: PAGE_LIMIT, fallback: DEFAULT_PAGE, description: 'Entries a page' });
export const venue = textQuery({
  pattern: /^[a-z0-9_]{2,32}$/,
  wanted: 'must be the id of a venue',
  description: 'Of one venue',
});
export const symbol = textQuery({
  pattern: /^[^\s\p{C}]{1,64}$/u,
  wanted: 'must be a symbol, such as BTC/USDT',
  description: 'Of one market, in its unified spelling (percent-encoded)',
});
export const cursor = textQuery({
  pattern: /^[A-Za-z0-9_-]{1,256}$/,
  wanted: 'must be the nextCursor of an earlier page',
  description: 'Where the earlier page ended',
});
export const orderId = textQuery({
  pattern: /^[A-Za-z0-9_-]{1,64}$/,
  wanted: 'must be the id of an order',
  description: 'Of one order',
});

const STATUS_WANTED = `must be open, or any of ${ORDER_STATUSES.join(', ')}, separated by commas`;
/** `open`, or a list of statuses. */
export const statuses = z
  .string({ error: () => `${STATUS_WANTED}, given once` })
  .max(256)
  .refine((text) => statusesIn(text) !== null, { error: STATUS_WANTED })
  .optional()
  .meta({ description: 'open, or statuses separated by commas' });

export function statusesIn(text: string): readonly OrderStatus[] | null {
  if (text === 'open') return OPEN_STATUSES;
  const names = text.split(',');
  const known = ORDER_STATUSES.filter((status) => names.includes(status));
  return known.length === names.length ? known : null;
}

/** Unix milliseconds as a query value. */
export function timeQuery(description: string) {
  return textQuery({ pattern: /^[0-9]{1,14}$/, wanted: 'must be Unix milliseconds', description });
}

/** The page that was asked for, out of one entry more; that entry tells whether there is another page. */
export function pageOf<T>(
  entries: readonly T[],
  limitEntries: number,
  cursorOf: (last: T) => string,
): { entries: T[]; nextCursor: string | null } {
  const page = entries.slice(0, limitEntries);
  const last = page.at(-1);
  return { entries: page, nextCursor: entries.length > limitEntries && last !== undefined ? cursorOf(last) : null };
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
/** Without the fields that say nothing. */
export function given<T extends object>(fields: T): Given<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;
}
