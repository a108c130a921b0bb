import { assert } from '../../kernel/assert.ts';
import { accepted, refused, type Outcome } from '../../kernel/outcome.ts';
import { PriceLadder } from './price-ladder.ts';

/** Resting orders one engine holds unless told otherwise; beyond it an order that would rest is refused (`book_full`). */
export const DEFAULT_RESTING_LIMIT_ORDERS = 100_000;

export type OrderSide = 'buy' | 'sell';
export type OrderId = string | number;
/** Good till cancelled; immediate or cancel (rest never rests); fill or kill (all at once or nothing). */
export type TimeInForce = 'gtc' | 'ioc' | 'fok';

/** `tick` is the price and `lots` the quantity, both as whole numbers of the market's tick and lot size. */
export type LimitOrder<Id extends OrderId> = Readonly<{
  id: Id;
  side: OrderSide;
  tick: number;
  lots: number;
  /** Default `gtc`. */
  timeInForce?: TimeInForce;
  /** Refused (`would_match`) instead of taking from the book. */
  postOnly?: boolean;
}>;
export type MarketOrder<Id extends OrderId> = Readonly<{ id: Id; side: OrderSide; lots: number }>;

/** One match, at the maker's price. */
export type Fill<Id extends OrderId> = Readonly<{
  makerId: Id;
  takerId: Id;
  takerSide: OrderSide;
  tick: number;
  lots: number;
  makerLotsLeft: number;
}>;
/** What became of an order: ordered lots = filled + resting + cancelled. Fills are in the order they happened. */
export type Placement<Id extends OrderId> = Readonly<{
  fills: readonly Fill<Id>[];
  filledLots: number;
  restingLots: number;
  cancelledLots: number;
}>;
export type PlacementRefusal = 'invalid_order' | 'duplicate_order' | 'would_match' | 'not_fillable' | 'book_full';
export type RestingOrder<Id extends OrderId> = Readonly<{ id: Id; side: OrderSide; tick: number; lots: number }>;
export type DepthLevel = Readonly<{ tick: number; lots: number; orders: number }>;

type OrderNode<Id extends OrderId> = {
  readonly id: Id;
  readonly side: OrderSide;
  lots: number;
  level: PriceLevel<Id>;
  older: OrderNode<Id> | null;
  newer: OrderNode<Id> | null;
};
/** All orders at one price, oldest first. */
type PriceLevel<Id extends OrderId> = {
  readonly tick: number;
  lots: number;
  orders: number;
  oldest: OrderNode<Id> | null;
  newest: OrderNode<Id> | null;
};
export type EngineOptions = Readonly<{
  restingLimitOrders?: number;
  /** Called after every change of the total at one price, with the total before it (0: the level is new). */
  onLevelChange?: (side: OrderSide, tick: number, lotsBefore: number) => void;
}>;

const NO_FILLS: readonly never[] = [];

/**
 * Price-time priority matching for one market. A better price matches first, at one price the older order does; a trade is at
 * the resting order's price; the book is never crossed between two calls. Integers only: no rounding happens here.
 */
export class MatchingEngine<Id extends OrderId> {
  readonly #bids = new PriceLadder<PriceLevel<Id>>('bids');
  readonly #asks = new PriceLadder<PriceLevel<Id>>('asks');
  readonly #orders = new Map<Id, OrderNode<Id>>();
  readonly #restingLimitOrders: number;
  readonly #onLevelChange: NonNullable<EngineOptions['onLevelChange']>;

  constructor(options: EngineOptions = {}) {
    this.#restingLimitOrders = options.restingLimitOrders ?? DEFAULT_RESTING_LIMIT_ORDERS;
    this.#onLevelChange = options.onLevelChange ?? (() => {});
  }

  get restingOrders(): number {
    return this.#orders.size;
  }

  placeLimit(order: LimitOrder<Id>): Outcome<Placement<Id>, PlacementRefusal> {
    const { id, side, tick, lots, timeInForce = 'gtc', postOnly = false } = order;
    if (!isPositiveInteger(tick) || !isPositiveInteger(lots)) {
      return refused('invalid_order', 'tick and lots must be positive safe integers');
    }
    if (postOnly && timeInForce !== 'gtc') return refused('invalid_order', 'a post-only order must be allowed to rest');
    if (this.#orders.has(id)) return refused('duplicate_order', `an order with id ${String(id)} is resting`);
    const matches = this.#crosses(side, tick);
    if (postOnly && matches) return refused('would_match', 'a post-only order would have matched');
    if (timeInForce === 'fok' && !this.#canFill(side, tick, lots)) {
      return refused('not_fillable', 'not enough at this price or better');
    }
    // Whether it would rest at all is only known after matching; a full book refuses early rather than rest half an order.
    if (timeInForce === 'gtc' && this.#orders.size >= this.#restingLimitOrders && !this.#canFill(side, tick, lots)) {
      return refused('book_full', `${this.#restingLimitOrders} orders are resting`);
    }
    // Nothing may be refused below this line: the book changes.
    const fills = matches ? this.#match(id, side, lots, tick) : NO_FILLS;
    const filledLots = sumLots(fills);
    const leftLots = lots - filledLots;
    if (leftLots > 0 && timeInForce === 'gtc') {
      this.#rest(id, side, tick, leftLots);
      return accepted({ fills, filledLots, restingLots: leftLots, cancelledLots: 0 });
    }
    return accepted({ fills, filledLots, restingLots: 0, cancelledLots: leftLots });
  }

  /** Takes whatever is there, best first; what the book cannot fill is cancelled. */
  placeMarket(order: MarketOrder<Id>): Outcome<Placement<Id>, PlacementRefusal> {
    const { id, side, lots } = order;
    if (!isPositiveInteger(lots)) return refused('invalid_order', 'lots must be a positive safe integer');
    if (this.#orders.has(id)) return refused('duplicate_order', `an order with id ${String(id)} is resting`);
    const fills = this.#match(id, side, lots, null);
    const filledLots = sumLots(fills);
    return accepted({ fills, filledLots, restingLots: 0, cancelledLots: lots - filledLots });
  }

  /** The lots that were still resting; undefined when there is no such order (any more). */
  cancel(id: Id): number | undefined {
    const node = this.#orders.get(id);
    if (node === undefined) return undefined;
    const { level, side, lots } = node;
    const lotsBefore = level.lots;
    level.lots -= lots;
    this.#unlink(node);
    this.#onLevelChange(side, level.tick, lotsBefore);
    return lots;
  }

  order(id: Id): RestingOrder<Id> | undefined {
    const node = this.#orders.get(id);
    return node && { id, side: node.side, tick: node.level.tick, lots: node.lots };
  }

  /** The best resting price of a side; undefined when it is empty. */
  bestTick(side: OrderSide): number | undefined {
    return this.#ladder(side).bestTick();
  }

  /** Total resting at one price; 0 when nothing rests there. */
  lotsAt(side: OrderSide, tick: number): number {
    return this.#ladder(side).get(tick)?.lots ?? 0;
  }

  /** The price of the `index`-th level, 0 being the best. */
  tickAt(side: OrderSide, index: number): number | undefined {
    return this.#ladder(side).tickAt(index);
  }

  levels(side: OrderSide): number {
    return this.#ladder(side).size;
  }

  /** How many levels of a side have a better price than `tick`. */
  levelsBetterThan(side: OrderSide, tick: number): number {
    return this.#ladder(side).countBetter(tick);
  }

  ordersAt(side: OrderSide, tick: number): number {
    return this.#ladder(side).get(tick)?.orders ?? 0;
  }

  /** The order that matches first at a price; undefined when nothing rests there. */
  oldestAt(side: OrderSide, tick: number): Id | undefined {
    return this.#ladder(side).get(tick)?.oldest?.id;
  }

  newestAt(side: OrderSide, tick: number): Id | undefined {
    return this.#ladder(side).get(tick)?.newest?.id;
  }

  /** Best first, at most `limitLevels`. */
  depth(side: OrderSide, limitLevels: number): DepthLevel[] {
    const depth: DepthLevel[] = [];
    for (const [tick, { lots, orders }] of this.#ladder(side).entries()) {
      if (depth.length >= limitLevels) break;
      depth.push({ tick, lots, orders });
    }
    return depth;
  }

  /** The orders at one price, the one that matches first first. */
  queue(side: OrderSide, tick: number): RestingOrder<Id>[] {
    const orders: RestingOrder<Id>[] = [];
    let node = this.#ladder(side).get(tick)?.oldest ?? null;
    for (; node !== null; node = node.newer) orders.push({ id: node.id, side, tick, lots: node.lots });
    return orders;
  }

  #ladder(side: OrderSide): PriceLadder<PriceLevel<Id>> {
    return side === 'buy' ? this.#bids : this.#asks;
  }

  #crosses(side: OrderSide, tick: number): boolean {
    const best = this.bestTick(opposite(side));
    return best !== undefined && (side === 'buy' ? tick >= best : tick <= best);
  }

  #canFill(side: OrderSide, limitTick: number, lots: number): boolean {
    let missing = lots;
    for (const [tick, level] of this.#ladder(opposite(side)).entries()) {
      if (side === 'buy' ? tick > limitTick : tick < limitTick) return false;
      missing -= level.lots;
      if (missing <= 0) return true;
    }
    return false;
  }

  #match(takerId: Id, takerSide: OrderSide, lots: number, limitTick: number | null): Fill<Id>[] {
    const ladder = this.#ladder(opposite(takerSide));
    const fills: Fill<Id>[] = [];
    let missing = lots;
    while (missing > 0) {
      const level = ladder.best();
      if (level === undefined) break;
      if (limitTick !== null && (takerSide === 'buy' ? level.tick > limitTick : level.tick < limitTick)) break;
      const lotsBefore = level.lots;
      while (missing > 0 && level.oldest !== null) {
        const maker = level.oldest;
        const traded = Math.min(missing, maker.lots);
        missing -= traded;
        maker.lots -= traded;
        level.lots -= traded;
        fills.push({
          makerId: maker.id,
          takerId,
          takerSide,
          tick: level.tick,
          lots: traded,
          makerLotsLeft: maker.lots,
        });
        if (maker.lots === 0) this.#unlink(maker);
      }
      this.#onLevelChange(opposite(takerSide), level.tick, lotsBefore);
    }
    return fills;
  }

  #rest(id: Id, side: OrderSide, tick: number, lots: number): void {
    const ladder = this.#ladder(side);
    let level = ladder.get(tick);
    if (level === undefined) {
      level = { tick, lots: 0, orders: 0, oldest: null, newest: null };
      ladder.set(tick, level);
    }
    const lotsBefore = level.lots;
    level.lots += lots;
    assert(Number.isSafeInteger(level.lots), 'matching engine: a level holds more lots than an integer can count');
    level.orders += 1;
    const node: OrderNode<Id> = { id, side, lots, level, older: level.newest, newer: null };
    if (level.newest === null) level.oldest = node;
    else level.newest.newer = node;
    level.newest = node;
    this.#orders.set(id, node);
    this.#onLevelChange(side, tick, lotsBefore);
  }

  /** Takes a node out of its queue, and an empty level out of the ladder. The level's lots are the caller's to keep. */
  #unlink(node: OrderNode<Id>): void {
    const { level, older, newer } = node;
    if (older === null) level.oldest = newer;
    else older.newer = newer;
    if (newer === null) level.newest = older;
    else newer.older = older;
    level.orders -= 1;
    if (level.orders === 0) this.#ladder(node.side).delete(level.tick);
    this.#orders.delete(node.id);
  }
}

export function opposite(side: OrderSide): OrderSide {
  return side === 'buy' ? 'sell' : 'buy';
}

function isPositiveInteger(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

function sumLots(fills: readonly Fill<OrderId>[]): number {
  let lots = 0;
  for (const fill of fills) lots += fill.lots;
  return lots;
}
