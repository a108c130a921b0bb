export type { PortfolioDesk, PriceSource, UserLog } from './portfolio.ts';
export { tellUserEvents } from './log-hints.ts';
export type { LogHint } from './log-hints.ts';
export { recomputePositions } from './position-store.ts';
export type { PositionDifference } from './position-store.ts';
export { createUserLog } from './user-log.ts';
export type { UserLogDeps } from './user-log.ts';
