import type { Config } from '../config/schema.ts';
import { createIdentity } from '../modules/identity/index.ts';
import type { Identity } from '../modules/identity/index.ts';
import { createLedger, grantInitialFunds, verifyLedger } from '../modules/ledger/index.ts';
import type { Ledger } from '../modules/ledger/index.ts';
import type { MarketDirectory, StreamCache } from '../modules/market/index.ts';
import { PAPER_MODEL_VERSION, createLiveBooks, createOrders, selectOpenOrders } from '../modules/orders/index.ts';
import type { Orders } from '../modules/orders/index.ts';
import {
  createLivePrices,
  createPortfolioDesk,
  createUserLog,
  createValuations,
  tellUserEvents,
} from '../modules/portfolio/index.ts';
import type { PortfolioDesk, UserLog, Valuations } from '../modules/portfolio/index.ts';
import type { Database } from '../platform/postgres.ts';
import { createMemorySignals } from '../platform/signals-memory.ts';
import { openRedisSignals } from '../platform/signals-redis.ts';
import type { Signals } from '../platform/signals.ts';
import { openAccountsDatabase } from './database.ts';
import type { Parts } from './parts.ts';
import { tokenSecretOf } from './token-secret.ts';

const REGISTRATIONS_WINDOW_MS = 3_600_000;

/** Everything that belongs to users, for gateways and workers. */
export type Accounts = Readonly<{
  database: Database;
  identity: Identity;
  ledger: Ledger;
  orders: Orders;
  portfolio: PortfolioDesk;
  userLog: UserLog;
  valuations: Valuations;
  verifyLedger: () => ReturnType<typeof verifyLedger>;
}>;

export type MarketParts = Readonly<{ directory: MarketDirectory; cache: StreamCache; venues: readonly string[] }>;

export async function openAccounts(parts: Parts, market: MarketParts): Promise<Accounts> {
  const { config, log, metrics, clock, stops } = parts;
  const { directory, cache, venues } = market;
  const database = await openAccountsDatabase(parts);
  const signals = await openSignals(parts);
  stops.push('signals', () => signals.stop());
  const tell = tellUserEvents(signals);
  const ledger = createLedger({ database, tell });
  const identity = createIdentity({
    database,
    signals,
    log,
    metrics,
    clock,
    signingSecret: tokenSecretOf(config),
    retiredSecrets: config.retiredTokenSecrets,
    settings: { registrationsPerIp: { count: config.registrationsPerIp, windowMs: REGISTRATIONS_WINDOW_MS } },
  });
  stops.push('identity', () => identity.stop());
  const books = createLiveBooks({ cache, clock, metrics });
  stops.push('books', () => books.stop());
  const modelVersion = PAPER_MODEL_VERSION;
  const orders = createOrders({ database, ledger, directory, books, signals, clock, log, tell, modelVersion });
  stops.push('orders', () => orders.stop());
  const prices = createLivePrices({ cache, directory, venues, clock });
  stops.push('prices', () => prices.stop());
  const userLog = await createUserLog({ database, ledger, signals, log, metrics, openOrders: selectOpenOrders });
  stops.push('user log', () => userLog.stop());
  const valuations = createValuations({ userLog, prices, clock, log, metrics });
  stops.push('valuations', () => valuations.stop());
  return {
    database,
    identity: withInitialFunds(identity, ledger, config.paperFunds),
    ledger,
    orders,
    portfolio: createPortfolioDesk({ database, ledger, prices, clock }),
    userLog,
    valuations,
    verifyLedger: () => verifyLedger(database),
  };
}

async function openSignals({ config, log, metrics, nodeId }: Parts): Promise<Signals> {
  const { redisUrl } = config;
  return redisUrl === null
    ? createMemorySignals({ log, metrics })
    : openRedisSignals({ url: redisUrl, nodeId, log, metrics });
}

/** Identity knows nothing of money. The key of the grant makes it happen once, however often a user comes back. */
function withInitialFunds(identity: Identity, ledger: Ledger, funds: Config['paperFunds']): Identity {
  return {
    ...identity,
    async register(input, origin) {
      const granted = await identity.register(input, origin);
      if (granted.ok) await grantInitialFunds(ledger, granted.value.user.id, funds, 'registration');
      return granted;
    },
    async login(input, origin) {
      const granted = await identity.login(input, origin);
      // Whoever was cut off between registering and being given the funds.
      if (granted.ok) await grantInitialFunds(ledger, granted.value.user.id, funds, 'registration');
      return granted;
    },
  };
}
