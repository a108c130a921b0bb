import type { Outcome } from '../../kernel/outcome.ts';
import * as commands from './commands.ts';
import type { LedgerDeps, Posted } from './commands.ts';
import * as queries from './queries.ts';
import * as events from './event-log.ts';
import type { LedgerRefusal } from './rules.ts';

export { AMOUNT_LIMIT, SCALE_LIMIT, feeUnits, formatAmount, parseAmount, parseDecimal, quoteUnits } from './amounts.ts';
export type { ExactDecimal, Rounding } from './amounts.ts';
export type { LedgerDeps, PlacedHold, Posted, PostedBalance, Posting } from './commands.ts';
export { EVENTS_LIMIT, READERS_LIMIT, readLogHeads } from './event-log.ts';
export type { EventPage, LogHeads, LogReader } from './event-log.ts';
export type { BalanceEvent, LoggedEvent, UserEvent } from './events.ts';
export { selectBalances } from './queries.ts';
export type { Balance, EntryPage, HeldMoney, OpenHold, OwnEntry, StatementLine } from './queries.ts';
export { PAPER_FUNDS_LIMIT, PAPER_SCALE, givePaperFunds, grantInitialFunds, paperAsset } from './paper-funds.ts';
export type { PaperFunds } from './paper-funds.ts';
export { createMoneyView } from './money-view.ts';
export type { HoldView, MoneyView, StatementFilter } from './money-view.ts';
export { LEDGER_REFUSALS } from './rules.ts';
export type {
  CommandKey,
  CommandOrigin,
  HoldReason,
  HoldRequest,
  HouseKind,
  LedgerCommand,
  LedgerRefusal,
  Leg,
  Party,
  Release,
  Trade,
  TradeSide,
} from './rules.ts';
export { verifyLedger } from './verify.ts';
export type { Breach, Verification } from './verify.ts';
export { runLedgerVerify } from './verify-report.ts';

type Input<T extends (deps: LedgerDeps, input: never) => unknown> = Parameters<T>[1];

/** The ledger: accounts, transfers, holds and every user's event log. Amounts are `bigint` in an asset's smallest unit. */
export interface Ledger {
  /** Any mixture of legs, holds and releases as one fact; the others are shapes of it. */
  post(command: Input<typeof commands.post>): Posted;
  credit(input: Input<typeof commands.credit>): Posted;
  grantPaper(input: Input<typeof commands.grantPaper>): Posted;
  debit(input: Input<typeof commands.debit>): Posted;
  transfer(input: Input<typeof commands.transfer>): Posted;
  hold(input: Input<typeof commands.hold>): Posted;
  releaseHold(input: Input<typeof commands.releaseHold>): Posted;
  settle(input: Input<typeof commands.settle>): Posted;
  reverse(input: Input<typeof commands.reverse>): Posted;
  openAccounts(input: Input<typeof commands.openAccounts>): Promise<Outcome<true, LedgerRefusal>>;
  defineAsset(input: Input<typeof commands.defineAsset>): Promise<Outcome<true, LedgerRefusal>>;
  expireHolds(limit: number): Promise<number>;
  rollUp(limit: number): Promise<number>;
  balances(owner: string): Promise<queries.Balance[]>;
  houseBalances(house: Parameters<typeof queries.readHouseBalances>[1]): ReturnType<typeof queries.readHouseBalances>;
  openHolds(owner: string): Promise<queries.OpenHold[]>;
  heldMoney(owner: string): Promise<queries.HeldMoney>;
  statement(page: Parameters<typeof queries.readStatement>[1]): Promise<queries.StatementLine[]>;
  ownEntries(page: queries.EntryPage): Promise<queries.OwnEntry[]>;
  eventsSince(page: Parameters<typeof events.readEventsSince>[1]): Promise<events.EventPage>;
  streamSince(page: Parameters<typeof events.readStreamSince>[1]): Promise<events.EventPage>;
  news(readers: readonly events.LogReader[], perReader: number): ReturnType<typeof events.readNews>;
  eventHeads(userIds: readonly string[]): Promise<Map<string, number>>;
  /** How a sweeper finds users whose news nobody was told. */
  usersBehind(readers: readonly events.LogReader[]): Promise<readonly string[]>;
  eventEpoch(): Promise<string>;
  assets(): Promise<Map<string, number>>;
}

export function createLedger(deps: LedgerDeps): Ledger {
  const { database } = deps;
  return {
    post: (command) => commands.post(deps, command),
    credit: (input) => commands.credit(deps, input),
    grantPaper: (input) => commands.grantPaper(deps, input),
    debit: (input) => commands.debit(deps, input),
    transfer: (input) => commands.transfer(deps, input),
    hold: (input) => commands.hold(deps, input),
    releaseHold: (input) => commands.releaseHold(deps, input),
    settle: (input) => commands.settle(deps, input),
    reverse: (input) => commands.reverse(deps, input),
    openAccounts: (input) => commands.openAccounts(deps, input),
    defineAsset: (input) => commands.defineAsset(deps, input),
    expireHolds: (limit) => commands.expireHolds(deps, limit),
    rollUp: (limit) => commands.rollUp(deps, limit),
    balances: (owner) => queries.readBalances(database, owner),
    houseBalances: (house) => queries.readHouseBalances(database, house),
    openHolds: (owner) => queries.readOpenHolds(database, owner),
    heldMoney: (owner) => queries.readHeldMoney(database, owner),
    statement: (page) => queries.readStatement(database, page),
    ownEntries: (page) => queries.readOwnEntries(database, page),
    eventsSince: (page) => events.readEventsSince(database, page),
    streamSince: (page) => events.readStreamSince(database, page),
    news: (readers, perReader) => events.readNews(database, readers, perReader),
    eventHeads: (userIds) => events.readEventHeads(database, userIds),
    usersBehind: (readers) => events.readUsersBehind(database, readers),
    eventEpoch: () => events.readEventEpoch(database),
    assets: () => queries.readAssets(database),
  };
}
