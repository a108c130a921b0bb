import { canonicalFromNumber, decimalsOfTick } from '../kernel/decimal-text.ts';
import type { Market } from '../protocol/market.ts';
import type { CcxtExchange, CcxtMarket } from './ccxt-surface.ts';

/** ccxt's `precisionMode`: what the numbers in `market.precision` count. */
const DECIMAL_PLACES = 2;
const SIGNIFICANT_DIGITS = 3;
const TICK_SIZE = 4;
/** For markets whose rules do not say; texts finer than this keep their digits anyway. */
const UNKNOWN_DECIMALS = 8;
/** A tick finer than this is a misread one. */
const DECIMALS_LIMIT = 30;

export function marketList(venue: string, exchange: Pick<CcxtExchange, 'markets' | 'precisionMode'>): Market[] {
  return Object.values(exchange.markets ?? {}).map((market) => marketFrom(venue, market, exchange.precisionMode));
}

export function marketFrom(venue: string, market: CcxtMarket, precisionMode: number): Market {
  const price = stepOf(market.precision.price, precisionMode);
  const size = stepOf(market.precision.amount, precisionMode);
  return {
    venue,
    symbol: market.symbol,
    exchangeSymbol: market.id,
    base: market.base,
    quote: market.quote,
    type: market.type,
    // Absent means that the exchange does not say, and then it trades.
    active: market.active !== false,
    priceDecimals: price.decimals,
    sizeDecimals: size.decimals,
    tickSize: price.step,
    lotSize: size.step,
    minSize: positive(market.limits.amount?.min),
    minNotional: positive(market.limits.cost?.min),
  };
}

function stepOf(precision: number | undefined, mode: number): { decimals: number; step: string | null } {
  const unknown = { decimals: UNKNOWN_DECIMALS, step: null };
  if (precision === undefined || !Number.isFinite(precision)) return unknown;
  if (mode === TICK_SIZE) {
    if (precision <= 0) return unknown;
    const decimals = decimalsOfTick(precision);
    return decimals > DECIMALS_LIMIT ? unknown : { decimals, step: canonicalFromNumber(precision, decimals) };
  }
  // Significant digits are no fixed number of decimals.
  if (mode === SIGNIFICANT_DIGITS || mode !== DECIMAL_PLACES) return unknown;
  if (!Number.isInteger(precision) || precision > DECIMALS_LIMIT) return unknown;
  const decimals = Math.max(0, precision);
  return { decimals, step: canonicalFromNumber(Number(`1e${-precision}`), decimals) };
}

function positive(value: number | undefined): string | null {
  return value !== undefined && Number.isFinite(value) && value > 0
    ? canonicalFromNumber(value, decimalsOfTick(value))
    : null;
}
