import type { Order } from '../../protocol/trading.ts';
import { budgetLeft } from './fill-math.ts';
import { fixed, plain } from './fixed.ts';
import { isOrderId } from './ids.ts';

const ORDER_ID_CHARS = 36;

/**
 * The order that a hold of the ledger is for, by the hold's reason; null for holds of others. A reference is an order's id, and a
 * number after it once the hold had to grow. The legs of a list share one hold, which names one of them.
 */
export function holdOwner(reason: Readonly<{ purpose: string; reference: string }>): string | null {
  const id = reason.reference.slice(0, ORDER_ID_CHARS);
  return reason.purpose === 'order' && isOrderId(id) ? id : null;
}

/**
 * What a market buy by quoteQuantity may still spend on the trade itself; the flat fee comes out of the same money. Null for
 * orders that have a quantity.
 */
export function budgetOf(order: Pick<Order, 'quoteQuantity' | 'feeRates' | 'filledQuote'>): string | null {
  if (order.quoteQuantity === null) return null;
  // Rounded up to the unit that was paid.
  const [whole, fraction = ''] = order.filledQuote.split('.');
  const cut = fixed(fraction === '' ? whole! : `${whole}.${fraction.slice(0, 18)}`);
  const paid = fraction.length > 18 ? cut + 1n : cut;
  return plain(budgetLeft(fixed(order.quoteQuantity), fixed(order.feeRates.flat), paid));
}
