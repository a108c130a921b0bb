import { assert } from '../../kernel/assert.ts';
import type { Random } from '../../kernel/random.ts';
import type { MarketProfile } from './calibration.ts';
import type { MarketScale } from './market-scale.ts';
import type { Fill, LimitOrder, MatchingEngine, OrderSide } from './matching-engine.ts';
import type { FairPrice } from './price-process.ts';

/** What all agents of one market share. */
export type Market = Readonly<{
  engine: MatchingEngine<number>;
  profile: MarketProfile;
  scale: MarketScale;
  leastLots: number;
  fairPrice: FairPrice;
  random: Random;
  nextOrderId(): number;
  onFill(fill: Fill<number>): void;
}>;

/** Something that acts at times of its own choice. Times are simulated milliseconds with a fraction. */
export interface Agent {
  /** When it wants to act next; Infinity: never. */
  readonly nextMs: number;
  act(nowMs: number): void;
}

export const SIDES = ['buy', 'sell'] as const;

/** Lots worth `notional` of the quote asset at a price, at least one order's minimum. */
export function lotsWorth(market: Market, notional: number, tick: number): number {
  const { tickSize, lotSize } = market.scale;
  return Math.max(market.leastLots, Math.round(notional / (tick * tickSize) / lotSize));
}

/** Rests an order that must not match: an agent that provides liquidity computed its price from the book it sees. */
export function rest(market: Market, side: OrderSide, tick: number, lots: number): void {
  const order: LimitOrder<number> = { id: market.nextOrderId(), side, tick, lots, postOnly: true };
  const placed = market.engine.placeLimit(order);
  assert(placed.ok, `simulation: a resting order was refused at tick ${tick}`);
}

/** Takes out every order at a price. */
export function clearLevel(market: Market, side: OrderSide, tick: number): void {
  thinLevel(market, side, tick, 0);
}

/** Cancels the newest orders at a price until `leftOrders` are left. */
export function thinLevel(market: Market, side: OrderSide, tick: number, leftOrders: number): void {
  while (market.engine.ordersAt(side, tick) > leftOrders) {
    market.engine.cancel(market.engine.newestAt(side, tick)!);
  }
}

/** A tick that is `distance` ticks worse than `best` for the side's owner. */
export function ticksBehind(side: OrderSide, best: number, distance: number): number {
  return side === 'buy' ? best - distance : best + distance;
}
