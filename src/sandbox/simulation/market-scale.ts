import { decimalsOfTick } from '../../kernel/decimal-text.ts';

/** Decimals of a quote volume: sums over a day are told to this precision. */
const QUOTE_VOLUME_DECIMALS = 8;

/** Converts between whole ticks and lots and the decimal text that an exchange sends. */
export type MarketScale = Readonly<{
  tickSize: number;
  lotSize: number;
  priceText(tick: number): string;
  sizeText(lots: number): string;
  /** Text of a sum of tick x lots products. */
  quoteText(tickLots: number): string;
}>;

export function marketScale(market: Readonly<{ tickSize: string; lotSize: string }>): MarketScale {
  const tickSize = Number(market.tickSize);
  const lotSize = Number(market.lotSize);
  return {
    tickSize,
    lotSize,
    priceText: stepText(tickSize),
    sizeText: stepText(lotSize),
    quoteText: (tickLots) => (tickLots * tickSize * lotSize).toFixed(QUOTE_VOLUME_DECIMALS),
  };
}

/** A step of 0.05 counts as 5 units of 0.01: integer arithmetic up to the last moment, so that no float noise gets into a text. */
function stepText(step: number): (count: number) => string {
  const decimals = decimalsOfTick(step);
  const unitsPerStep = Math.round(step * 10 ** decimals);
  if (decimals === 0) return (count) => String(count * unitsPerStep);
  return (count) => {
    const digits = String(count * unitsPerStep).padStart(decimals + 1, '0');
    const point = digits.length - decimals;
    return `${digits.slice(0, point)}.${digits.slice(point)}`;
  };
}
