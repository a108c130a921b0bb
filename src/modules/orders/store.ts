import { createHash } from 'node:crypto';
import { sql } from 'drizzle-orm';
import type { SQL } from 'drizzle-orm';
import { assert } from '../../kernel/assert.ts';
import { refused } from '../../kernel/outcome.ts';
import type { Refused } from '../../kernel/outcome.ts';
import type { Command, Row } from '../../platform/postgres.ts';
import { ERRORS } from '../../protocol/errors.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { UserEvent } from '../ledger/index.ts';
import type { WorkingOrder } from './desk.ts';
import type { OrderNews } from './events.ts';

/** The functions of migration 0009 that take one jsonb and answer one. */
export type WriteFunction =
  | 'place'
  | 'cancel'
  | 'amend'
  | 'advance'
  | 'remember'
  | 'fill'
  | 'decide_amendment'
  | 'trigger';

type RefusedAnswer = Readonly<{ status: 'refused'; code: string; message: string }>;
type Told = Readonly<{ money: readonly UserEvent[]; firstSeq: number; atMs: number }>;
export type PlaceAnswer =
  | RefusedAnswer
  | Readonly<{ status: 'repeated'; answer: unknown }>
  | (Told & Readonly<{ status: 'placed'; answer: unknown }>);
/** `works`: orders as they are now, the one that was meant first. */
export type StepAnswer =
  | RefusedAnswer
  | Readonly<{ status: 'repeated'; answer: unknown }>
  | Readonly<{ status: 'stale' }>
  | Readonly<{ status: 'unchanged'; works: readonly WorkingOrder[] }>
  | (Told &
      Readonly<{
        status: 'done';
        works: readonly WorkingOrder[];
        userId: string;
        events: readonly OrderNews[];
      }>);

/** Each may be sent again when nobody knows whether it happened: by key, by order id or by token it is known again. */
export function callOf(name: WriteFunction, request: Readonly<Record<string, unknown>>): Command {
  const statement = sql`select ${sql.raw(`orders.${name}`)}(${JSON.stringify(request)}::text::jsonb) as answer`;
  return { name: `orders.${name}`, statement, repeatable: true };
}

export function commandOf(name: string, statement: SQL): Command {
  return { name: `orders.${name}`, statement, repeatable: true };
}

/** `jsonb` comes as text or parsed, as the driver was told. */
export function answerOf(rows: readonly Row[]): unknown {
  const answer = rows[0]?.answer;
  assert(rows.length === 1, 'orders: a function answers exactly once');
  return typeof answer === 'string' ? JSON.parse(answer) : answer;
}

/** A refusal of the database in the words of the protocol; a code that it lacks would be one that nobody understands. */
export function refusalOf(answer: RefusedAnswer): Refused<ErrorCode> {
  assert(answer.code in ERRORS, `orders: the database refused with ${answer.code}: ${answer.message}`);
  return refused(answer.code as ErrorCode, answer.message);
}

/** Events in the order of their numbers: the ledger's first, then the orders'. */
export function eventsOf(userId: string, answer: Told, events: readonly OrderNews[]): UserEvent[] {
  const own = events.map((event, index) => ({ userId, seq: answer.firstSeq + index, ...event, atMs: answer.atMs }));
  return [...answer.money, ...own];
}

/** Of what a request means, whatever the order of its fields; `operation` sets apart what has the same body. */
export function hashOf(operation: string, body: unknown): string {
  return createHash('sha256').update(operation).update('\n').update(canonical(body)).digest('hex');
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  const sorted = fields.toSorted(([one], [other]) => (one < other ? -1 : 1));
  return `{${sorted.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`).join(',')}}`;
}
