import { sql } from 'drizzle-orm';
import { accepted, refused } from '../../kernel/outcome.ts';
import type { Outcome, Refused } from '../../kernel/outcome.ts';
import type { Database } from '../../platform/postgres.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { Order, OrderList, PlaceOrder } from '../../protocol/trading.ts';
import type { Ledger, UserEvent } from '../ledger/index.ts';
import type { AssetBook } from './assets.ts';
import type { Caller, Done, RequestKey, WorkingOrder } from './desk.ts';
import { SOUND } from './field-rules.ts';
import type { Verdict } from './field-rules.ts';
import { isOrderId } from './ids.ts';
import { readAnswers, readOrder } from './queries.ts';
import { preparePlacement } from './placement.ts';
import type { OrderColumns, PlacementDeps } from './placement.ts';
import { answerOf, callOf, eventsOf, hashOf, refusalOf } from './store.ts';
import type { PlaceAnswer, StepAnswer } from './store.ts';

export type OrderLimits = Readonly<{ user: number; market: number }>;
export type CommandDeps = PlacementDeps &
  Readonly<{
    database: Database;
    ledger: Ledger;
    assets: AssetBook;
    limits: OrderLimits;
    tell: (events: readonly UserEvent[]) => void;
    /** An engine has something to do about these. */
    wake: (orders: readonly WorkingOrder[]) => void;
  }>;

type KeyKind = 'order' | 'list';
export type StoredKey = Readonly<{ kind: 'key' | KeyKind; key: string }>;

/** Printable ASCII, as a header carries it. */
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,200}$/;

export function keyVerdict(key: RequestKey): Verdict {
  if (key.idempotencyKey === null || IDEMPOTENCY_KEY.test(key.idempotencyKey)) return SOUND;
  return refused('bad_request', 'an idempotency key is 1 to 200 printable ASCII characters without spaces');
}

export function keysOf(key: RequestKey, kind?: KeyKind, clientOrderId?: string): StoredKey[] {
  return [
    ...(key.idempotencyKey === null ? [] : [{ kind: 'key' as const, key: key.idempotencyKey }]),
    ...(kind === undefined || clientOrderId === undefined ? [] : [{ kind, key: clientOrderId }]),
  ];
}

export async function place(deps: CommandDeps, caller: Caller, order: PlaceOrder, key: RequestKey): Done<Order> {
  const usable = keyVerdict(key);
  if (!usable.ok) return usable;
  const keys = keysOf(key, 'order', order.clientOrderId);
  const hash = hashOf('place', order);
  const prepared = await preparePlacement(deps, order);
  if (!prepared.ok) return repeatedOr<Order>(deps, caller.userId, keys, hash, prepared);
  const { columns, assets } = prepared.value;
  const known = await deps.assets.ensure(assets);
  if (!known.ok) return known;
  return submit<Order>(deps, caller, { keys, hash, orders: [columns] });
}

type Submission = Readonly<{
  keys: readonly StoredKey[];
  hash: string;
  orders: readonly OrderColumns[];
  list?: Readonly<{ id: string; kind: 'oco' | 'bracket'; clientOrderId: string | null }>;
}>;

export async function submit<T extends Order | OrderList>(
  deps: CommandDeps,
  caller: Caller,
  submission: Submission,
): Done<T> {
  const request = { ...caller, ...submission, limits: deps.limits };
  const answer = answerOf(await deps.database.runCommand(callOf('place', request))) as PlaceAnswer;
  if (answer.status === 'refused') return refusalOf(answer);
  if (answer.status === 'repeated') return accepted({ value: answer.answer as T, repeated: true });
  const value = answer.answer as T;
  const placed: readonly Order[] = 'orders' in value ? value.orders : [value as Order];
  const events = placed.map((order) => ({ type: 'order' as const, payload: order }));
  deps.tell(eventsOf(caller.userId, answer, events));
  deps.wake(placed.filter((order) => order.status === 'submitted').map((order) => newWork(caller.userId, order)));
  return accepted({ value, repeated: false });
}

function newWork(userId: string, order: Order): WorkingOrder {
  return { userId, order, amendment: null, before: null, commandedAtMs: order.createdAt, memo: {} };
}

/**
 * A request that is refused now may be a repetition of one that was not: time and market have moved on since. The stored
 * answer counts then.
 */
export async function repeatedOr<T>(
  deps: CommandDeps,
  userId: string,
  keys: readonly StoredKey[],
  hash: string,
  refusal: Refused<ErrorCode>,
): Done<T> {
  for (const { kind, key } of keys) {
    const query = sql`select jsonb_build_object('hash', hash, 'answer', answer) as answer from orders.requests
      where user_id = ${userId}::uuid and kind = ${kind} and key = ${key}`;
    const [found] = await readAnswers<{ hash: string; answer: T }>(deps.database, 'request', query);
    if (found === undefined) continue;
    if (found.hash !== hash) return refused('key_reused', 'this key belongs to another request');
    return accepted({ value: found.answer, repeated: true });
  }
  return refusal;
}

export type CancelTarget = Readonly<{ orderId?: string; listId?: string; venue?: string; symbol?: string }>;
type CancelReason = Readonly<{ code: string; message: string }>;

/** Answers what changed; nothing is the same as all being on their way already. */
export async function cancelWhere(
  deps: CommandDeps,
  caller: Caller,
  target: CancelTarget,
  extra: Readonly<{ reason?: CancelReason; deadMan?: true }> = {},
): Promise<Outcome<readonly WorkingOrder[], ErrorCode>> {
  const answer = await step(deps, 'cancel', { ...caller, ...target, ...extra, token: undefined });
  if (answer.status === 'refused') return refusalOf(answer);
  return accepted('works' in answer ? answer.works : []);
}

export async function cancelOrder(
  deps: CommandDeps,
  caller: Caller,
  orderId: string,
): Promise<Outcome<Order, ErrorCode>> {
  if (!isOrderId(orderId)) return refused('not_found', 'there is no such order');
  const outcome = await cancelWhere(deps, caller, { orderId });
  if (!outcome.ok) return outcome;
  const own = outcome.value.find((work) => work.order.id === orderId)?.order;
  // Its own cancellation was under way already; only its siblings changed.
  const order = own ?? (await readOrder(deps.database, caller.userId, orderId));
  return order === null ? refused('not_found', 'there is no such order') : accepted(order);
}

/** Runs a function that answers steps, tells the user and wakes engines. */
export async function step(
  deps: Pick<CommandDeps, 'database' | 'tell' | 'wake'>,
  name: 'cancel' | 'amend' | 'advance' | 'remember' | 'fill' | 'decide_amendment' | 'trigger',
  request: Readonly<Record<string, unknown>>,
): Promise<StepAnswer> {
  const answer = answerOf(await deps.database.runCommand(callOf(name, request))) as StepAnswer;
  if (answer.status === 'done') {
    deps.tell(eventsOf(answer.userId, answer, answer.events));
    // An engine knows of its own step already, not of what that did to other orders.
    deps.wake(name === 'cancel' || name === 'amend' ? answer.works : answer.works.slice(1));
  }
  return answer;
}
