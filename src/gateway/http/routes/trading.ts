import type { AccountsGatewayContext, HttpApp } from '../gateway-context.ts';
import { moneyRoutes } from './money.ts';
import { operationsRoutes } from './operations.ts';
import { fillRoutes, orderListRoutes } from './order-lists.ts';
import { orderRoutes } from './orders.ts';
import { paperFundsRoute } from './paper-funds.ts';
import { portfolioRoutes, syncRoute } from './portfolio.ts';

/** Everything about users' orders and money, and about how the system is doing. */
export function tradingRoutes(app: HttpApp, context: AccountsGatewayContext): void {
  orderRoutes(app, context);
  orderListRoutes(app, context);
  fillRoutes(app, context);
  moneyRoutes(app, context);
  paperFundsRoute(app, context);
  portfolioRoutes(app, context);
  syncRoute(app, context);
  operationsRoutes(app, context);
}
