import type { GroundFill } from './trading-ground.ts';

/** Quantities and amounts are counted in this fraction of a whole unit. */
const PLACES = 18;
const ONE = 10n ** BigInt(PLACES);

export type ModelPosition = { quantity: bigint; cost: bigint; realized: bigint; fees: bigint };

/** Average cost by whole numbers: what the database does with decimals, written a second time. */
export function modelPosition(fills: readonly GroundFill[], scales: Readonly<Record<string, number>>): ModelPosition {
  const position: ModelPosition = { quantity: 0n, cost: 0n, realized: 0n, fees: 0n };
  for (const fill of fills) {
    const widen = (units: bigint, asset: string) => units * 10n ** BigInt(PLACES - scales[asset]!);
    const quote = widen(fill.quoteUnits, fill.quote);
    const flat = widen(fill.flatFeeUnits, fill.quote);
    const quantity = decimalUnits(fill.quantity);
    if (fill.side === 'buy') {
      const fee = widen(fill.feeUnits, fill.base);
      position.quantity += quantity - fee > 0n ? quantity - fee : 0n;
      if (position.quantity > 0n) position.cost += quote + flat;
      else position.realized -= quote + flat;
      // Half a unit and more counts as one.
      position.fees += (2n * fee * decimalUnits(fill.price) + ONE) / (2n * ONE) + flat;
      continue;
    }
    const fee = widen(fill.feeUnits, fill.quote);
    position.fees += fee;
    if (position.quantity === 0n) continue;
    const closed = quantity < position.quantity ? quantity : position.quantity;
    const cost = (position.cost * closed) / position.quantity;
    position.realized += ((quote - fee) * closed) / quantity - cost;
    position.quantity -= closed;
    position.cost -= cost;
  }
  return position;
}

/** A decimal text with at most 18 places. */
export function decimalUnits(text: string): bigint {
  const [, sign, whole, fraction = ''] = /^(-?)([0-9]+)(?:\.([0-9]{1,18}))?$/.exec(text)!;
  const units = BigInt(whole! + fraction.padEnd(PLACES, '0'));
  return sign === '-' ? -units : units;
}
