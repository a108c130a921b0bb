export type { PortfolioDesk, PriceSource, UserLog } from './portfolio.ts';
