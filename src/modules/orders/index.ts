import { accepted, refused } from '../../kernel/outcome.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/postgres.ts';
import type { Signals } from '../../platform/signals.ts';
import type { Ledger, UserEvent } from '../ledger/index.ts';
import type { MarketDirectory } from '../market/index.ts';
import { amendOrder } from './amendments.ts';
import { createAssetBook } from './assets.ts';
import type { BookSource } from './books.ts';
import { cancelOrder, cancelWhere, place } from './commands.ts';
import type { CommandDeps, OrderLimits } from './commands.ts';
import type { ExecutionDesk, OrderDesk } from './desk.ts';
import { createSteps } from './execution.ts';
import { cancelAfter, expireDeadMen, expireOverdue } from './housekeeping.ts';
import { createIds, isOrderId } from './ids.ts';
import { placeList } from './list-placement.ts';
import * as queries from './queries.ts';
import { quoteOrder } from './quotes.ts';
import { createSettings } from './settings.ts';
import type { TradingSettings } from './settings.ts';
import { checkTrigger } from './trigger-check.ts';
import { createWakes } from './wakes.ts';

export type { BookSource, BookView } from './books.ts';
export type { OrderLimits } from './commands.ts';
export type {
  Caller,
  Done,
  EngineFill,
  EngineNote,
  Executed,
  ExecutionDesk,
  ExecutionRefusal,
  FillFilter,
  OrderDesk,
  OrderFilter,
  OrderRef,
  RequestKey,
  WorkingOrder,
} from './desk.ts';
export { budgetOf, holdOwner } from './explanations.ts';
export { ENDED, nextStatus, ORDER_EVENTS, TRANSITIONS } from './machine.ts';
export type { OrderEvent, Transition } from './machine.ts';
export { createLiveBooks } from './live-books.ts';
export type { LiveBooks } from './live-books.ts';
export { selectOpenOrders } from './open-orders.ts';
export { createPaperEngine, PAPER_MODEL_VERSION } from './paper/paper-engine.ts';
export type { PaperEngineDeps } from './paper/paper-engine.ts';
export type { FeeRule, TradingSettings, TradingState, TradingSwitch } from './settings.ts';

export type OrdersDeps = Readonly<{
  database: Database;
  ledger: Ledger;
  directory: MarketDirectory;
  books: BookSource;
  signals: Signals;
  clock: Clock;
  log: Log;
  /** Told after commit, in order per call; the log in the database is the truth. Must not throw. */
  tell: (events: readonly UserEvent[]) => void;
  /** Open orders that a user may have, in all and in one market. */
  limits?: OrderLimits;
  /** Of the paper engine: what a simulated order is said to be simulated with. */
  modelVersion?: string;
  /** The engine's name in the audit trail; default `paper`. */
  engine?: string;
}>;
export type Orders = Readonly<{
  desk: OrderDesk;
  execution: ExecutionDesk;
  settings: TradingSettings;
  /** For jobs: each answers how many it found; call again while that is the limit. */
  expireDeadMen(limit: number): Promise<number>;
  expireOverdue(limit: number): Promise<number>;
  stop(): void;
}>;

const DEFAULT_LIMITS: OrderLimits = { user: 200, market: 100 };

export function createOrders(given: OrdersDeps): Orders {
  const { database, ledger, directory, books, signals, clock, log, tell } = given;
  const wakes = createWakes({ database, signals, log });
  const deps: CommandDeps = {
    database,
    ledger,
    directory,
    books,
    tell,
    assets: createAssetBook(ledger),
    limits: given.limits ?? DEFAULT_LIMITS,
    newId: createIds(clock),
    now: () => clock.now(),
    modelVersion: given.modelVersion ?? null,
    wake: wakes.wake,
  };
  const steps = createSteps(
    { ...deps, checkTrigger: (ref) => checkTrigger(deps, ref.orderId) },
    given.engine ?? 'paper',
  );
  return {
    desk: createDesk(deps),
    execution: {
      ...steps,
      workingOrders: (market) => queries.readWorkingOrders(database, market),
      workingMarkets: () => queries.readWorkingMarkets(database),
      commandsSince: wakes.commandsSince,
      onCommand: wakes.onCommand,
    },
    settings: createSettings(database),
    expireDeadMen: (limit) => expireDeadMen(deps, limit),
    expireOverdue: (limit) => expireOverdue(deps, steps, limit),
    stop: () => wakes.stop(),
  };
}

function createDesk(deps: CommandDeps): OrderDesk {
  const { database } = deps;
  return {
    place: (caller, order, key) => place(deps, caller, order, key),
    placeList: (caller, list, key) => placeList(deps, caller, list, key),
    amend: (caller, orderId, change, key) => amendOrder(deps, caller, orderId, change, key),
    cancel: (caller, orderId) => cancelOrder(deps, caller, orderId),
    async cancelList(caller, listId) {
      const before = await queries.readOrderList(database, caller.userId, listId);
      if (before === null || !isOrderId(listId)) return refused('not_found', 'there is no such list');
      const outcome = await cancelWhere(deps, caller, { listId });
      if (!outcome.ok) return outcome;
      return accepted((await queries.readOrderList(database, caller.userId, listId)) ?? before);
    },
    async cancelAll(caller, { venue, symbol }) {
      const target = { ...(venue === undefined ? {} : { venue }), ...(symbol === undefined ? {} : { symbol }) };
      const outcome = await cancelWhere(deps, caller, target);
      return outcome.ok ? outcome.value.map((work) => work.order) : [];
    },
    cancelAfter: (caller, timeoutMs) => cancelAfter(deps, caller, timeoutMs),
    quote: (caller, order) => quoteOrder(deps, caller.userId, order),
    order: (userId, orderId) => queries.readOrder(database, userId, orderId),
    orderList: (userId, listId) => queries.readOrderList(database, userId, listId),
    orders: (userId, filter) => queries.readOrders(database, userId, filter),
    fills: (userId, filter) => queries.readFills(database, userId, filter),
  };
}
