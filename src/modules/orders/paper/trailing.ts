import { ceilTo, floorTo } from './fixed-point.ts';

const BIPS = 10_000n;

/** A trailing stop's memory. The extreme moves in the good direction only. */
export type Trail = { active: boolean; extreme: bigint | null };
export type TrailSetup = Readonly<{
  side: 'buy' | 'sell';
  deltaBips: number;
  activation: bigint | null;
  tick: bigint;
}>;

/** Takes a price in: true when the extreme moved. A price that activates the stop is also its first extreme. */
export function followPrice(trail: Trail, setup: TrailSetup, price: bigint): boolean {
  const sells = setup.side === 'sell';
  if (!trail.active) {
    const { activation } = setup;
    if (activation !== null && (sells ? price < activation : price > activation)) return false;
    trail.active = true;
  }
  if (trail.extreme !== null && (sells ? price <= trail.extreme : price >= trail.extreme)) return false;
  trail.extreme = price;
  return true;
}

/** Where it stands now, rounded to the tick away from the market; null before it follows. */
export function trailingStop(trail: Trail, setup: TrailSetup): bigint | null {
  if (!trail.active || trail.extreme === null) return null;
  const delta = BigInt(setup.deltaBips);
  if (setup.side === 'sell') return floorTo((trail.extreme * (BIPS - delta)) / BIPS, setup.tick);
  return ceilTo((trail.extreme * (BIPS + delta) + BIPS - 1n) / BIPS, setup.tick);
}
