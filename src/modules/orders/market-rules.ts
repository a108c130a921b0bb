import { refused } from '../../kernel/outcome.ts';
import type { Market } from '../../protocol/market.ts';
import type { QuoteRequest } from '../../protocol/trading.ts';
import { SOUND } from './field-rules.ts';
import type { Verdict } from './field-rules.ts';
import { coarse, divide, fixed, larger, ONE, plain, times, toStep } from './fixed.ts';
import type { Fixed } from './fixed.ts';
import { lotOf, tickOf } from './pricing.ts';

/** Smallest units below which the ledger keeps an amount, as `Fixed`: 10^36 units of 1e-18. */
export const AMOUNT_LIMIT: Fixed = 10n ** 36n;
/** A price further from the market than this is a slip of the finger: at most five times it, at least a fifth of it. */
const BAND_FACTOR = 5n;
/** What the ledger can name an asset. */
const ASSET_CODE = /^[A-Z0-9][A-Z0-9._-]{0,31}$/;

export function openVerdict(market: Market): Verdict {
  if (market.type !== 'spot') return refused('market_closed', 'only spot markets are traded here');
  if (!market.active) return refused('market_closed', `${market.venue} has closed ${market.symbol}`);
  if (!ASSET_CODE.test(market.base) || !ASSET_CODE.test(market.quote))
    return refused('market_closed', 'the assets of this market have names that the ledger cannot keep');
  return SOUND;
}

/** Tick, lot, size and worth by the exchange's own metadata. `reference`: the market's price, null when nobody knows it. */
export function marketVerdict(
  order: Pick<QuoteRequest, 'side' | 'type' | 'quantity' | 'quoteQuantity' | 'price' | 'stopPrice' | 'activationPrice'>,
  market: Market,
  reference: Fixed | null,
): Verdict {
  const prices = [order.price, order.stopPrice, order.activationPrice].flatMap((text) => (text ? [fixed(text)] : []));
  const worth = order.price ?? order.stopPrice ?? order.activationPrice;
  const verdicts = [
    ...prices.map((price) => tickVerdict(price, market)),
    order.quantity === undefined ? SOUND : quantityVerdict(fixed(order.quantity), market),
    notionalVerdict(order, worth === undefined ? reference : fixed(worth), market),
    ...prices.map((price) => bandVerdict(price, reference)),
  ];
  return verdicts.find((verdict) => !verdict.ok) ?? SOUND;
}

function tickVerdict(price: Fixed, market: Market): Verdict {
  const tick = tickOf(market);
  if (tick === null || price % tick === 0n) return SOUND;
  const [below, above] = [toStep(price, tick, 'down'), toStep(price, tick, 'up')];
  const nearest = below === 0n ? plain(above) : `${plain(below)} or ${plain(above)}`;
  return refused('price_off_tick', `prices are multiples of ${plain(tick)}; the nearest: ${nearest}`);
}

function quantityVerdict(quantity: Fixed, market: Market): Verdict {
  const lot = lotOf(market);
  if (quantity % lot !== 0n) {
    const [below, above] = [toStep(quantity, lot, 'down'), toStep(quantity, lot, 'up')];
    const nearest = below === 0n ? plain(above) : `${plain(below)} or ${plain(above)}`;
    return refused('quantity_off_lot', `quantities are multiples of ${plain(lot)}; the nearest: ${nearest}`);
  }
  const least = market.minSize === null ? 0n : toStep(coarse(market.minSize), lot, 'up');
  if (quantity < least) return refused('below_minimum', `the smallest order is ${plain(least)} ${market.base}`);
  if (quantity >= AMOUNT_LIMIT) return refused('above_maximum', 'quantities this large cannot be kept');
  return SOUND;
}

function notionalVerdict(
  order: Pick<QuoteRequest, 'quantity' | 'quoteQuantity'>,
  price: Fixed | null,
  market: Market,
): Verdict {
  const least = market.minNotional === null ? 0n : coarse(market.minNotional);
  if (order.quoteQuantity !== undefined) {
    const spent = fixed(order.quoteQuantity);
    if (spent >= AMOUNT_LIMIT) return refused('above_maximum', 'amounts this large cannot be kept');
    return spent < least
      ? refused('below_minimum', `the smallest order is worth ${plain(least)} ${market.quote}`)
      : SOUND;
  }
  if (order.quantity === undefined || price === null || price === 0n) return SOUND;
  const worth = times(fixed(order.quantity), price, 'down');
  if (worth >= AMOUNT_LIMIT) return refused('above_maximum', 'the order is worth more than can be kept');
  if (worth >= least) return SOUND;
  const lot = lotOf(market);
  const smallest = larger(
    toStep(divide(least * ONE, price, 'up'), lot, 'up'),
    market.minSize === null ? 0n : toStep(coarse(market.minSize), lot, 'up'),
  );
  return refused(
    'below_minimum',
    `the smallest order is worth ${plain(least)} ${market.quote}: at this price ${plain(smallest)} ${market.base}`,
  );
}

function bandVerdict(price: Fixed, reference: Fixed | null): Verdict {
  if (reference === null) return SOUND;
  if (price <= reference * BAND_FACTOR && price * BAND_FACTOR >= reference) return SOUND;
  const [low, high] = [divide(reference, BAND_FACTOR, 'up'), reference * BAND_FACTOR];
  return refused(
    'price_out_of_band',
    `the market is at ${plain(reference)}; prices from ${plain(low)} to ${plain(high)}`,
  );
}
