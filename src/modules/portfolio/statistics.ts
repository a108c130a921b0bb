import { sql } from 'drizzle-orm';
import type { Database } from '../../platform/postgres.ts';
import type { Statistics } from '../../protocol/trading.ts';
import type { PriceSource } from './portfolio.ts';
import { PAPER_CURRENCY, quotientText, sumIn } from './valuation.ts';

/** Sums of one quote asset, in that asset. */
type TradeSums = Readonly<{
  quote: string;
  fills: number;
  volume: string;
  fees: string;
  realized: string;
  closed: number;
  wins: number;
  won: string;
  losses: number;
  lost: string;
}>;
export type StatisticsRange = Readonly<{ userId: string; fromMs: number; toMs: number }>;
export type StatisticsSums = Readonly<{
  orders: number;
  sums: readonly TradeSums[];
  maxDrawdown: string | null;
  sharpe: string | null;
}>;

const WIN_RATE_PLACES = 6;

/** Everything at one instant. */
export function readStatistics(database: Database, range: StatisticsRange): Promise<StatisticsSums> {
  const { userId, fromMs, toMs } = range;
  const within = sql`${userId}::uuid, 'paper', ${fromMs}::bigint, ${toMs}::bigint`;
  return database.read('portfolio.statistics', async (queries) => {
    const [row] = await queries.execute<{
      orders: string;
      sums: string;
      drawdown: string | null;
      sharpe: string | null;
    }>(sql`
      select portfolio.orders_placed(${within}) as orders,
        (select coalesce(jsonb_agg(jsonb_build_object('quote', s.quote, 'fills', s.fills, 'volume', s.volume::text,
          'fees', s.fees::text, 'realized', s.realized::text, 'closed', s.closed, 'wins', s.wins, 'won', s.won::text,
          'losses', s.losses, 'lost', s.lost::text)), '[]')::text from portfolio.trade_sums(${within}) s) as sums,
        trim_scale(r.max_drawdown)::text as drawdown, trim_scale(r.sharpe)::text as sharpe
      from portfolio.risk(${within}) r`);
    const { orders, sums, drawdown, sharpe } = row!;
    return { orders: Number(orders), sums: JSON.parse(sums) as TradeSums[], maxDrawdown: drawdown, sharpe };
  });
}

/** In the account's currency; other quote assets at their rates of now, or named in `unvalued` and left out of the amounts. */
export function statisticsOf({ orders, sums, maxDrawdown, sharpe }: StatisticsSums, prices: PriceSource): Statistics {
  const all = (field: 'volume' | 'fees' | 'realized' | 'won' | 'lost') =>
    sumIn(
      PAPER_CURRENCY,
      sums.map((each) => ({ asset: each.quote, amount: each[field] })),
      prices,
    );
  const unvalued = [...new Set([...all('volume').unvalued, ...all('fees').unvalued, ...all('realized').unvalued])];
  const valued = sums.filter(({ quote }) => !unvalued.includes(quote));
  const count = (of: readonly TradeSums[], field: 'fills' | 'closed' | 'wins' | 'losses') =>
    of.reduce((sum, each) => sum + each[field], 0);
  return {
    account: 'paper',
    currency: PAPER_CURRENCY,
    orders,
    fills: count(sums, 'fills'),
    volume: all('volume').total,
    feesPaid: all('fees').total,
    realizedPnl: all('realized').total,
    closedTrades: count(sums, 'closed'),
    winRate: quotientText(`${count(sums, 'wins')}`, count(sums, 'closed'), WIN_RATE_PLACES),
    averageWin: quotientText(all('won').total, count(valued, 'wins')),
    averageLoss: quotientText(all('lost').total, count(valued, 'losses')),
    maxDrawdown,
    sharpe,
    unvalued,
  };
}
