import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TRADING_RESULTS } from '../../protocol/methods.ts';
import type { TradingMethodName, TradingResult } from '../../protocol/methods.ts';
import { expectSound } from '../../testing/ledger.ts';
import { limitBuy, startTradingServer } from '../../testing/trading-server.ts';
import type { TestUser, TradingServer } from '../../testing/trading-server.ts';
import type { Order } from '../../protocol/trading.ts';
import { RawClient } from './raw-client-contract.ts';
import type { DoorName } from './wire.ts';

let server: TradingServer;
beforeAll(async () => {
  server = await startTradingServer({ limits: { inboundMessagesPerSecond: 100_000, inboundBurst: 100_000 } });
});
afterAll(async () => {
  await expectSound(server.database);
  await server.end();
});

async function enter(door: DoorName, user: TestUser): Promise<RawClient> {
  const client = await new RawClient(door, server.port).welcomed();
  expect((await client.request('authenticate', { token: user.token })).error).toBeUndefined();
  return client;
}

/** The result in its shape, or the error's code. */
async function ask<M extends TradingMethodName>(
  client: RawClient,
  method: M,
  params?: unknown,
): Promise<TradingResult<M>> {
  const { result, error } = await client.request(method, params);
  expect(error, `${method} ${JSON.stringify(error)}`).toBeUndefined();
  return TRADING_RESULTS[method].parse(result) as TradingResult<M>;
}

/** Without what differs between two orders that are the same: whose they are, and when. */
function likeness({
  id: _id,
  createdAt: _c,
  updatedAt: _u,
  clientOrderId: _o,
  version: _v,
  status: _s,
  ...rest
}: Order) {
  return rest;
}

describe.each<DoorName>(['plain', 'socketio'])('%s door', (door) => {
  it('gives the same order as REST for the same body', async () => {
    const user = await server.newUser();
    const client = await enter(door, user);
    for (const body of [
      limitBuy(),
      limitBuy({ type: 'stop_limit', stopPrice: '120', price: '121' }),
      limitBuy({ side: 'sell', price: '130', postOnly: true }),
      limitBuy({ timeInForce: 'GTD', expireAt: Date.now() + 3_600_000 }),
    ]) {
      const { order, repeated } = await ask(client, 'order.place', body);
      const rest = await server.call('POST', '/v1/orders', { token: user.token, body });
      expect(repeated).toBe(false);
      expect(likeness(order)).toEqual(likeness(rest.body as Order));
    }
    const quote = await ask(client, 'order.quote', limitBuy());
    const restQuote = (await server.call('POST', '/v1/orders/quote', { token: user.token, body: limitBuy() })).body;
    const withoutBook = ({ book: _book, ...more }: { book: unknown }) => more;
    expect(withoutBook(quote)).toEqual(withoutBook(restQuote as typeof quote));
    const { orders } = await ask(client, 'order.cancel_all', { venue: 'binance' });
    expect(orders).toHaveLength(8);
    const heldOf = async () => (await ask(client, 'balances')).balances.map(({ held }) => held);
    await expect.poll(heldOf, { timeout: 15_000 }).toEqual(['0', '0']);
    const { body } = await server.call('GET', '/v1/balances', { token: user.token });
    expect(await ask(client, 'balances')).toEqual(body);
    await client.end();
  });

  it('knows the keys of REST, and REST its own', async () => {
    const user = await server.newUser();
    const client = await enter(door, user);
    const idempotencyKey = randomUUID();
    const placed = await ask(client, 'order.place', { ...limitBuy(), idempotencyKey });
    const headers = { 'idempotency-key': idempotencyKey };
    const rest = await server.call('POST', '/v1/orders', { token: user.token, body: limitBuy(), headers });
    expect([rest.status, rest.headers.get('idempotency-hit')]).toEqual([200, 'true']);
    expect(rest.body).toEqual(placed.order);
    const again = await ask(client, 'order.place', { ...limitBuy(), idempotencyKey });
    expect(again).toEqual({ order: placed.order, repeated: true });
    const other = await client.request('order.place', { ...limitBuy({ price: '80' }), idempotencyKey });
    expect(other.error?.code).toBe('key_reused');
    const clientOrderId = 'mine-1';
    const mine = await ask(client, 'order.place', limitBuy({ clientOrderId }));
    const same = await server.call('POST', '/v1/orders', { token: user.token, body: limitBuy({ clientOrderId }) });
    expect([same.status, (same.body as Order).id]).toEqual([200, mine.order.id]);
    await client.end();
  });

  it('a hundred requests with one key, through both ways at once, are one order', async () => {
    const user = await server.newUser();
    const client = await enter(door, user);
    const idempotencyKey = randomUUID();
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => [
        ask(client, 'order.place', { ...limitBuy(), idempotencyKey }).then(({ order, repeated }) => [
          order.id,
          repeated,
        ]),
        server
          .call('POST', '/v1/orders', {
            token: user.token,
            body: limitBuy(),
            headers: { 'idempotency-key': idempotencyKey },
          })
          .then(({ status, body }) => [(body as Order).id, status === 200]),
      ]).flat(),
    );
    expect(new Set(answers.map(([id]) => id)).size).toBe(1);
    expect(answers.filter(([, repeated]) => repeated === false)).toHaveLength(1);
    await client.end();
  });

  it('amends, cancels, lists and watches like REST', async () => {
    const user = await server.newUser();
    const client = await enter(door, user);
    const { order } = await ask(client, 'order.place', limitBuy());
    await expect.poll(async () => (await read(user, order.id)).status, { timeout: 15_000 }).toBe('accepted');
    const amended = await ask(client, 'order.amend', { orderId: order.id, price: '80', idempotencyKey: 'k' });
    expect(amended.repeated).toBe(false);
    await expect.poll(async () => (await read(user, order.id)).price, { timeout: 15_000 }).toBe('80');
    expect((await ask(client, 'order.amend', { orderId: order.id, price: '80', idempotencyKey: 'k' })).repeated).toBe(
      true,
    );
    expect((await ask(client, 'order.cancel', { orderId: order.id })).order.id).toBe(order.id);
    await expect.poll(async () => (await read(user, order.id)).status, { timeout: 15_000 }).toBe('canceled');
    const bracket = {
      kind: 'bracket',
      account: 'paper',
      venue: 'binance',
      symbol: 'BTC/USDT',
      side: 'buy',
      quantity: '1',
      entry: { type: 'limit', price: '90' },
      takeProfit: { price: '120' },
      stopLoss: { stopPrice: '80' },
    };
    const { list } = await ask(client, 'order.place_list', { ...bracket, idempotencyKey: 'l' });
    expect((await ask(client, 'order.place_list', { ...bracket, idempotencyKey: 'l' })).repeated).toBe(true);
    expect(list.orders.length).toBeGreaterThan(1);
    expect((await ask(client, 'order.cancel_after', { timeoutMs: 60_000 })).triggerAt).toBeGreaterThan(Date.now());
    expect((await ask(client, 'order.cancel_after', { timeoutMs: 0 })).triggerAt).toBeNull();
    await client.end();
  });

  it('asks strangers who they are, and keys for their scope', async () => {
    const stranger = await new RawClient(door, server.port).welcomed();
    for (const [method, params] of [
      ['order.place', limitBuy()],
      ['order.quote', limitBuy()],
      ['order.cancel', { orderId: 'x' }],
      ['balances', {}],
    ] as const) {
      expect((await stranger.request(method, params)).error?.code, method).toBe('unauthorized');
    }
    await stranger.end();
  });
});

async function read(user: TestUser, id: string): Promise<Order> {
  return (await server.call('GET', `/v1/orders/${id}`, { token: user.token })).body as Order;
}

it('counts order commands of sockets and REST together, and never holds up a cancel', async () => {
  const slow = await startTradingServer({ setup: { rateLimits: { authPerMinute: 1_000, tradingPerMinute: 4 } } });
  const user = await slow.newUser();
  const client = await new RawClient('plain', slow.port).welcomed();
  await client.request('authenticate', { token: user.token });
  const codes: unknown[] = [];
  for (let count = 0; count < 3; count++) codes.push((await client.request('order.place', limitBuy())).error?.code);
  codes.push((await slow.call('POST', '/v1/orders', { token: user.token, body: limitBuy() })).status);
  const refused = await client.request('order.place', limitBuy());
  expect(codes).toEqual([undefined, undefined, undefined, 201]);
  expect(refused.error).toMatchObject({ code: 'rate_limited', temporary: true, retryAfterMs: expect.any(Number) });
  expect((await slow.call('POST', '/v1/orders', { token: user.token, body: limitBuy() })).status).toBe(429);
  const canceled = await client.request('order.cancel_all');
  expect((canceled.result as { orders: unknown[] }).orders).toHaveLength(4);
  await client.end();
  await slow.end();
});
