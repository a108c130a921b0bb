import { z } from 'zod';
import { MarketFilter } from '../../../protocol/methods.ts';
import { CancelAfterAnswer, CancelAfterBody, CanceledAnswer, OrdersAnswer } from '../../../protocol/trading-answers.ts';
import {
  AmendOrderBody,
  ClientOrderId,
  OrderSchema,
  PlaceOrderBody,
  QuoteBody,
  QuoteSchema,
} from '../../../protocol/trading.ts';
import type { AccountsGatewayContext, HttpApp } from '../gateway-context.ts';
import { IdempotencyHeader, callerOf, requestKeyOf, sendDone, sendNotFound, sendOutcome } from '../order-commands.ts';
import { cursor, given, limit, pageOf, statuses, statusesIn, symbol, venue } from '../page-query.ts';
import { principalOf } from '../principal.ts';
import { IdPath, PROBLEM_RESPONSE } from '../shapes.ts';

const tags = ['orders'];
const querystring = z.strictObject({});
const LOOK = { access: { scope: 'read', tier: 'public' } } as const;
const TRADE = { access: { scope: 'trade', tier: 'trading' } } as const;
/** Getting out must never be held up by having asked for too much. */
const CANCEL = { access: { scope: 'trade', tier: 'public' } } as const;

const OrdersQuery = z.strictObject({
  venue,
  symbol,
  status: statuses,
  clientOrderId: ClientOrderId.optional(),
  cursor,
  limit,
});

export function orderRoutes(app: HttpApp, context: AccountsGatewayContext): void {
  placeRoute(app, context);
  readRoutes(app, context);
  changeRoutes(app, context);
  cancelRoutes(app, context);
}

function placeRoute(app: HttpApp, { accounts: { orders } }: AccountsGatewayContext): void {
  app.route({
    method: 'POST',
    url: '/v1/orders',
    config: TRADE,
    schema: {
      summary: 'Place an order',
      description:
        'Answers once the order is durable; what follows comes on the stream `orders`. The same Idempotency-Key (or clientOrderId) ' +
        'and body are answered the same again, with 200 and the header Idempotency-Hit; with another body, or in another request ' +
        'about orders or lists, the key is refused. The clientOrderId of a list is kept apart from those of orders.',
      tags,
      querystring,
      headers: IdempotencyHeader,
      body: PlaceOrderBody,
      response: { 200: OrderSchema, 201: OrderSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) =>
      sendDone(reply, await orders.place(callerOf(request), request.body, requestKeyOf(request)), 201),
  });
  app.route({
    method: 'POST',
    url: '/v1/orders/quote',
    config: LOOK,
    schema: {
      summary: 'What an order would do now; places nothing',
      tags,
      querystring,
      body: QuoteBody,
      response: { 200: QuoteSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => sendOutcome(reply, await orders.quote(callerOf(request), request.body)),
  });
}

function readRoutes(app: HttpApp, { accounts: { orders } }: AccountsGatewayContext): void {
  app.route({
    method: 'GET',
    url: '/v1/orders',
    config: LOOK,
    schema: {
      summary: 'Your orders, newest first',
      tags,
      querystring: OrdersQuery,
      response: { 200: OrdersAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request) => {
      const { status, cursor: before, limit: count, ...filter } = request.query;
      const wanted = status === undefined ? undefined : (statusesIn(status) ?? undefined);
      const found = await orders.orders(principalOf(request).userId, {
        ...given({ ...filter, before, statuses: wanted }),
        limit: count + 1,
      });
      const page = pageOf(found, count, ({ id }) => id);
      return { orders: page.entries, nextCursor: page.nextCursor };
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/orders/:id',
    config: LOOK,
    schema: {
      summary: 'One order',
      tags,
      params: IdPath,
      querystring,
      response: { 200: OrderSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const order = await orders.order(principalOf(request).userId, request.params.id);
      return order ?? sendNotFound(reply);
    },
  });
}

function changeRoutes(app: HttpApp, { accounts: { orders } }: AccountsGatewayContext): void {
  app.route({
    method: 'PATCH',
    url: '/v1/orders/:id',
    config: TRADE,
    schema: {
      summary: 'Change an order that waits or works',
      tags,
      params: IdPath,
      querystring,
      headers: IdempotencyHeader,
      body: AmendOrderBody,
      response: { 200: OrderSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const { params, body } = request;
      return sendDone(reply, await orders.amend(callerOf(request), params.id, body, requestKeyOf(request)), 200);
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/orders/cancel-after',
    config: CANCEL,
    schema: {
      summary: "Dead man's switch: cancels all your orders unless called again in time",
      tags,
      querystring,
      body: CancelAfterBody,
      response: { 200: CancelAfterAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) =>
      sendOutcome(reply, await orders.cancelAfter(callerOf(request), request.body.timeoutMs)),
  });
}

function cancelRoutes(app: HttpApp, { accounts: { orders } }: AccountsGatewayContext): void {
  app.route({
    method: 'DELETE',
    url: '/v1/orders/:id',
    config: CANCEL,
    schema: {
      summary: 'Cancel an order, and with it its siblings in a list',
      description: 'May be repeated: what is being cancelled already is answered as it is.',
      tags,
      params: IdPath,
      querystring,
      response: { 200: OrderSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => sendOutcome(reply, await orders.cancel(callerOf(request), request.params.id)),
  });
  app.route({
    method: 'DELETE',
    url: '/v1/orders',
    config: CANCEL,
    schema: {
      summary: 'Cancel all your open orders, or those of a venue or market',
      tags,
      querystring: MarketFilter,
      response: { 200: CanceledAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request) => ({ orders: [...(await orders.cancelAll(callerOf(request), request.query))] }),
  });
}
