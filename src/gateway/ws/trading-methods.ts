import type { Outcome } from '../../kernel/outcome.ts';
import { accepted } from '../../kernel/outcome.ts';
import type { Principal } from '../../modules/identity/index.ts';
import { createMoneyView } from '../../modules/ledger/index.ts';
import type { MoneyView } from '../../modules/ledger/index.ts';
import type { Caller, OrderDesk } from '../../modules/orders/index.ts';
import type { KeyScope } from '../../protocol/accounts.ts';
import { wireError } from '../../protocol/errors.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import { TRADING_METHODS } from '../../protocol/methods.ts';
import type { TradingMethodName } from '../../protocol/methods.ts';
import type { Connection } from './connection.ts';
import { after } from './deferral.ts';
import type { HubAccounts, HubContext } from './hub-context.ts';
import type { Deferred, Method, MethodOutcome, TradingMethods } from './methods.ts';

/** What somebody may ask again after: a venue that is away, a book that is not fresh. */
const RETRY_AFTER_MS: Partial<Record<ErrorCode, number>> = {
  market_data_stale: 1_000,
  venue_unavailable: 5_000,
  conflict: 50,
  overloaded: 1_000,
};

type Answering = Promise<Outcome<unknown, ErrorCode>>;
/** `caller` is proved; `params` have been checked. */
type Desk<P> = (accounts: HubAccounts & { money: MoneyView }, caller: Caller, params: P) => Answering;
type Needs = Readonly<{ scope: KeyScope; counted: boolean }>;

const LOOKS: Needs = { scope: 'read', counted: false };
const ACTS: Needs = { scope: 'trade', counted: true };

const NEEDS: Readonly<Record<TradingMethodName, Needs>> = {
  'order.place': ACTS,
  'order.place_list': ACTS,
  'order.amend': ACTS,
  // Getting out must never be held up by having asked for too much.
  'order.cancel': { scope: 'trade', counted: false },
  'order.cancel_all': { scope: 'trade', counted: false },
  'order.cancel_after': { scope: 'trade', counted: false },
  'order.quote': LOOKS,
  balances: LOOKS,
};

type Commands = Readonly<{ [M in TradingMethodName]: Desk<Parameters<TradingMethods[M]>[1]> }>;

const COMMANDS: Commands = {
  'order.place': async ({ orders }, caller, { idempotencyKey = null, ...order }) =>
    named('order', await orders.place(caller, order, { idempotencyKey })),
  'order.place_list': ({ orders }, caller, params) => placeList(orders, caller, params),
  'order.amend': async ({ orders }, caller, { orderId, idempotencyKey = null, ...change }) =>
    named('order', await orders.amend(caller, orderId, change, { idempotencyKey })),
  'order.cancel': async ({ orders }, caller, { orderId }) => {
    const canceled = await orders.cancel(caller, orderId);
    return canceled.ok ? accepted({ order: canceled.value }) : canceled;
  },
  'order.cancel_all': async ({ orders }, caller, filter) =>
    accepted({ orders: await orders.cancelAll(caller, filter ?? {}) }),
  'order.cancel_after': ({ orders }, caller, { timeoutMs }) => orders.cancelAfter(caller, timeoutMs),
  'order.quote': ({ orders }, caller, order) => orders.quote(caller, order),
  balances: async ({ money }, { userId }) => accepted({ balances: await money.balances(userId) }),
};

/** The commands of REST, asked for on a socket: same bodies, same codes, same idempotency. */
export function createTradingMethods(context: HubContext): TradingMethods {
  const { accounts } = context;
  const money = accounts && createMoneyView(accounts.ledger);
  const methodOf = (name: TradingMethodName): Method<never> => {
    const { scope, counted } = NEEDS[name];
    const run = COMMANDS[name] as Desk<unknown>;
    return (connection, params): MethodOutcome | Deferred => {
      const { principal } = connection;
      if (accounts === null || money === null || principal === null) return refuse('unauthorized');
      if (!principal.scopes.includes(scope)) {
        const { userId, keyId } = principal;
        const origin = { ...connection.peer, requestId: connection.id };
        accounts.auditRefusal?.({ userId, keyId, route: name, code: 'forbidden' }, origin);
        return refuse('forbidden', `this key may not ${scope}`);
      }
      if (context.isDraining() && counted) return refuse('draining');
      const work = (): Deferred =>
        after(run({ ...accounts, money }, callerOf(principal, connection), params), outcomeOf);
      if (!counted || accounts.countCommand === undefined) return work();
      return after(accounts.countCommand(principal.userId), (retryAfterMs) =>
        retryAfterMs === null ? work() : refuse('rate_limited', undefined, retryAfterMs),
      );
    };
  };
  const names = Object.keys(TRADING_METHODS) as TradingMethodName[];
  return Object.fromEntries(names.map((name) => [name, methodOf(name)])) as TradingMethods;
}

async function placeList(
  orders: OrderDesk,
  caller: Caller,
  params: Parameters<TradingMethods['order.place_list']>[1],
): Answering {
  const { idempotencyKey = null, ...list } = params;
  return named('list', await orders.placeList(caller, list, { idempotencyKey }));
}

function named<T>(
  name: 'order' | 'list',
  done: Outcome<Readonly<{ value: T; repeated: boolean }>, ErrorCode>,
): Outcome<unknown, ErrorCode> {
  return done.ok ? accepted({ [name]: done.value.value, repeated: done.value.repeated }) : done;
}

function callerOf({ userId, keyId }: Principal, connection: Connection): Caller {
  return { userId, actor: keyId === null ? `user ${userId}` : `key ${keyId}`, requestId: connection.id };
}

function outcomeOf(outcome: Outcome<unknown, ErrorCode>): MethodOutcome {
  return outcome.ok ? { ok: true, result: outcome.value } : refuse(outcome.code, outcome.message);
}

function refuse(code: ErrorCode, message?: string, retryAfterMs = RETRY_AFTER_MS[code]): MethodOutcome {
  return { ok: false, error: wireError(code, message, retryAfterMs) };
}
