import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Clock } from '../../kernel/clock.ts';
import type { Identity } from '../../modules/identity/index.ts';
import type { Ledger, Verification } from '../../modules/ledger/index.ts';
import type { MarketDirectory, StreamCache } from '../../modules/market/index.ts';
import type { OrderDesk, TradingSettings } from '../../modules/orders/index.ts';
import type { PortfolioDesk, UserLog } from '../../modules/portfolio/index.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';

export type HttpApp = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, ZodTypeProvider>;

/** Everything that belongs to users. A gateway without it serves market data only. */
export type AccountsContext = Readonly<{
  identity: Identity;
  orders: OrderDesk;
  ledger: Ledger;
  portfolio: PortfolioDesk;
  userLog: UserLog;
  /** What admins set about trading. Absent: they cannot. */
  settings?: TradingSettings;
  /** Recomputes the whole ledger, which takes as long as it is large. Absent: admins cannot ask for it. */
  verifyLedger?: () => Promise<Verification>;
}>;

/** What the routes need. */
export type GatewayContext = Readonly<{
  /** All configured venues, whether or not they have been heard of. */
  venues: readonly string[];
  directory: MarketDirectory;
  cache: StreamCache;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  accounts?: AccountsContext;
}>;

/** What the routes of users need. */
export type AccountsGatewayContext = GatewayContext & Readonly<{ accounts: AccountsContext }>;
