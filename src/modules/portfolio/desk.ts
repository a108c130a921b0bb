import type { Clock } from '../../kernel/clock.ts';
import { assert } from '../../kernel/assert.ts';
import type { Database } from '../../platform/postgres.ts';
import { selectBalances } from '../ledger/index.ts';
import type { Ledger } from '../ledger/index.ts';
import { addEquity, readDueEquity, readEquityHistory } from './equity-store.ts';
import type { DueUser, NewPoint } from './equity-store.ts';
import type { LivePrices, Pair } from './live-prices.ts';
import type { PortfolioDesk, PriceSource } from './portfolio.ts';
import { selectPositions } from './position-store.ts';
import { readStatistics, statisticsOf } from './statistics.ts';
import { AssetScales, balanceText } from './sync-event.ts';
import { PAPER_CURRENCY, sumIn, valuePortfolio } from './valuation.ts';
import type { Holdings } from './valuation.ts';

/** How long an answer waits for prices that nobody has asked for before. */
const WARM_LIMIT_MS = 1_000;
/** A background job has more time, and a whole batch of users needs more pairs. */
const BATCH_WARM_LIMIT_MS = 5_000;
export const EQUITY_BATCH_LIMIT = 500;
const HISTORY_LIMIT = 10_000;
const DEFAULT_EQUITY_INTERVAL_MS = 3_600_000;

export type PortfolioDeps = Readonly<{
  database: Database;
  ledger: Pick<Ledger, 'assets'>;
  prices: Pick<LivePrices, 'price' | 'warm'>;
  clock: Clock;
  /** Between two points of one user's equity; default one hour. */
  equityIntervalMs?: number;
}>;

export function createPortfolioDesk(deps: PortfolioDeps): PortfolioDesk {
  const { database, clock, prices } = deps;
  const scales = new AssetScales(deps.ledger);
  return {
    positions: (userId) => database.read('portfolio.positions', (queries) => selectPositions(queries, userId)),
    async portfolio(userId) {
      const holdings = await readHoldings(database, scales, userId);
      return withPrices(prices, WARM_LIMIT_MS, (price) => valuePortfolio(holdings, price, clock.now()));
    },
    async equityHistory(userId, { fromMs, toMs, limit }) {
      assert(limit > 0 && limit <= HISTORY_LIMIT, `portfolio: a history has 1 to ${HISTORY_LIMIT} points`);
      return toMs < fromMs ? [] : readEquityHistory(database, { userId, fromMs, toMs, limit });
    },
    async statistics(userId, range) {
      const sums = await readStatistics(database, { userId, ...range });
      return withPrices(prices, WARM_LIMIT_MS, (price) => statisticsOf(sums, price));
    },
    takeEquitySnapshots: (limit) => takeEquitySnapshots(deps, limit),
  };
}

async function readHoldings(database: Database, scales: AssetScales, userId: string): Promise<Holdings> {
  const options = { name: 'portfolio.holdings', mode: 'snapshot' } as const;
  const { balances, positions } = await database.transaction(options, async (queries) => ({
    balances: await selectBalances(queries, userId),
    positions: await selectPositions(queries, userId),
  }));
  await scales.learn(balances.map(({ asset }) => asset));
  return { balances: balances.map((balance) => balanceText(balance, scales)), positions };
}

/** Prices that are asked for the first time are waited for, once, and then it is computed again. */
async function withPrices<T>(
  prices: Pick<LivePrices, 'price' | 'warm'>,
  limitMs: number,
  compute: (price: PriceSource) => T,
): Promise<T> {
  const missing = new Map<string, Pair>();
  const first = compute((base, quote) => {
    const found = prices.price(base, quote);
    if (found === null) missing.set(`${base}/${quote}`, [base, quote]);
    return found;
  });
  if (missing.size === 0) return first;
  await prices.warm([...missing.values()], limitMs);
  return compute(prices.price);
}

async function takeEquitySnapshots(deps: PortfolioDeps, limit: number): Promise<number> {
  assert(limit > 0 && limit <= EQUITY_BATCH_LIMIT, `portfolio: a batch has 1 to ${EQUITY_BATCH_LIMIT} users`);
  const { database, clock, prices } = deps;
  const beforeMs = clock.now() - (deps.equityIntervalMs ?? DEFAULT_EQUITY_INTERVAL_MS);
  const due = await readDueEquity(database, beforeMs, limit);
  if (due.length === 0) return 0;
  const points = await withPrices(prices, BATCH_WARM_LIMIT_MS, (price) => {
    return due.map((user) => equityPoint(user, price, clock.now()));
  });
  await addEquity(database, points, beforeMs);
  return due.length;
}

function equityPoint({ userId, balances }: DueUser, price: PriceSource, atMs: number): NewPoint {
  const worth = sumIn(
    PAPER_CURRENCY,
    balances.map(({ asset, total: amount }) => ({ asset, amount })),
    price,
  );
  const flow = sumIn(
    PAPER_CURRENCY,
    balances.map(({ asset, outside: amount }) => ({ asset, amount })),
    price,
  );
  return {
    userId,
    atMs,
    equity: worth.total,
    flow: flow.total,
    complete: worth.unvalued.length === 0 && flow.unvalued.length === 0,
    versions: Object.fromEntries(balances.map(({ asset, version }) => [asset, version])),
  };
}
