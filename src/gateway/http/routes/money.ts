import { z } from 'zod';
import { createMoneyView, paperAsset } from '../../../modules/ledger/index.ts';
import type { HoldView, MoneyView } from '../../../modules/ledger/index.ts';
import { holdOwner } from '../../../modules/orders/index.ts';
import { wireError } from '../../../protocol/errors.ts';
import { LedgerAnswer } from '../../../protocol/trading-answers.ts';
import { BalancesAnswer, HoldsAnswer } from '../../../protocol/trading.ts';
import type { Order } from '../../../protocol/trading.ts';
import type { AccountsContext, AccountsGatewayContext, HttpApp } from '../gateway-context.ts';
import { OPEN_STATUSES, cursor, given, limit, timeQuery } from '../page-query.ts';
import { principalOf } from '../principal.ts';
import { sendProblem } from '../problem.ts';
import { textQuery } from '../query.ts';
import { PROBLEM_RESPONSE } from '../shapes.ts';

const tags = ['money'];
const querystring = z.strictObject({});
const config = { access: { scope: 'read', tier: 'public' } } as const;
/** Orders looked at to explain holds; whoever may have more open orders reads the rest by the hold's reference. */
const EXPLAINED_ORDERS = 500;

const LedgerQuery = z.strictObject({
  asset: textQuery({
    pattern: /^(?:PAPER:)?[A-Z0-9][A-Z0-9._-]{0,31}$/,
    wanted: 'must be the code of an asset, such as PAPER:USDT',
    description: 'Of one asset',
  }),
  kind: textQuery({
    pattern: /^[a-z_]{1,40}$/,
    wanted: 'must be a kind of entry, such as trade',
    description: 'Of one kind',
  }),
  from: timeQuery('Not before this time'),
  to: timeQuery('Not after this time'),
  cursor,
  limit,
});

export function moneyRoutes(app: HttpApp, { accounts }: AccountsGatewayContext): void {
  const money = createMoneyView(accounts.ledger);
  app.route({
    method: 'GET',
    url: '/v1/balances',
    config,
    schema: {
      summary: 'What you have, what of it you can spend, and what is held',
      tags,
      querystring,
      response: { 200: BalancesAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request) => ({ balances: await money.balances(principalOf(request).userId) }),
  });
  app.route({
    method: 'GET',
    url: '/v1/holds',
    config,
    schema: {
      summary: 'Where is my money? Every held unit, with its reason and what gives it back',
      tags,
      querystring,
      response: { 200: HoldsAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request) => explainedHolds(accounts, money, principalOf(request).userId),
  });
  statementRoute(app, money);
}

function statementRoute(app: HttpApp, money: MoneyView): void {
  app.route({
    method: 'GET',
    url: '/v1/ledger',
    config,
    schema: {
      summary: 'Every change of your balances, newest first, with what caused it',
      tags,
      querystring: LedgerQuery,
      response: { 200: LedgerAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const { asset, kind, from, to, cursor: text, limit: count } = request.query;
      const before = text === undefined ? undefined : readCursor(text);
      if (before === null) {
        return sendProblem(
          reply,
          wireError('bad_request', 'querystring.cursor: must be the nextCursor of an earlier page'),
        );
      }
      const { entries, next } = await money.statement({
        owner: principalOf(request).userId,
        limit: count,
        ...given({
          asset: asset && paperAsset(asset),
          kind,
          fromMs: from === undefined ? undefined : Number(from),
          toMs: to === undefined ? undefined : Number(to),
          before,
        }),
      });
      return { entries, nextCursor: next && writeCursor(next) };
    },
  });
}

async function explainedHolds(accounts: AccountsContext, money: MoneyView, userId: string) {
  const { holds, totals } = await money.holds(userId);
  const open =
    holds.length === 0
      ? []
      : await accounts.orders.orders(userId, { statuses: OPEN_STATUSES, limit: EXPLAINED_ORDERS });
  const orders = new Map(open.map((order) => [order.id, order]));
  const explained = holds.map(async (hold) => {
    const id = holdOwner(hold);
    // The legs of a list share a hold, which may name one of them that is over.
    const order = id === null ? null : (orders.get(id) ?? (await accounts.orders.order(userId, id)));
    return { ...hold, ...explanationOf(hold, order) };
  });
  return { holds: await Promise.all(explained), totals: [...totals] };
}

function explanationOf({ purpose, reference }: HoldView, order: Order | null) {
  if (order === null) {
    return { explanation: `${purpose} ${reference}`, release: `when this ${purpose} is over` };
  }
  const { side, quantity, quoteQuantity, symbol, venue, type, price, listId } = order;
  const what = quantity === null ? `${side} ${symbol} for ${quoteQuantity}` : `${side} ${quantity} ${symbol}`;
  const at = price === null ? type : `${type} at ${price}`;
  const within = listId === null ? '' : ', with the other orders of its list';
  return {
    explanation: `order ${order.id}: ${what} on ${venue}, ${at}${within}`,
    release: 'fills use it; what is left comes back when the order is filled, cancelled, expired or rejected',
  };
}

const DIGITS = z.string().regex(/^[0-9]{1,18}$/);
const CursorContent = z.tuple([DIGITS, DIGITS, DIGITS]);
type EntryPosition = NonNullable<Awaited<ReturnType<MoneyView['statement']>>['next']>;

/** A position, not a promise: a forged cursor only starts somewhere else in one's own statement. */
function writeCursor({ journalId, accountId, version }: EntryPosition): string {
  return Buffer.from([journalId, accountId, version].join('.')).toString('base64url');
}

function readCursor(cursor: string): EntryPosition | null {
  const parsed = CursorContent.safeParse(Buffer.from(cursor, 'base64url').toString().split('.'));
  if (!parsed.success) return null;
  const [journalId, accountId, version] = parsed.data;
  return { journalId, accountId, version };
}
