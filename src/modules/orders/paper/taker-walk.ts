import type { Order } from '../../../protocol/trading.ts';
import type { BookLevel, BookLevels } from './book-levels.ts';
import { availableAt } from './book-levels.ts';
import { UNIT, floorTo, least } from './fixed-point.ts';

/** What the taker still wants: a quantity, or as much as a budget in the quote asset buys. */
export type Wanted = Readonly<{ quantity: bigint } | { budget: bigint }>;
/** An order of the same user that rests on the side that is walked. */
export type OwnResting = Readonly<{ orderId: string; price: bigint; ahead: bigint | null; remaining: bigint }>;
export type SelfTradeMode = Order['selfTradePrevention'];

export type WalkSetup = Readonly<{
  side: BookLevels;
  /** No fill beyond it; null: as far as the book is visible. */
  limit: bigint | null;
  wanted: Wanted;
  lot: bigint;
  /** Best price first. */
  own: readonly OwnResting[];
  mode: SelfTradeMode;
}>;
export type Walk = Readonly<{
  takes: readonly Readonly<{ level: BookLevel; quantity: bigint }>[];
  filled: bigint;
  /** Everything that was wanted is there. */
  complete: boolean;
  /** Taken away from the taker, and from each resting order of the same user. */
  prevented: bigint;
  preventedOwn: readonly Readonly<{ orderId: string; quantity: bigint }>[];
  expiredOwn: readonly string[];
  takerExpires: boolean;
}>;

type Progress = {
  takes: { level: BookLevel; quantity: bigint }[];
  filled: bigint;
  prevented: bigint;
  preventedOwn: { orderId: string; quantity: bigint }[];
  expiredOwn: string[];
  takerExpires: boolean;
  /** Exact, in 1e-36: a budget ends on the same fill in a quote, here and in the database. */
  spent: bigint;
};

/** Looks only: nothing is eaten until `eatTakes`. */
export function walkBook(setup: WalkSetup): Walk {
  const { side, limit } = setup;
  const progress: Progress = {
    takes: [],
    filled: 0n,
    prevented: 0n,
    preventedOwn: [],
    expiredOwn: [],
    takerExpires: false,
    spent: 0n,
  };
  let nextOwn = 0;
  const within = (price: bigint) => limit === null || side.compare(price, limit) <= 0;
  /** Own orders that stand in the way before the book is reached at `price`. */
  const meetOwn = (reached: (own: OwnResting) => boolean) => {
    for (; nextOwn < setup.own.length; nextOwn++) {
      const own = setup.own[nextOwn]!;
      if (progress.takerExpires || wantsAt(setup, progress, own.price) === 0n) return;
      if (!within(own.price) || !reached(own)) return;
      preventSelfTrade(setup, progress, own);
    }
  };
  for (const level of side.all) {
    if (!within(level.price)) break;
    // At its own price an order that has others before it is met after them.
    meetOwn((own) => side.compare(own.price, level.price) < 0 || (own.price === level.price && own.ahead === 0n));
    if (progress.takerExpires) break;
    const quantity = least(availableAt(level), wantsAt(setup, progress, level.price));
    if (quantity > 0n) {
      progress.takes.push({ level, quantity });
      progress.filled += quantity;
      progress.spent += level.price * quantity;
    }
  }
  meetOwn(() => true);
  return { ...progress, complete: isComplete(setup, progress) };
}

export function eatTakes(walk: Walk): void {
  for (const { level, quantity } of walk.takes) level.eaten += quantity;
}

function wantsAt({ wanted, lot }: WalkSetup, progress: Progress, price: bigint): bigint {
  if ('quantity' in wanted) return wanted.quantity - progress.filled - progress.prevented;
  return floorTo((wanted.budget * UNIT - progress.spent) / price, lot);
}

function isComplete(setup: WalkSetup, progress: Progress): boolean {
  if ('quantity' in setup.wanted) return progress.filled === setup.wanted.quantity;
  const last = progress.takes.at(-1);
  return last !== undefined && wantsAt(setup, progress, last.level.price) === 0n;
}

function preventSelfTrade(setup: WalkSetup, progress: Progress, own: OwnResting): void {
  // Nothing can be taken away from a budget that is not known in the base asset.
  const mode = setup.mode === 'decrement' && 'budget' in setup.wanted ? 'expire_taker' : setup.mode;
  switch (mode) {
    case 'none':
      return;
    case 'expire_taker':
      progress.takerExpires = true;
      return;
    case 'expire_maker':
      progress.expiredOwn.push(own.orderId);
      return;
    case 'expire_both':
      progress.expiredOwn.push(own.orderId);
      progress.takerExpires = true;
      return;
    case 'decrement': {
      const quantity = least(wantsAt(setup, progress, own.price), own.remaining);
      progress.prevented += quantity;
      progress.preventedOwn.push({ orderId: own.orderId, quantity });
      return;
    }
    default:
      mode satisfies never;
  }
}
