import { accepted, refused } from '../../kernel/outcome.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { OrderType, PlaceOrder, QuoteRequest } from '../../protocol/trading.ts';
import { tryFixed } from './fixed.ts';

type Field = Exclude<keyof PlaceOrder, 'account' | 'venue' | 'symbol' | 'side' | 'type' | 'clientOrderId'>;
type TypeRules = Readonly<{ needs: readonly Field[]; allows: readonly Field[]; timesInForce: readonly string[] }>;
export type Verdict = Outcome<true, ErrorCode>;
export const SOUND: Verdict = accepted(true);

const ALWAYS: readonly Field[] = ['timeInForce', 'selfTradePrevention'];
const STOP_ALLOWS: readonly Field[] = ['trigger', 'expireAt', 'protectionPrice'];
const RESTING = ['GTC', 'GTD'];
const STOP: TypeRules = { needs: ['quantity', 'stopPrice'], allows: STOP_ALLOWS, timesInForce: RESTING };
const STOP_LIMIT: TypeRules = {
  needs: ['quantity', 'stopPrice', 'price'],
  allows: ['trigger', 'expireAt'],
  timesInForce: RESTING,
};

const RULES: Readonly<Record<OrderType, TypeRules>> = {
  market: { needs: [], allows: ['quantity', 'quoteQuantity', 'protectionPrice'], timesInForce: ['IOC', 'FOK'] },
  limit: {
    needs: ['quantity', 'price'],
    allows: ['expireAt', 'postOnly'],
    timesInForce: ['GTC', 'IOC', 'FOK', 'GTD'],
  },
  stop: STOP,
  take_profit: STOP,
  stop_limit: STOP_LIMIT,
  take_profit_limit: STOP_LIMIT,
  trailing_stop: {
    needs: ['quantity', 'trailingDelta'],
    allows: [...STOP_ALLOWS, 'activationPrice'],
    timesInForce: RESTING,
  },
};
const FIELDS: readonly Field[] = [
  'quantity',
  'quoteQuantity',
  'price',
  'stopPrice',
  'trigger',
  'trailingDelta',
  'activationPrice',
  'expireAt',
  'postOnly',
  'protectionPrice',
];
const AMOUNTS = ['quantity', 'quoteQuantity', 'price', 'stopPrice', 'activationPrice', 'protectionPrice'] as const;
/** An order that nobody remembers is cancelled by its own date at last. */
const EXPIRY_LIMIT_MS = 366 * 24 * 60 * 60 * 1_000;

export function timeInForceOf(order: QuoteRequest): 'GTC' | 'IOC' | 'FOK' | 'GTD' {
  if (order.timeInForce !== undefined) return order.timeInForce;
  if (order.type === 'market') return 'IOC';
  return order.expireAt === undefined ? 'GTC' : 'GTD';
}

export function waitsForTrigger(type: OrderType): boolean {
  return type !== 'market' && type !== 'limit';
}

/** Do the fields of the order make sense together? Says nothing of the market. */
export function fieldsVerdict(order: QuoteRequest, nowMs: number): Verdict {
  const rules = RULES[order.type];
  for (const field of AMOUNTS) {
    const text = order[field];
    if (text !== undefined && (tryFixed(text) ?? 0n) <= 0n)
      return refused('invalid_amount', `${field} is a positive decimal with at most 18 places`);
  }
  const missing = rules.needs.filter((field) => order[field] === undefined);
  if (missing.length > 0) return invalid(`a ${order.type} order needs ${missing.join(' and ')}`);
  const allowed = [...ALWAYS, ...rules.needs, ...rules.allows];
  const extra = FIELDS.filter((field) => isGiven(order, field) && !allowed.includes(field));
  if (extra.length > 0) return invalid(`a ${order.type} order takes no ${extra.join(' and no ')}`);
  const timeInForce = timeInForceOf(order);
  if (!rules.timesInForce.includes(timeInForce))
    return invalid(`a ${order.type} order is ${rules.timesInForce.join(' or ')}, not ${timeInForce}`);
  if (order.postOnly === true && !RESTING.includes(timeInForce))
    return invalid(`postOnly rests in the book; ${timeInForce} never does`);
  return order.type === 'market' ? marketVerdict(order) : expiryVerdict(order, timeInForce, nowMs);
}

/** `postOnly: false` says what is so anyway. */
function isGiven(order: QuoteRequest, field: Field): boolean {
  return order[field] !== undefined && order[field] !== false;
}

function marketVerdict(order: QuoteRequest): Verdict {
  if ((order.quantity === undefined) === (order.quoteQuantity === undefined))
    return invalid('a market order has either quantity or quoteQuantity');
  if (order.quoteQuantity !== undefined && order.side === 'sell')
    return invalid('quoteQuantity is for buying; a sale says its quantity');
  if (order.quoteQuantity !== undefined && timeInForceOf(order) === 'FOK')
    return invalid('an order by quoteQuantity is IOC');
  return SOUND;
}

function expiryVerdict(order: QuoteRequest, timeInForce: string, nowMs: number): Verdict {
  if ((timeInForce === 'GTD') !== (order.expireAt !== undefined)) return invalid('GTD and expireAt go together');
  return order.expireAt === undefined ? SOUND : expireAtVerdict(order.expireAt, nowMs);
}

export function expireAtVerdict(expireAt: number, nowMs: number): Verdict {
  if (expireAt <= nowMs) return invalid('expireAt is in the past');
  if (expireAt > nowMs + EXPIRY_LIMIT_MS) return invalid('expireAt is more than a year away');
  return SOUND;
}

export function invalid(message: string): Verdict {
  return refused('invalid_order', message);
}
