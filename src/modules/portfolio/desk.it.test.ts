import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createMemorySignals } from '../../platform/signals-memory.ts';
import { PortfolioSchema, StatisticsSchema } from '../../protocol/trading.ts';
import type { Portfolio } from '../../protocol/trading.ts';
import { BTC, USDT, createTestLedger, done, expectSound, origin } from '../../testing/ledger.ts';
import type { TestLedger } from '../../testing/ledger.ts';
import { startTestPostgres, surroundings } from '../../testing/postgres.ts';
import type { TestDatabase, TestPostgres } from '../../testing/postgres.ts';
import { openGroundOrders, prepareGround, writeFills } from '../../testing/trading-ground.ts';
import type { GroundFill } from '../../testing/trading-ground.ts';
import { createLedger } from '../ledger/index.ts';
import { createPortfolioDesk, createUserLog, createValuations, tellUserEvents } from './index.ts';
import type { PortfolioDesk } from './index.ts';
import { addEquity } from './equity-store.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const USD = 'PAPER:USD';
const WAIT = { timeout: 20_000, interval: 10 };

let server: TestPostgres;
let at: TestDatabase;
let under: TestLedger;
let desk: PortfolioDesk;
let nowMs: number;
let market: Record<string, string>;
let warmed: string[];

beforeAll(async () => {
  server = await startTestPostgres();
});
beforeEach(async () => {
  at = await server.createDatabase();
  under = await createTestLedger(await at.open());
  await under.ledger.defineAsset({ code: USD, scale: 2 });
  await prepareGround(at);
  nowMs = 1_700_000_000_000;
  market = {};
  warmed = [];
  desk = createPortfolioDesk({
    database: under.database,
    ledger: under.ledger,
    prices,
    clock: { now: () => nowMs, monotonic: () => nowMs },
  });
});
afterAll(() => server.stop());

const prices = {
  price: (base: string, quote: string) => {
    const price = market[`${base}/${quote}`];
    return price === undefined ? null : { price, ageMs: 1, venue: 'alpha' };
  },
  async warm(pairs: readonly (readonly [string, string])[]) {
    warmed.push(...pairs.map((pair) => pair.join('/')));
    if (market.LATE !== undefined) market['BTC/USDT'] = market.LATE;
  },
};

async function grant(owner: string, asset: string, amount: bigint): Promise<void> {
  done(await under.ledger.credit({ ...origin(), owner, asset, amount, from: { house: 'equity' } }));
}

/** Base and money change hands and the fill is written, in one statement. */
async function trade(
  userId: string,
  side: 'buy' | 'sell',
  given: Partial<GroundFill> & { units: bigint; paid: bigint },
): Promise<void> {
  const { units, paid, quote = USDT, feeUnits = 0n, ...rest } = given;
  const money = (asset: string, amount: bigint, from: boolean) => {
    const own = { fromOwner: from ? userId : null, fromKind: from ? 'user' : 'clearing', fromLabel: '' };
    const other = { toOwner: from ? null : userId, toKind: from ? 'clearing' : 'user', toLabel: '' };
    return { asset, amount: `${amount}`, code: 'trade', ...own, ...other };
  };
  const legs =
    side === 'buy'
      ? [money(quote, paid, true), money(BTC, units - feeUnits, false)]
      : [money(BTC, units, true), money(quote, paid - feeUnits, false)];
  const command = {
    scope: 'ground',
    key: randomUUID(),
    kind: 'order_filled',
    actor: 'test',
    referenceType: 'order',
    referenceId: 'o',
    legs,
  };
  const quantity = `${Number(units) / 1e8}`;
  const fill = {
    userId,
    base: BTC,
    quote,
    side,
    price: '100',
    quantity,
    quoteUnits: paid,
    feeUnits,
    flatFeeUnits: 0n,
    tsMs: nowMs,
  };
  const answer = await writeFills(under.database, [{ ...fill, ...rest }], command);
  expect(answer.status).toBe('posted');
}

const ONE = 100_000_000n;

describe('the portfolio', () => {
  it('is balances and positions of one instant at live prices, and waits for a price that nobody kept', async () => {
    const userId = randomUUID();
    await grant(userId, USDT, 100_000n);
    await trade(userId, 'buy', { units: ONE, paid: 10_000n, feeUnits: ONE / 10n });
    market.LATE = '200';
    const portfolio = await desk.portfolio(userId);
    expect(PortfolioSchema.parse(portfolio)).toEqual(portfolio);
    expect(warmed).toContain('BTC/USDT');
    expect(portfolio).toMatchObject({
      equity: '1080',
      unrealizedPnl: '80',
      positions: [{ quantity: '0.9', cost: '100', value: '180' }],
      balances: [
        { asset: BTC, total: '0.9' },
        { asset: USDT, total: '900' },
      ],
    });
    await expectSound(under.database);
  });

  it('is empty for who has nothing, and nobody else is in it', async () => {
    await grant(randomUUID(), USDT, 5n);
    expect(await desk.portfolio(randomUUID())).toMatchObject({
      equity: '0',
      balances: [],
      positions: [],
      unvalued: [],
    });
  });
});

describe('equity history', () => {
  it('stores one point per user and interval, whoever asks and however often', async () => {
    const users = [randomUUID(), randomUUID(), randomUUID()];
    for (const userId of users) await grant(userId, USDT, 10_000n);
    expect(await desk.takeEquitySnapshots(2)).toBe(2);
    expect(await desk.takeEquitySnapshots(2)).toBe(1);
    expect(await desk.takeEquitySnapshots(2)).toBe(0);
    nowMs += HOUR_MS;
    await Promise.all(Array.from({ length: 4 }, () => desk.takeEquitySnapshots(500)));
    for (const userId of users) {
      const points = await desk.equityHistory(userId, { fromMs: 0, toMs: nowMs, limit: 10_000 });
      expect(points).toEqual([
        { at: nowMs - HOUR_MS, equity: '100', complete: true },
        { at: nowMs, equity: '100', complete: true },
      ]);
    }
  });

  it('keeps the first of two points that two processes made of one due user', async () => {
    const userId = randomUUID();
    await grant(userId, USDT, 10_000n);
    const point = { userId, equity: '1', flow: '0', complete: true, versions: { [USDT]: '1' } };
    expect(await addEquity(under.database, [{ ...point, atMs: nowMs }], nowMs - HOUR_MS)).toBe(1);
    expect(await addEquity(under.database, [{ ...point, atMs: nowMs + 1 }], nowMs + 1 - HOUR_MS)).toBe(0);
    expect(await addEquity(under.database, [{ ...point, atMs: nowMs + HOUR_MS }], nowMs)).toBe(1);
  });

  it('says when something had no price, and values the rest', async () => {
    const userId = randomUUID();
    await grant(userId, USDT, 10_000n);
    await grant(userId, BTC, ONE);
    await desk.takeEquitySnapshots(10);
    expect(await desk.equityHistory(userId, { fromMs: 0, toMs: nowMs, limit: 5 })).toEqual([
      { at: nowMs, equity: '100', complete: false },
    ]);
  });

  it('is thinned evenly over the time that was asked for', async () => {
    const userId = randomUUID();
    await grant(userId, USDT, 100n);
    const fromMs = nowMs;
    for (let hour = 0; hour < 24; hour++) {
      await desk.takeEquitySnapshots(10);
      await grant(userId, USDT, 100n);
      nowMs += HOUR_MS;
    }
    const toMs = fromMs + 24 * HOUR_MS - 1;
    const points = await desk.equityHistory(userId, { fromMs, toMs, limit: 6 });
    expect(points.map((point) => [(point.at - fromMs) / HOUR_MS, point.equity])).toEqual(
      [3, 7, 11, 15, 19, 23].map((hour) => [hour, `${hour + 1}`]),
    );
    expect(await desk.equityHistory(userId, { fromMs, toMs, limit: 10_000 })).toHaveLength(24);
    expect(await desk.equityHistory(userId, { fromMs: toMs, toMs: fromMs, limit: 5 })).toEqual([]);
  });
});

describe('statistics', () => {
  it('count what was traded in the time asked for, and tell gains from losses', async () => {
    const userId = randomUUID();
    await grant(userId, USDT, 10_000_000n);
    await trade(userId, 'buy', { units: 4n * ONE, paid: 40_000n, feeUnits: 0n });
    const sales = [
      [15_000n, 100n],
      [12_000n, 0n],
      [8_000n, 0n],
      [10_000n, 0n],
    ] as const;
    for (const [paid, feeUnits] of sales) {
      nowMs += 1_000;
      await trade(userId, 'sell', { units: ONE, paid, feeUnits });
    }
    const all = await desk.statistics(userId, { fromMs: 0, toMs: nowMs });
    expect(StatisticsSchema.parse(all)).toEqual(all);
    expect(all).toMatchObject({
      orders: 0,
      fills: 5,
      volume: '850',
      feesPaid: '1',
      realizedPnl: '49',
      closedTrades: 4,
      winRate: '0.5',
      averageWin: '34.5',
      averageLoss: '-20',
      maxDrawdown: null,
      sharpe: null,
      unvalued: [],
    });
    expect((await desk.positions(userId))[0]).toMatchObject({ realizedPnl: '49', feesPaid: '1' });
    const last = await desk.statistics(userId, { fromMs: nowMs - 1_000, toMs: nowMs });
    expect(last).toMatchObject({
      fills: 2,
      volume: '180',
      closedTrades: 2,
      winRate: '0',
      averageWin: null,
      averageLoss: '-20',
    });
    const none = await desk.statistics(userId, { fromMs: 0, toMs: 1 });
    expect(none).toMatchObject({ fills: 0, volume: '0', winRate: null, closedTrades: 0 });
  });

  it('add up other quote assets at their rates, and leave out by name what has none', async () => {
    const userId = randomUUID();
    await grant(userId, USDT, 100_000n);
    await grant(userId, USD, 100_000n);
    await trade(userId, 'buy', { units: ONE, paid: 10_000n });
    await trade(userId, 'buy', { units: ONE, paid: 20_000n, quote: USD });
    expect(await desk.statistics(userId, { fromMs: 0, toMs: nowMs })).toMatchObject({
      fills: 2,
      volume: '100',
      unvalued: [USD],
    });
    market['USDT/USD'] = '0.5';
    expect(await desk.statistics(userId, { fromMs: 0, toMs: nowMs })).toMatchObject({ volume: '500', unvalued: [] });
  });

  it('measure drawdown and Sharpe by what was earned, not by what was paid in or out', async () => {
    const userId = randomUUID();
    await grant(userId, BTC, 10n * ONE);
    const fromMs = nowMs;
    // 100, 120, 90, 99 a coin; in between the user is given ten more coins, which is no gain.
    for (const [day, price] of ['100', '120', '90', '99'].entries()) {
      market['BTC/USDT'] = price;
      if (day === 2) await grant(userId, BTC, 10n * ONE);
      await desk.takeEquitySnapshots(10);
      nowMs += DAY_MS;
    }
    const points = await desk.equityHistory(userId, { fromMs, toMs: nowMs, limit: 100 });
    expect(points.map(({ equity }) => equity)).toEqual(['1000', '1200', '1800', '1980']);
    const { maxDrawdown, sharpe } = await desk.statistics(userId, { fromMs, toMs: nowMs });
    // Earned: 1000, 1200, 900, 1080.
    expect(maxDrawdown).toBe('0.25');
    const gains = [0.2, -0.25, 0.1];
    const mean = gains.reduce((sum, gain) => sum + gain, 0) / 3;
    const deviation = Math.sqrt(gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0) / 2);
    expect(Number(sharpe)).toBeCloseTo((mean / deviation) * Math.sqrt(365), 4);
    // Trading is not money from outside.
    await grant(userId, USDT, 1_000_000n);
    await desk.takeEquitySnapshots(10);
    await trade(userId, 'buy', { units: ONE, paid: 5_000n });
    nowMs += DAY_MS;
    await desk.takeEquitySnapshots(10);
    const flows = await at.admin`select flow::float from portfolio.equity_history order by at_ms`;
    expect(flows.map((row) => row.flow)).toEqual([0, 0, 900, 0, 10_000, 0]);
  });

  it('have no Sharpe and no drawdown of days without prices', async () => {
    const userId = randomUUID();
    await grant(userId, BTC, ONE);
    for (const price of ['100', undefined, '50']) {
      if (price === undefined) delete market['BTC/USDT'];
      else market['BTC/USDT'] = price;
      await desk.takeEquitySnapshots(10);
      nowMs += DAY_MS;
    }
    expect(await desk.statistics(userId, { fromMs: 0, toMs: nowMs })).toMatchObject({
      maxDrawdown: '0.5',
      sharpe: null,
    });
  });
});

describe('live valuations', () => {
  it('follow what the user does and what the market does, over the real log', async () => {
    const around = surroundings();
    const signals = createMemorySignals(around);
    const ledger = createLedger({ database: under.database, tell: tellUserEvents(signals) });
    const userLog = await createUserLog({
      ...around,
      database: under.database,
      ledger,
      signals,
      openOrders: openGroundOrders,
    });
    const valuations = createValuations({ ...around, userLog, prices });
    const userId = randomUUID();
    await grant(userId, USDT, 10_000n);
    const seen: Portfolio[] = [];
    const stop = valuations.follow(userId, (portfolio) => seen.push(portfolio));
    await vi.waitFor(() => expect(seen.at(-1)?.equity).toBe('100'), WAIT);
    market['BTC/USDT'] = '30';
    await trade(userId, 'buy', { units: ONE, paid: 4_000n });
    await vi.waitFor(() => expect(seen.at(-1)).toMatchObject({ equity: '90', unrealizedPnl: '-10' }), WAIT);
    market['BTC/USDT'] = '50';
    await vi.waitFor(() => expect(seen.at(-1)).toMatchObject({ equity: '110', unrealizedPnl: '10' }), WAIT);
    expect({ ...seen.at(-1), at: 0 }).toEqual({ ...(await desk.portfolio(userId)), at: 0 });
    stop();
    await Promise.all([valuations.stop(), userLog.stop(), signals.stop()]);
  });
});
