import { randomUUID } from 'node:crypto';
import type { HttpGatewaySetup } from '../gateway/http/app.ts';
import { createLedger, grantInitialFunds, verifyLedger } from '../modules/ledger/index.ts';
import type { Ledger } from '../modules/ledger/index.ts';
import type { MarketIngest, Upstream } from '../modules/market/index.ts';
import {
  PAPER_MODEL_VERSION,
  createLiveBooks,
  createOrders,
  createPaperEngine,
  selectOpenOrders,
} from '../modules/orders/index.ts';
import type { Orders } from '../modules/orders/index.ts';
import {
  createLivePrices,
  createPortfolioDesk,
  createUserLog,
  createValuations,
  tellUserEvents,
} from '../modules/portfolio/index.ts';
import type { UserLog } from '../modules/portfolio/index.ts';
import type { Database } from '../platform/postgres.ts';
import { createMemorySignals } from '../platform/signals-memory.ts';
import type { ConnectionLimits } from '../protocol/limits.ts';
import type { PlaceOrder } from '../protocol/trading.ts';
import { registerOver } from './account-calls.ts';
import { startAccountsServer } from './accounts-server.ts';
import type { AccountsServer } from './accounts-server.ts';
import { startIdentityRig } from './identity.ts';
import type { IdentityRig } from './identity.ts';
import { surroundings } from './postgres.ts';
import { market, startScriptedMarket } from './scripted-market.ts';
import type { ScriptedMarket } from './scripted-market.ts';

export const TRADING_VENUE = 'binance';
const SYMBOLS = ['BTC/USDT', 'ETH/USDT'];
const REFRESH_MS = 1_000;
const BOOK_LEVELS = 50;
const NO_DELAY = { submit: { medianMs: 1, p99Ms: 1 }, cancel: { medianMs: 1, p99Ms: 1 } };
export const STARTING_FUNDS = [
  { code: 'USDT', amount: '100000' },
  { code: 'BTC', amount: '10' },
];

export type TestUser = Readonly<{ userId: string; token: string; email: string }>;

/** A whole gateway with everything behind it but a real exchange: real Postgres, identity, ledger, orders, paper engine. */
export type TradingServer = AccountsServer &
  Readonly<{
    rig: IdentityRig;
    scripted: ScriptedMarket;
    database: Database;
    ledger: Ledger;
    orders: Orders;
    userLog: UserLog;
    /** A public trade at the exchange. */
    trade(price: string, size: string, side: 'buy' | 'sell'): void;
    newUser(): Promise<TestUser>;
    end(): Promise<void>;
  }>;

export async function startTradingServer(
  options: Readonly<{ setup?: Partial<HttpGatewaySetup>; limits?: Partial<ConnectionLimits>; engine?: boolean }> = {},
): Promise<TradingServer> {
  const rig = await startIdentityRig();
  const database = await rig.at.open();
  const exchange = scriptedExchange();
  const scripted = await startScriptedMarket([TRADING_VENUE], (upstream, ingest) =>
    setImmediate(() => exchange.answer(upstream, ingest)),
  );
  scripted.ingest.venueState(TRADING_VENUE, { status: 'live', since: Date.now(), reason: '' });
  scripted.ingest.markets(
    TRADING_VENUE,
    SYMBOLS.map((symbol) => market(TRADING_VENUE, symbol, { minNotional: '5' })),
  );
  await scripted.directory.loaded(TRADING_VENUE);
  const refresh = setInterval(() => exchange.refresh(scripted.ingest), REFRESH_MS);
  const parts = await openTrading(database, scripted);
  const engine = createPaperEngine({
    ...scripted,
    database,
    execution: parts.orders.execution,
    random: Math.random,
    seed: 1,
    latency: () => NO_DELAY,
  });
  if (options.engine ?? true) await engine.start();
  const { portfolio, userLog, ledger, orders, valuations } = parts;
  const accounts = {
    orders: orders.desk,
    ledger,
    portfolio,
    userLog,
    valuations,
    settings: orders.settings,
    verifyLedger: () => verifyLedger(database),
  };
  const server = await startAccountsServer(rig, scripted, {
    accounts,
    ...(options.setup && { setup: options.setup }),
    ...(options.limits && { limits: options.limits }),
  });
  return {
    ...server,
    rig,
    scripted,
    database,
    ledger,
    orders,
    userLog,
    trade: (price, size, side) => exchange.trade(scripted.ingest, price, size, side),
    async newUser() {
      const { user, accessToken } = await registerOver(server, rig);
      await grantInitialFunds(ledger, user.id, STARTING_FUNDS, 'registration');
      return { userId: user.id, token: accessToken, email: user.email };
    },
    async end() {
      clearInterval(refresh);
      await server.stop();
      await engine.stop();
      await parts.stop();
      await scripted.stop();
      await rig.stop();
    },
  };
}

async function openTrading(database: Database, scripted: ScriptedMarket) {
  const { cache, directory, venues } = scripted;
  const around = { ...surroundings(), clock: scripted.clock };
  const signals = createMemorySignals(around);
  const tell = tellUserEvents(signals);
  const ledger = createLedger({ database, tell });
  const books = createLiveBooks({ ...around, cache });
  const orders = createOrders({
    ...around,
    database,
    ledger,
    directory,
    books,
    signals,
    tell,
    modelVersion: PAPER_MODEL_VERSION,
  });
  const prices = createLivePrices({ cache, directory, venues, clock: around.clock });
  const userLog = await createUserLog({ ...around, database, ledger, signals, openOrders: selectOpenOrders });
  const portfolio = createPortfolioDesk({ database, ledger, prices, clock: around.clock });
  const valuations = createValuations({ ...around, userLog, prices });
  return {
    ledger,
    orders,
    portfolio,
    userLog,
    valuations,
    async stop() {
      await valuations.stop();
      await userLog.stop();
      prices.stop();
      orders.stop();
      books.stop();
      await signals.stop();
    },
  };
}

/** Asks from 100.01 up, bids from 99.99 down, 2 each, at all times fresh. */
function scriptedExchange() {
  const wanted = new Map<string, Upstream>();
  let count = 0;
  const say = (upstream: Upstream, ingest: MarketIngest): void => {
    const { venue, symbol } = upstream;
    const ingestTs = Date.now();
    if (upstream.channel === 'book') {
      const side = (first: number, step: number) =>
        Float64Array.from({ length: BOOK_LEVELS * 2 }, (_, index) =>
          index % 2 === 0 ? Number((first + (step * index) / 2).toFixed(2)) : 2,
        );
      const exchangeSeq = ++count;
      const bids = side(99.99, -0.01);
      ingest.book({ venue, symbol, bids, asks: side(100.01, 0.01), exchangeSeq, exchangeTs: ingestTs, ingestTs });
    } else if (upstream.channel === 'ticker') {
      ingest.ticker({ venue, symbol, fields: { last: '100', bid: '99.99', ask: '100.01' }, ingestTs });
    }
  };
  return {
    answer(upstream: Upstream, ingest: MarketIngest): void {
      wanted.set(`${upstream.channel}:${upstream.symbol}`, upstream);
      ingest.upstreamState(upstream, { status: 'live', since: Date.now(), reason: '' });
      say(upstream, ingest);
    },
    refresh(ingest: MarketIngest): void {
      for (const upstream of wanted.values()) say(upstream, ingest);
    },
    trade(ingest: MarketIngest, price: string, size: string, side: 'buy' | 'sell'): void {
      const trades = [{ id: `public-${++count}`, price, size, side, ts: Date.now() + 1 }];
      ingest.trades({ venue: TRADING_VENUE, symbol: SYMBOLS[0]!, trades, ingestTs: Date.now() });
    },
  };
}

export function limitBuy(changes: Partial<PlaceOrder> = {}): PlaceOrder {
  return {
    account: 'paper',
    venue: TRADING_VENUE,
    symbol: 'BTC/USDT',
    side: 'buy',
    type: 'limit',
    quantity: '0.5',
    price: '90',
    ...changes,
  };
}

export function freshKey(): Record<string, string> {
  return { 'idempotency-key': randomUUID() };
}
