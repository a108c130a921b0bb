import { accepted, refused } from '../../kernel/outcome.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { Market } from '../../protocol/market.ts';
import type { MarketDirectory } from '../market/index.ts';
import type { PlaceOrder, QuoteRequest } from '../../protocol/trading.ts';
import { isFresh, referencePrice } from './books.ts';
import type { BookSource, BookView } from './books.ts';
import { fieldsVerdict, timeInForceOf, waitsForTrigger } from './field-rules.ts';
import { fixed, plain, times } from './fixed.ts';
import type { Fixed } from './fixed.ts';
import { AMOUNT_LIMIT, marketVerdict, openVerdict } from './market-rules.ts';
import { lotOf, protectionFromBook, protectionOfStop } from './pricing.ts';

/** Columns of `orders.orders` that a placement says; the database adds the rest. Decimals as text. */
export type OrderColumns = Readonly<{
  id: string;
  client_order_id: string | null;
  list_id: string | null;
  role: string | null;
  account: 'paper';
  venue: string;
  symbol: string;
  base: string;
  quote: string;
  side: 'buy' | 'sell';
  type: QuoteRequest['type'];
  quantity: string | null;
  quote_quantity: string | null;
  price: string | null;
  stop_price: string | null;
  trigger: string | null;
  trailing_delta: number | null;
  activation_price: string | null;
  time_in_force: string;
  expire_at_ms: number | null;
  post_only: boolean;
  protection_price: string | null;
  protection_given: boolean;
  stp: string;
  lot_size: string;
  simulated: boolean;
  model_version: string | null;
}>;
export type Placement = Readonly<{ market: Market; columns: OrderColumns; assets: readonly [string, string] }>;
export type PlacementDeps = Readonly<{
  directory: MarketDirectory;
  books: BookSource;
  newId: () => string;
  now: () => number;
  modelVersion: string | null;
}>;

export function assetCode(account: 'paper', code: string): string {
  return `${account.toUpperCase()}:${code}`;
}

export function findMarket(directory: MarketDirectory, venue: string, symbol: string): Outcome<Market, ErrorCode> {
  const answer = directory.find(venue, symbol);
  if (answer.found === 'market') return accepted(answer.market);
  return refused(answer.found, `${venue} ${symbol}`);
}

/** Everything about an order that can be told without the user's money. A market order needs a live book. */
export async function preparePlacement(deps: PlacementDeps, order: PlaceOrder): Promise<Outcome<Placement, ErrorCode>> {
  const fits = fieldsVerdict(order, deps.now());
  if (!fits.ok) return fits;
  const found = findMarket(deps.directory, order.venue, order.symbol);
  if (!found.ok) return found;
  const open = openVerdict(found.value);
  if (!open.ok) return open;
  const book = await freshBook(deps.books, order.venue, order.symbol);
  const priced = priceOrder(order, found.value, book);
  if (!priced.ok) return priced;
  const sound = marketVerdict(order, found.value, priced.value.reference);
  if (!sound.ok) return sound;
  const columns = columnsOf(deps, order, found.value, priced.value.protection);
  return accepted({ market: found.value, columns, assets: [columns.base, columns.quote] });
}

export async function freshBook(books: BookSource, venue: string, symbol: string): Promise<BookView | null> {
  const pending = books.book(venue, symbol);
  const book = pending instanceof Promise ? await pending : pending;
  return isFresh(book) ? book : null;
}

type Priced = Readonly<{ protection: Fixed | null; reference: Fixed | null }>;

/** The worst price of what becomes a market order, and the market's price where it is known. */
export function priceOrder(order: QuoteRequest, market: Market, book: BookView | null): Outcome<Priced, ErrorCode> {
  const reference = book && referencePrice(book);
  const given = order.protectionPrice === undefined ? null : fixed(order.protectionPrice);
  if (given !== null && times(given, fixed(order.quantity ?? '0'), 'up') >= AMOUNT_LIMIT)
    return refused('above_maximum', 'the order is worth more than can be kept');
  if (order.type === 'market') {
    if (book === null) return stale();
    const wish = {
      side: order.side,
      quantity: order.quantity === undefined ? null : fixed(order.quantity),
      budget: order.quoteQuantity === undefined ? null : fixed(order.quoteQuantity),
    };
    const protection = given ?? protectionFromBook(wish, book, market);
    if (protection === null) return refused('not_fillable', 'nobody is on the other side of the book');
    return accepted({ protection, reference: reference ?? protection });
  }
  if (!waitsForTrigger(order.type) || order.price !== undefined) return accepted({ protection: null, reference });
  const protection = given ?? protectionOfStop(order, book, market);
  return protection === null ? stale() : accepted({ protection, reference });
}

export function stale(): Outcome<never, ErrorCode> {
  return refused('market_data_stale', 'there is no live order book to price this with');
}

export function columnsOf(
  deps: Pick<PlacementDeps, 'newId' | 'modelVersion'>,
  order: PlaceOrder,
  market: Market,
  protection: Fixed | null,
): OrderColumns {
  return {
    id: deps.newId(),
    client_order_id: order.clientOrderId ?? null,
    list_id: null,
    role: null,
    account: order.account,
    venue: order.venue,
    symbol: order.symbol,
    base: assetCode(order.account, market.base),
    quote: assetCode(order.account, market.quote),
    side: order.side,
    type: order.type,
    quantity: order.quantity ?? null,
    quote_quantity: order.quoteQuantity ?? null,
    price: order.price ?? null,
    stop_price: order.stopPrice ?? null,
    trigger: waitsForTrigger(order.type) ? (order.trigger ?? 'last') : null,
    trailing_delta: order.trailingDelta ?? null,
    activation_price: order.activationPrice ?? null,
    time_in_force: timeInForceOf(order),
    expire_at_ms: order.expireAt ?? null,
    post_only: order.postOnly ?? false,
    protection_price: protection === null ? null : plain(protection),
    protection_given: order.protectionPrice !== undefined,
    stp: order.selfTradePrevention ?? 'decrement',
    lot_size: plain(lotOf(market)),
    simulated: true,
    model_version: deps.modelVersion,
  };
}
