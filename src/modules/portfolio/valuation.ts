import { Decimal } from 'decimal.js';
import type { BalanceText, Portfolio, Position, ValuedPosition } from '../../protocol/trading.ts';
import type { PriceSource } from './portfolio.ts';

/** What everything on paper is counted in; an asset of the ledger. */
export const PAPER_CURRENCY = 'PAPER:USDT';
const PREFIX = 'PAPER:';
/** Over one of these an asset is valued that has no market in the currency itself; markets' own codes, tried in this order. */
const BRIDGES = ['USDT', 'USD', 'USDC', 'BTC', 'EUR'] as const;
const AMOUNT_PLACES = 18;
// Own constructor: the global default of 20 digits would round amounts of 18 places away.
const Exact = Decimal.clone({ precision: 60, rounding: Decimal.ROUND_HALF_EVEN, toExpNeg: -60, toExpPos: 60 });
type Exact = InstanceType<typeof Exact>;

export type Holdings = Readonly<{ balances: readonly BalanceText[]; positions: readonly Position[] }>;

/** The code that exchanges use for an asset of the ledger. */
export function marketCode(asset: string): string {
  return asset.startsWith(PREFIX) ? asset.slice(PREFIX.length) : asset;
}

/** Values one asset in another with live prices alone: directly, by the reverse market, or over one bridge. Null: it cannot be. */
export function rateOf(asset: string, currency: string, prices: PriceSource): Decimal | null {
  const [from, to] = [marketCode(asset), marketCode(currency)];
  const direct = directRate(from, to, prices);
  if (direct !== null) return direct;
  for (const bridge of BRIDGES) {
    if (bridge === from || bridge === to) continue;
    const first = directRate(from, bridge, prices);
    const second = first && directRate(bridge, to, prices);
    if (second) return first.times(second);
  }
  return null;
}

function directRate(from: string, to: string, prices: PriceSource): Exact | null {
  if (from === to) return new Exact(1);
  const price = prices(from, to);
  if (price !== null) return new Exact(price.price);
  const reverse = prices(to, from);
  return reverse === null || new Exact(reverse.price).isZero() ? null : new Exact(1).dividedBy(reverse.price);
}

/** Everything at live prices; what has none is listed in `unvalued` and never guessed. */
export function valuePortfolio(holdings: Holdings, prices: PriceSource, nowMs: number): Portfolio {
  const currency = PAPER_CURRENCY;
  const held = holdings.balances.map(({ asset, total: amount }) => ({ asset, amount }));
  const { total: equity, unvalued } = sumIn(currency, held, prices);
  const positions = holdings.positions.map((position) => valuePosition(position, prices)).toSorted(byMarket);
  let realized = new Exact(0);
  let unrealized: Exact | null = new Exact(0);
  const strangeQuotes = new Set<string>();
  for (const { quote, realizedPnl, unrealizedPnl } of positions) {
    const wanted = realizedPnl !== '0' || unrealizedPnl !== '0';
    const rate = wanted ? rateOf(quote, currency, prices) : new Exact(0);
    if (rate === null) strangeQuotes.add(quote);
    else realized = realized.plus(rate.times(realizedPnl));
    unrealized = unrealized && rate && unrealizedPnl !== null ? unrealized.plus(rate.times(unrealizedPnl)) : null;
  }
  return {
    account: 'paper',
    currency,
    equity: unvalued.length === 0 ? equity : null,
    unvalued: [...new Set([...unvalued, ...strangeQuotes])],
    realizedPnl: decimalText(realized),
    unrealizedPnl: unrealized && decimalText(unrealized),
    positions,
    balances: holdings.balances.toSorted((one, other) => compare(one.asset, other.asset)),
    at: nowMs,
  };
}

function byMarket(one: Position, other: Position): number {
  return compare(one.base, other.base) || compare(one.quote, other.quote);
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

/** In the position's own quote asset, at the price of its own market. */
function valuePosition(position: Position, prices: PriceSource): ValuedPosition {
  if (position.quantity === '0') {
    return { ...position, price: null, priceAgeMs: null, venue: null, value: '0', unrealizedPnl: '0' };
  }
  const found = prices(marketCode(position.base), marketCode(position.quote));
  if (found === null) {
    return { ...position, price: null, priceAgeMs: null, venue: null, value: null, unrealizedPnl: null };
  }
  const value = new Exact(position.quantity).times(found.price);
  return {
    ...position,
    price: found.price,
    priceAgeMs: found.ageMs,
    venue: found.venue,
    value: decimalText(value),
    unrealizedPnl: decimalText(value.minus(position.cost)),
  };
}

/** The sum of amounts in several assets; those without a rate are left out and named. */
export function sumIn(
  currency: string,
  amounts: readonly Readonly<{ asset: string; amount: string }>[],
  prices: PriceSource,
): Readonly<{ total: string; unvalued: readonly string[] }> {
  let total = new Exact(0);
  const unvalued = new Set<string>();
  for (const { asset, amount } of amounts) {
    if (new Exact(amount).isZero()) continue;
    const rate = rateOf(asset, currency, prices);
    if (rate === null) unvalued.add(asset);
    else total = total.plus(rate.times(amount));
  }
  return { total: decimalText(total), unvalued: [...unvalued] };
}

export function quotientText(dividend: string, divisor: number, places = AMOUNT_PLACES): string | null {
  return divisor === 0 ? null : new Exact(dividend).dividedBy(divisor).toDecimalPlaces(places).toFixed();
}

/** Plain notation with as many places as the finest asset has. */
export function decimalText(value: Decimal): string {
  const text = value.toDecimalPlaces(AMOUNT_PLACES).toFixed();
  return text === '-0' ? '0' : text;
}
