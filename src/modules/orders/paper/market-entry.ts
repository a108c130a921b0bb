import type { EndStatus, PaperSettings, Reason } from './core-events.ts';
import { exactlyOrNull } from './fixed-point.ts';
import type { MarketView } from './market-view.ts';
import type { PaperOrder } from './paper-order.ts';
import type { RestingSide } from './resting-side.ts';
import type { OwnResting } from './taker-walk.ts';
import { eatTakes, walkBook } from './taker-walk.ts';

type EntrySetup = Readonly<{ view: MarketView; opposite: RestingSide; settings: PaperSettings }>;
export type Entry = Readonly<{
  /** The order ends without having touched anything. */
  end: Readonly<{ status: EndStatus; reason: Reason }> | null;
  fills: readonly Readonly<{ price: bigint; quantity: bigint }>[];
  prevented: bigint;
  preventedOwn: readonly Readonly<{ order: PaperOrder; quantity: bigint }>[];
  expiredOwn: readonly PaperOrder[];
  takerExpires: boolean;
  /** Everything that was wanted is filled. */
  complete: boolean;
}>;

const NOTHING = { fills: [], prevented: 0n, preventedOwn: [], expiredOwn: [], takerExpires: false, complete: false };
const FOK_NOT_FILLED = { code: 'fok_not_filled', message: 'not everything was to be had at once at an allowed price' };
const POST_ONLY = { code: 'post_only_would_take', message: 'it would have taken instead of resting' };

/** An order meets the book: what it takes at once, which is then eaten for everybody. */
export function decideEntry(order: PaperOrder, setup: EntrySetup): Entry {
  const { side, postOnly, timeInForce, selfTradePrevention, status } = order.truth;
  const levels = side === 'buy' ? setup.view.asks : setup.view.bids;
  if (postOnly && order.limit !== null && levels.best && levels.compare(levels.best.price, order.limit) <= 0) {
    // What has been filled cannot be refused any more.
    return { ...NOTHING, end: { status: status === 'partially_filled' ? 'canceled' : 'rejected', reason: POST_ONLY } };
  }
  const own = ownResting(order, setup.opposite);
  const walk = walkBook({
    side: levels,
    limit: order.limit,
    wanted: order.remaining === null ? { budget: order.budget ?? 0n } : { quantity: order.remaining },
    lot: setup.settings.lot,
    own: [...own.values()].map(({ place, limit, remaining, id }) => ({
      orderId: id,
      price: limit!,
      ahead: place.ahead,
      remaining: remaining!,
    })) satisfies OwnResting[],
    mode: selfTradePrevention,
  });
  if (timeInForce === 'FOK' && !walk.complete) {
    return { ...NOTHING, end: { status: 'expired', reason: FOK_NOT_FILLED } };
  }
  eatTakes(walk);
  return {
    end: null,
    fills: walk.takes.map(({ level, quantity }) => ({ price: level.price, quantity })),
    prevented: walk.prevented,
    preventedOwn: walk.preventedOwn.map(({ orderId, quantity }) => ({ order: own.get(orderId)!, quantity })),
    expiredOwn: walk.expiredOwn.map((id) => own.get(id)!),
    takerExpires: walk.takerExpires,
    complete: walk.complete,
  };
}

/** The user's own orders that this one would meet, best price first. */
function ownResting(order: PaperOrder, opposite: RestingSide): Map<string, PaperOrder> {
  const found = new Map<string, PaperOrder>();
  if (order.truth.selfTradePrevention === 'none') return found;
  for (const price of opposite.prices) {
    if (order.limit !== null && !opposite.reaches(price, order.limit)) break;
    for (const each of opposite.at(price)) {
      if (each.userId === order.userId && (each.remaining ?? 0n) > 0n) found.set(each.id, each);
    }
  }
  return found;
}

/** At this price a resting order would take. */
export function wouldTake(order: PaperOrder, price: string, view: MarketView): boolean {
  const side = order.truth.side === 'buy' ? view.asks : view.bids;
  return side.best !== undefined && side.compare(side.best.price, exactlyOrNull(price)!) <= 0;
}
