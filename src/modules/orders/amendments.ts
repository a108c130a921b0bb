import { randomUUID } from 'node:crypto';
import { accepted, refused } from '../../kernel/outcome.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { AmendOrder, Order, QuoteRequest } from '../../protocol/trading.ts';
import { referencePrice } from './books.ts';
import { keysOf, keyVerdict, repeatedOr, step } from './commands.ts';
import type { CommandDeps } from './commands.ts';
import type { Caller, Done, RequestKey } from './desk.ts';
import { expireAtVerdict, invalid, SOUND, waitsForTrigger } from './field-rules.ts';
import type { Verdict } from './field-rules.ts';
import { plain, tryFixed } from './fixed.ts';
import { isOrderId } from './ids.ts';
import { marketVerdict, openVerdict } from './market-rules.ts';
import { findMarket, freshBook } from './placement.ts';
import { protectionOfStop } from './pricing.ts';
import { readOrder } from './queries.ts';
import { hashOf, refusalOf } from './store.ts';

/** Looks again when the order changed between reading and writing it. */
const ATTEMPTS_LIMIT = 5;

export async function amendOrder(
  deps: CommandDeps,
  caller: Caller,
  orderId: string,
  change: AmendOrder,
  key: RequestKey,
): Done<Order> {
  if (!isOrderId(orderId)) return refused('not_found', 'there is no such order');
  const usable = keyVerdict(key);
  if (!usable.ok) return usable;
  const keys = keysOf(key);
  const hash = hashOf(`amend ${orderId}`, change);
  for (let attempt = 0; attempt < ATTEMPTS_LIMIT; attempt++) {
    const order = await readOrder(deps.database, caller.userId, orderId);
    if (order === null) return refused('not_found', 'there is no such order');
    const checked = await checkChange(deps, order, change);
    if (!checked.ok) return repeatedOr<Order>(deps, caller.userId, keys, hash, checked);
    const wanted = { orderId, version: order.version, token: randomUUID(), change: { ...change, ...checked.value } };
    const answer = await step(deps, 'amend', { ...caller, ...wanted, keys, hash });
    if (answer.status === 'refused') return refusalOf(answer);
    if (answer.status === 'repeated') return accepted({ value: answer.answer as Order, repeated: true });
    if (answer.status !== 'stale') return accepted({ value: answer.works[0]!.order, repeated: false });
  }
  return refused('conflict', 'the order changes faster than it can be amended');
}

/** The amended order must be one that could be placed. Answers what changes with it: our own protection moves with its stop. */
async function checkChange(
  deps: CommandDeps,
  order: Order,
  change: AmendOrder,
): Promise<Outcome<Readonly<{ protectionPrice?: string }>, ErrorCode>> {
  const fits = changeVerdict(order, change, deps.now());
  if (!fits.ok) return fits;
  const found = findMarket(deps.directory, order.venue, order.symbol);
  if (!found.ok) return found;
  const open = openVerdict(found.value);
  if (!open.ok) return open;
  const book = await freshBook(deps.books, order.venue, order.symbol);
  const amended = requestOf(order, change);
  const sound = marketVerdict(amended, found.value, book && referencePrice(book));
  if (!sound.ok) return sound;
  const moves = change.stopPrice !== undefined || change.trailingDelta !== undefined;
  if (!moves || order.price !== null || !waitsForTrigger(order.type)) return accepted({});
  const protection = protectionOfStop(amended, book, found.value);
  if (protection === null) return refused('market_data_stale', 'there is no live order book to price this with');
  return accepted({ protectionPrice: plain(protection) });
}

function changeVerdict(order: Order, change: AmendOrder, nowMs: number): Verdict {
  const given = Object.entries(change).filter(([, value]) => value !== undefined);
  if (given.length === 0) return invalid('nothing is changed');
  for (const [name, value] of given) {
    if (typeof value === 'string' && (tryFixed(value) ?? 0n) <= 0n)
      return refused('invalid_amount', `${name} is a positive decimal with at most 18 places`);
  }
  if (order.type === 'market') return invalid('a market order cannot be amended');
  if (change.quantity !== undefined && order.listId !== null)
    return invalid('the orders of a list have one quantity; cancel the list and place another');
  if (change.price !== undefined && order.price === null) return invalid('this order has no limit price');
  if (change.stopPrice !== undefined && (order.stopPrice === null || order.type === 'trailing_stop'))
    return invalid('this order has no stop price of its own');
  if (change.trailingDelta !== undefined && order.trailingDelta === null) return invalid('this order trails nothing');
  if (change.stopPrice !== undefined && order.status !== 'held' && order.status !== 'submitted')
    return invalid('the stop was triggered already');
  if (change.expireAt === undefined) return SOUND;
  return order.timeInForce === 'GTD' ? expireAtVerdict(change.expireAt, nowMs) : invalid('only GTD orders expire');
}

function requestOf(order: Order, change: AmendOrder): QuoteRequest {
  const text = (value: string | null | undefined) => value ?? undefined;
  const request = {
    account: order.account,
    venue: order.venue,
    symbol: order.symbol,
    side: order.side,
    type: order.type,
    quantity: change.quantity ?? text(order.quantity),
    price: change.price ?? text(order.price),
    stopPrice: order.type === 'trailing_stop' ? undefined : (change.stopPrice ?? text(order.stopPrice)),
    activationPrice: text(order.activationPrice),
    trailingDelta: change.trailingDelta ?? order.trailingDelta ?? undefined,
  };
  return request;
}
