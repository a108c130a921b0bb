import { sql } from 'drizzle-orm';
import { accepted } from '../../kernel/outcome.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { Market } from '../../protocol/market.ts';
import type { Quote, QuoteRequest } from '../../protocol/trading.ts';
import { parseDecimal } from '../ledger/index.ts';
import { opposite } from './books.ts';
import type { BookView } from './books.ts';
import type { CommandDeps, OrderLimits } from './commands.ts';
import { fieldsVerdict, waitsForTrigger } from './field-rules.ts';
import { applyFill, budgetLeft, emptyTally, holdUnits } from './fill-math.ts';
import type { Rates, Tally } from './fill-math.ts';
import { fixed, plain, toStep } from './fixed.ts';
import type { Fixed } from './fixed.ts';
import { marketVerdict, openVerdict } from './market-rules.ts';
import { assetCode, findMarket, freshBook, priceOrder, stale } from './placement.ts';
import { lotOf, walk } from './pricing.ts';
import type { Walk } from './pricing.ts';
import { readAnswers } from './queries.ts';

type Facts = Readonly<{
  rates: Readonly<{ maker: string; taker: string; flat: string }>;
  available: string;
  halted: Readonly<{ code: string; message: string }> | null;
  open: number;
  openInMarket: number;
}>;
type Problem = Quote['problem'];
const NOTHING: Walk = { matches: [], quantity: 0n, worst: null, complete: false };

/**
 * What placing this order would do now, by the code that would do it. What the exchange's or the user's limits would refuse is
 * told as `problem`; refused is only what cannot be priced at all.
 */
export async function quoteOrder(
  deps: CommandDeps,
  userId: string,
  order: QuoteRequest,
): Promise<Outcome<Quote, ErrorCode>> {
  const fits = fieldsVerdict(order, deps.now());
  if (!fits.ok) return fits;
  const found = findMarket(deps.directory, order.venue, order.symbol);
  if (!found.ok) return found;
  const book = await freshBook(deps.books, order.venue, order.symbol);
  if (book === null) return stale();
  const priced = priceOrder(order, found.value, book);
  if (!priced.ok) return priced;
  const facts = await readFacts(deps, userId, order, found.value);
  const verdicts = [openVerdict(found.value), marketVerdict(order, found.value, priced.value.reference)];
  const refusal = verdicts.find((verdict) => !verdict.ok);
  const limit = order.price === undefined ? priced.value.protection : fixed(order.price);
  const quote = priceQuote({ order, market: found.value, book, facts, limit });
  const problem =
    refusal?.ok === false ? { code: refusal.code, message: refusal.message } : problemOf(quote, facts, deps.limits);
  return accepted({ ...quote, problem });
}

async function readFacts(deps: CommandDeps, userId: string, order: QuoteRequest, market: Market): Promise<Facts> {
  const asset = assetCode(order.account, order.side === 'buy' ? market.quote : market.base);
  const query = sql`select orders.quote_facts(${userId}::uuid, ${order.venue}, ${order.symbol}, ${order.side},
    ${asset}) as answer`;
  const [facts] = await readAnswers<Facts>(deps.database, 'quote_facts', query);
  return facts!;
}

type QuoteInput = Readonly<{
  order: QuoteRequest;
  market: Market;
  book: BookView;
  facts: Facts;
  limit: Fixed | null;
}>;

function priceQuote({ order, market, book, facts, limit }: QuoteInput): Omit<Quote, 'problem'> {
  const rates = ratesOf(facts.rates);
  const quantity = order.quantity === undefined ? null : fixed(order.quantity);
  const quoteQuantity = order.quoteQuantity === undefined ? null : fixed(order.quoteQuantity);
  const lot = lotOf(market);
  const budget = quoteQuantity === null ? null : budgetLeft(quoteQuantity, rates.flat, 0n);
  // A stop takes nothing before its trigger, a post-only order never.
  const taking = !waitsForTrigger(order.type) && order.postOnly !== true;
  const walked = taking
    ? walk(opposite(book, order.side), { side: order.side, quantity, budget, limit, lot })
    : NOTHING;
  const [base, quote] = [assetCode(order.account, market.base), assetCode(order.account, market.quote)];
  const money = moneyOf(order.side, walked, rates, { base, quote });
  const hold = holdUnits({ side: order.side, quantity, quoteQuantity, limit }, rates.flat);
  return {
    venue: order.venue,
    symbol: order.symbol,
    side: order.side,
    quantity: plain(walked.quantity),
    complete: walked.complete,
    ...money.amounts,
    feeRates: facts.rates,
    averagePrice: walked.quantity === 0n ? null : plain(roundedRatio(money.tally.exactQuote, walked.quantity)),
    worstPrice: walked.worst === null ? null : plain(walked.worst),
    protectionPrice: order.price === undefined && limit !== null ? plain(limit) : null,
    hold: { asset: order.side === 'buy' ? quote : base, amount: plain(hold) },
    dust: plain(order.side === 'buy' ? money.received - toStep(money.received, lot, 'down') : 0n),
    matches: walked.matches.map((match) => ({ price: plain(match.price), quantity: plain(match.quantity) })),
    book: { stream: book.stream, epoch: book.epoch, seq: book.seq, ageMs: Math.round(book.ageMs) },
  };
}

/** The sum over the fills as they would be booked one by one, so that it is right to the last unit. */
function moneyOf(
  side: 'buy' | 'sell',
  walked: Walk,
  rates: Rates,
  assets: Readonly<{ base: string; quote: string }>,
): Readonly<{ amounts: Pick<Quote, 'pay' | 'receive' | 'fee'>; received: Fixed; tally: Tally }> {
  let tally = emptyTally(side, rates);
  for (const match of walked.matches) tally = applyFill(tally, { ...match, liquidity: 'taker' }, rates).tally;
  const buys = side === 'buy';
  const pay = buys ? tally.quoteUnits + tally.feeQuote : tally.filled;
  const fee = buys ? tally.feeBase : tally.feeQuote;
  const received = (buys ? tally.filled : tally.quoteUnits) - fee;
  const [paid, got] = buys ? [assets.quote, assets.base] : [assets.base, assets.quote];
  const amounts = {
    pay: { asset: paid, amount: plain(pay) },
    receive: { asset: got, amount: plain(received) },
    fee: { asset: got, amount: plain(fee) },
  };
  return { amounts, received, tally };
}

/** As `orders.project` rounds an average: half up at 18 places. */
function roundedRatio(exactQuote: bigint, quantity: Fixed): Fixed {
  return (2n * exactQuote + quantity) / (2n * quantity);
}

function ratesOf(rates: Facts['rates']): Rates {
  const [maker, taker] = [parseDecimal(rates.maker)!, parseDecimal(rates.taker)!];
  return {
    maker: maker.units,
    makerScale: maker.scale,
    taker: taker.units,
    takerScale: taker.scale,
    flat: fixed(rates.flat),
  };
}

/** In the order in which a placement would be refused. */
function problemOf(quote: Omit<Quote, 'problem'>, facts: Facts, limits: OrderLimits): Problem {
  if (facts.halted !== null) return { code: facts.halted.code, message: facts.halted.message };
  if (facts.open >= limits.user || facts.openInMarket >= limits.market)
    return { code: 'too_many_orders', message: 'there are as many open orders as there may be' };
  if (fixed(quote.hold.amount) > fixed(facts.available)) {
    const { amount, asset } = quote.hold;
    return { code: 'insufficient_funds', message: `${amount} ${asset} is needed and ${facts.available} is available` };
  }
  return null;
}
