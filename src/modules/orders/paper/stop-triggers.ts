import { exactlyOrNull, textOf } from './fixed-point.ts';
import type { PaperOrder } from './paper-order.ts';
import { followPrice, trailingStop } from './trailing.ts';
import type { TrailSetup } from './trailing.ts';

/** Takes a price in, and answers whether it sets the order off. A trailing stop moves first: its own extreme never meets it. */
export function isTriggerMet(order: PaperOrder, price: bigint, tick: bigint): boolean {
  const { type, side } = order.truth;
  if (type === 'trailing_stop') {
    const setup = trailSetup(order, tick);
    if (followPrice(order.trail, setup, price)) {
      order.trailMoved = true;
      return false;
    }
    const stop = trailingStop(order.trail, setup);
    return stop !== null && (side === 'sell' ? price <= stop : price >= stop);
  }
  const { stop } = order;
  if (stop === null) return false;
  const takesProfit = type === 'take_profit' || type === 'take_profit_limit';
  return (side === 'buy') === takesProfit ? price <= stop : price >= stop;
}

/** Where a trailing stop stands, as text; null for others and for one that does not follow yet. */
export function trailingStopText(order: PaperOrder, tick: bigint): string | null {
  if (order.truth.type !== 'trailing_stop') return null;
  const stop = trailingStop(order.trail, trailSetup(order, tick));
  return stop === null || stop <= 0n ? null : textOf(stop);
}

function trailSetup(order: PaperOrder, tick: bigint): TrailSetup {
  const { side, trailingDelta, activationPrice } = order.truth;
  return { side, deltaBips: trailingDelta ?? 0, activation: exactlyOrNull(activationPrice), tick };
}
