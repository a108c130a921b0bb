import { z } from 'zod';
import { FillsAnswer } from '../../../protocol/trading-answers.ts';
import { OrderListSchema, PlaceListBody } from '../../../protocol/trading.ts';
import type { AccountsGatewayContext, HttpApp } from '../gateway-context.ts';
import { IdempotencyHeader, callerOf, requestKeyOf, sendDone, sendNotFound, sendOutcome } from '../order-commands.ts';
import { cursor, given, limit, orderId, pageOf, symbol, venue } from '../page-query.ts';
import { principalOf } from '../principal.ts';
import { IdPath, PROBLEM_RESPONSE } from '../shapes.ts';

const tags = ['orders'];
const querystring = z.strictObject({});
const LOOK = { access: { scope: 'read', tier: 'public' } } as const;
const TRADE = { access: { scope: 'trade', tier: 'trading' } } as const;
const CANCEL = { access: { scope: 'trade', tier: 'public' } } as const;

export function orderListRoutes(app: HttpApp, { accounts: { orders } }: AccountsGatewayContext): void {
  app.route({
    method: 'POST',
    url: '/v1/order-lists',
    config: TRADE,
    schema: {
      summary: 'Place orders that depend on each other: one cancels the other, or a bracket',
      tags,
      querystring,
      headers: IdempotencyHeader,
      body: PlaceListBody,
      response: { 200: OrderListSchema, 201: OrderListSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) =>
      sendDone(reply, await orders.placeList(callerOf(request), request.body, requestKeyOf(request)), 201),
  });
  app.route({
    method: 'GET',
    url: '/v1/order-lists/:id',
    config: LOOK,
    schema: {
      summary: 'One list and its orders',
      tags,
      params: IdPath,
      querystring,
      response: { 200: OrderListSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const list = await orders.orderList(principalOf(request).userId, request.params.id);
      return list ?? sendNotFound(reply);
    },
  });
  app.route({
    method: 'DELETE',
    url: '/v1/order-lists/:id',
    config: CANCEL,
    schema: {
      summary: 'Cancel what is left of a list',
      tags,
      params: IdPath,
      querystring,
      response: { 200: OrderListSchema, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) =>
      sendOutcome(reply, await orders.cancelList(callerOf(request), request.params.id)),
  });
}

const FillsQuery = z.strictObject({ orderId, venue, symbol, cursor, limit });

export function fillRoutes(app: HttpApp, { accounts: { orders } }: AccountsGatewayContext): void {
  app.route({
    method: 'GET',
    url: '/v1/fills',
    config: LOOK,
    schema: {
      summary: 'Your fills, newest first, each with the book position it was made from',
      tags,
      querystring: FillsQuery,
      response: { 200: FillsAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async (request) => {
      const { cursor: before, limit: count, ...filter } = request.query;
      const found = await orders.fills(principalOf(request).userId, {
        ...given({ ...filter, before }),
        limit: count + 1,
      });
      const page = pageOf(found, count, ({ id }) => id);
      return { fills: page.entries, nextCursor: page.nextCursor };
    },
  });
}
