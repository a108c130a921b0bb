import type { Market } from '../../protocol/market.ts';
import type { QuoteRequest } from '../../protocol/trading.ts';
import { opposite, referencePrice } from './books.ts';
import type { BookView, Level } from './books.ts';
import { coarse, divide, fixed, larger, ONE, smaller, toStep } from './fixed.ts';
import type { Fixed } from './fixed.ts';

/**
 * A market order's fills stay within this much beyond the worst price that its size touches in the book at the time: room for the
 * book to move while the order is on its way, and not for more. Bips of the price.
 */
export const MARKET_SLIPPAGE_BIPS = 100n;
/** The same for a stop that becomes a market order, beyond its trigger: nobody knows the book of that day. */
export const STOP_SLIPPAGE_BIPS = 500n;
const BIPS = 10_000n;
/** The database keeps prices below this. */
const PRICE_LIMIT: Fixed = 10n ** 20n * ONE;

export type Match = Readonly<{ price: Fixed; quantity: Fixed }>;
export type Walk = Readonly<{
  matches: readonly Match[];
  quantity: Fixed;
  worst: Fixed | null;
  /** Nothing is left to fill, or nothing that makes a lot. */
  complete: boolean;
}>;
export type Wish = Readonly<{
  side: 'buy' | 'sell';
  quantity: Fixed | null;
  /** Instead of a quantity: what may be spent. */
  budget: Fixed | null;
  limit: Fixed | null;
  lot: Fixed;
}>;

/** Takes from the best level on, as far as the order wants and its limit allows. */
export function walk(levels: readonly Level[], wish: Wish): Walk {
  const matches: Match[] = [];
  let [leftQuantity, leftBudget] = [wish.quantity ?? 0n, (wish.budget ?? 0n) * ONE];
  let complete = false;
  for (const { price, size } of levels) {
    if (wish.limit !== null && (wish.side === 'buy' ? price > wish.limit : price < wish.limit)) break;
    const affordable = wish.quantity !== null ? leftQuantity : toStep(leftBudget / price, wish.lot, 'down');
    const quantity = smaller(size, affordable);
    if (quantity > 0n) matches.push({ price, quantity });
    leftQuantity -= quantity;
    leftBudget -= quantity * price;
    complete = quantity === affordable;
    if (complete) break;
  }
  const quantity = matches.reduce((sum, match) => sum + match.quantity, 0n);
  return { matches, quantity, worst: matches.at(-1)?.price ?? null, complete: complete && quantity > 0n };
}

/** `bips` worse than `price` for this side, on the tick that is not further away than that. */
export function beyond(price: Fixed, side: 'buy' | 'sell', bips: bigint, tick: Fixed | null): Fixed {
  const factor = side === 'buy' ? BIPS + bips : BIPS - bips;
  const exact = divide(price * factor, BIPS, side === 'buy' ? 'down' : 'up');
  const onTick = tick === null ? exact : toStep(exact, tick, side === 'buy' ? 'down' : 'up');
  // A tick wider than the slippage must not make the protection better than the price itself.
  return side === 'buy' ? smaller(larger(onTick, price), PRICE_LIMIT - 1n) : smaller(onTick, price);
}

/** The worst price that a market order of this size needs from the book now; null when the book has nothing on that side. */
export function protectionFromBook(
  order: Readonly<{ side: 'buy' | 'sell'; quantity: Fixed | null; budget: Fixed | null }>,
  book: BookView,
  market: Market,
): Fixed | null {
  const wish = { ...order, limit: null, lot: lotOf(market) };
  const levels = opposite(book, order.side);
  const worst = walk(levels, wish).worst ?? levels[0]?.price;
  return worst === undefined ? null : beyond(worst, order.side, MARKET_SLIPPAGE_BIPS, tickOf(market));
}

/** Of a stop that becomes a market order; a trailing one can at worst stop where it starts from. */
export function protectionOfStop(order: QuoteRequest, book: BookView | null, market: Market): Fixed | null {
  const tick = tickOf(market);
  if (order.stopPrice !== undefined) return beyond(fixed(order.stopPrice), order.side, STOP_SLIPPAGE_BIPS, tick);
  const start = order.activationPrice === undefined ? book && referencePrice(book) : fixed(order.activationPrice);
  if (start === null || order.trailingDelta === undefined) return null;
  const farthest = beyond(start, order.side, BigInt(order.trailingDelta), null);
  return beyond(farthest, order.side, STOP_SLIPPAGE_BIPS, tick);
}

export function tickOf(market: Market): Fixed | null {
  return market.tickSize === null ? null : positive(coarse(market.tickSize));
}

/** Where the exchange says nothing: the smallest unit. */
export function lotOf(market: Market): Fixed {
  return market.lotSize === null ? 1n : (positive(coarse(market.lotSize)) ?? 1n);
}

function positive(value: Fixed): Fixed | null {
  return value > 0n ? value : null;
}
