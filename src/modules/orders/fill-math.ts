import { divide, larger, ONE, smaller } from './fixed.ts';
import type { Fixed } from './fixed.ts';

/** Fractions, and the flat part in whole units of the quote asset; 1e-18. */
export type Rates = Readonly<{ maker: bigint; makerScale: number; taker: bigint; takerScale: number; flat: Fixed }>;

/** What an order's fills have come to. `exactQuote` is the sum of price x quantity in 1e-36, unrounded. */
export type Tally = Readonly<{
  side: 'buy' | 'sell';
  filled: Fixed;
  exactQuote: bigint;
  /** Paid by a buyer or received by a seller, before fees. */
  quoteUnits: bigint;
  feeBase: bigint;
  feeQuote: bigint;
  flatDue: bigint;
}>;
export type FillAmounts = Readonly<{ quote: bigint; fee: bigint; flatFee: bigint }>;

export function emptyTally(side: 'buy' | 'sell', rates: Rates): Tally {
  return { side, filled: 0n, exactQuote: 0n, quoteUnits: 0n, feeBase: 0n, feeQuote: 0n, flatDue: rates.flat };
}

/**
 * What `orders.decide_fill` of migration 0009 books, to the unit. Rounding is cumulative: a buyer has paid the exact sum rounded
 * up and a seller received it rounded down, however the order was cut into fills.
 */
export function applyFill(
  tally: Tally,
  fill: Readonly<{ price: Fixed; quantity: Fixed; liquidity: 'maker' | 'taker' }>,
  rates: Rates,
): Readonly<{ tally: Tally; amounts: FillAmounts }> {
  const exactQuote = tally.exactQuote + fill.price * fill.quantity;
  const quoteUnits = divide(exactQuote, ONE, tally.side === 'buy' ? 'up' : 'down');
  const quote = quoteUnits - tally.quoteUnits;
  const base = { ...tally, filled: tally.filled + fill.quantity, exactQuote, quoteUnits };
  if (tally.side === 'buy') {
    const fee = shareOf(fill.quantity, fill.liquidity, rates);
    const amounts = { quote, fee, flatFee: tally.flatDue };
    const feeQuote = tally.feeQuote + tally.flatDue;
    return { tally: { ...base, feeBase: tally.feeBase + fee, feeQuote, flatDue: 0n }, amounts };
  }
  const share = shareOf(quote, fill.liquidity, rates);
  const flat = smaller(tally.flatDue, quote - share);
  const fee = share + flat;
  const after = { ...base, feeQuote: tally.feeQuote + fee, flatDue: tally.flatDue - flat };
  return { tally: after, amounts: { quote, fee, flatFee: 0n } };
}

function shareOf(gross: bigint, liquidity: 'maker' | 'taker', rates: Rates): bigint {
  const [rate, scale] = liquidity === 'maker' ? [rates.maker, rates.makerScale] : [rates.taker, rates.takerScale];
  return smaller(gross, divide(gross * rate, 10n ** BigInt(scale), 'up'));
}

export type PricedOrder = Readonly<{
  side: 'buy' | 'sell';
  quantity: Fixed | null;
  quoteQuantity: Fixed | null;
  /** The worst price that a fill may have; not needed to sell. */
  limit: Fixed | null;
}>;

/** What placing an order holds, in smallest units of what it pays with; `orders.need` for an order without fills. */
export function holdUnits(order: PricedOrder, flat: Fixed): bigint {
  if (order.side === 'sell') return order.quantity ?? 0n;
  if (order.quoteQuantity !== null) return order.quoteQuantity;
  return divide((order.quantity ?? 0n) * (order.limit ?? 0n), ONE, 'up') + flat;
}

/** What a market buy by quoteQuantity may still spend on the trade itself: the flat fee comes out of the same money. */
export function budgetLeft(quoteQuantity: Fixed, flat: Fixed, filledQuote: Fixed): Fixed {
  return larger(0n, quoteQuantity - flat - filledQuote);
}
