import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Reply } from '../../testing/accounts-server.ts';
import { expectSound } from '../../testing/ledger.ts';
import { RawClient } from '../ws/raw-client-contract.ts';
import type { RawReply } from '../ws/raw-client-contract.ts';
import { freshKey, limitBuy, startTradingServer } from '../../testing/trading-server.ts';
import type { TestUser, TradingServer } from '../../testing/trading-server.ts';
import type { OrderList } from '../../protocol/trading.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- a parsed document, whose shape is what is tested
type Json = Record<string, any>;

let server: TradingServer;
let ada: TestUser;
let bob: TestUser;
let socket: RawClient;

beforeAll(async () => {
  // A socket may send 20 messages a second; here it is to be asked thousands of things.
  server = await startTradingServer({ limits: { inboundMessagesPerSecond: 100_000, inboundBurst: 100_000 } });
  [ada, bob] = [await server.newUser(), await server.newUser()];
  socket = await new RawClient('plain', server.port).welcomed();
  await socket.request('authenticate', { token: bob.token });
});
afterAll(async () => {
  await socket.end();
  await expectSound(server.database);
  await server.end();
});

function call(user: TestUser, method: string, path: string, body?: unknown): Promise<Reply> {
  return server.call(method, path, { token: user.token, ...(body === undefined ? {} : { body }) });
}

function ask(method: string, params: unknown): Promise<RawReply> {
  return socket.request(method, params);
}

const EXAMPLES: Readonly<Record<string, object>> = {
  'POST /v1/orders': limitBuy(),
  'POST /v1/orders/quote': limitBuy(),
  'PATCH /v1/orders/{id}': { price: '80' },
  'POST /v1/orders/cancel-after': { timeoutMs: 0 },
  'POST /v1/order-lists': {
    kind: 'oco',
    account: 'paper',
    venue: 'binance',
    symbol: 'BTC/USDT',
    side: 'sell',
    quantity: '1',
    limit: { price: '120' },
    stop: { stopPrice: '80' },
  },
  'POST /v1/paper/funds': { asset: 'USDT', amount: '1' },
  'PUT /v1/admin/trading-switch': { venue: null, state: 'active', reason: '' },
};
/** The body as a socket sends it, and the method. */
const METHODS: Readonly<Record<string, [method: string, more: object]>> = {
  'POST /v1/orders': ['order.place', {}],
  'POST /v1/orders/quote': ['order.quote', {}],
  'PATCH /v1/orders/{id}': ['order.amend', { orderId: 'x' }],
  'POST /v1/orders/cancel-after': ['order.cancel_after', {}],
  'POST /v1/order-lists': ['order.place_list', {}],
};

async function operations(): Promise<{ method: string; path: string; operation: Json }[]> {
  const document = (await server.gateway.app.inject('/openapi.json')).json() as Json;
  return Object.entries<Json>(document.paths).flatMap(([path, item]) =>
    Object.entries<Json>(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
}

describe("other people's things", () => {
  it('do not exist, whichever address of the OpenAPI document has an id', async () => {
    const order = (await call(ada, 'POST', '/v1/orders', limitBuy())).body as { id: string };
    const list = (await call(ada, 'POST', '/v1/order-lists', EXAMPLES['POST /v1/order-lists'])).body as OrderList;
    const ids: Record<string, string[]> = {
      '/v1/orders/{id}': [order.id, list.orders[0]!.id],
      '/v1/order-lists/{id}': [list.id],
    };
    const foreign = [
      '0',
      '-1',
      String(2n ** 63n),
      ada.userId,
      'x'.repeat(64),
      'x'.repeat(65),
      '..%2f',
      '%00',
      '%F0%9F%92%A9',
      "'",
    ];
    const guarded = (await operations()).filter(({ path }) => path.includes('{id}') && !path.startsWith('/v1/auth'));
    expect(guarded.map(({ method, path }) => `${method} ${path}`).toSorted()).toEqual([
      'DELETE /v1/order-lists/{id}',
      'DELETE /v1/orders/{id}',
      'GET /v1/order-lists/{id}',
      'GET /v1/orders/{id}',
      'PATCH /v1/orders/{id}',
    ]);
    for (const { method, path } of guarded) {
      for (const id of [...ids[path]!, ...foreign]) {
        const answer = await call(bob, method, path.replace('{id}', id), EXAMPLES[`${method} ${path}`]);
        expect([answer.status, (answer.body as Json).code], `${method} ${path} ${id}`).toEqual([404, 'not_found']);
      }
      const own = await call(ada, 'GET', path.replace('{id}', ids[path]![0]!));
      expect(own.status).toBe(200);
    }
    for (const [method, params] of [
      ['order.cancel', { orderId: order.id }],
      ['order.amend', { orderId: order.id, price: '80' }],
    ] as const) {
      expect((await ask(method, params)).error?.code, method).toBe('not_found');
    }
    expect((await ask('order.cancel_all', {})).result).toEqual({ orders: [] });
    const seen = (await call(ada, 'GET', `/v1/orders/${order.id}`)).body as { status: string; price: string };
    expect([seen.status, seen.price]).toEqual([expect.stringMatching(/submitted|accepted/), '90']);
  });

  it('do not show in lists, whatever filter or cursor of theirs is given', async () => {
    const order = (await call(ada, 'POST', '/v1/orders', limitBuy())).body as { id: string };
    for (const path of [
      `/v1/orders?cursor=${order.id}`,
      `/v1/fills?orderId=${order.id}`,
      `/v1/fills?cursor=${order.id}`,
      '/v1/orders?cursor=anything',
      '/v1/fills?cursor=anything',
    ]) {
      const answer = await call(bob, 'GET', path);
      expect(answer.status, path).toBe(200);
      expect(answer.text, path).not.toContain(order.id);
    }
    for (const cursor of [
      'a',
      'MS4y',
      Buffer.from('1.2.3.4').toString('base64url'),
      Buffer.from('1.-2.3').toString('base64url'),
    ]) {
      expect((await call(bob, 'GET', `/v1/ledger?cursor=${cursor}`)).status, cursor).toBe(400);
    }
  });

  it('are behind a proof of identity, at every address but the public ones', async () => {
    const open = /^\/v1\/(?:venues|markets|auth\/(?:login|register|refresh))/;
    for (const { method, path, operation } of await operations()) {
      if (open.test(path)) continue;
      expect(operation.security, path).toContainEqual({ bearer: [] });
      const answer = await server.call(method, path.replace('{id}', 'x'), {
        ...(EXAMPLES[`${method} ${path}`] && { body: EXAMPLES[`${method} ${path}`] }),
      });
      expect([answer.status, (answer.body as Json).code], `${method} ${path}`).toEqual([401, 'unauthorized']);
    }
  });
});

describe('what a body may hold', () => {
  const extras = [
    'userId',
    'status',
    'balance',
    'role',
    'fee',
    'feeRates',
    'createdAt',
    'id',
    'simulated',
    'idempotencyKey',
  ];

  it('is what its schema has, and nothing besides, at every address that takes one', async () => {
    const taking = (await operations()).filter(({ operation }) => operation.requestBody !== undefined);
    const ours = taking.filter(({ path }) => !path.startsWith('/v1/auth') && path !== '/v1/admin/users/roles');
    expect(ours.map(({ method, path }) => `${method} ${path}`).toSorted()).toEqual(Object.keys(EXAMPLES).toSorted());
    for (const { method, path } of ours) {
      if (path.startsWith('/v1/admin')) continue;
      const body = EXAMPLES[`${method} ${path}`]!;
      for (const extra of extras) {
        const answer = await call(bob, method, path.replace('{id}', 'x'), { ...body, [extra]: 'x' });
        expect(answer.status, `${method} ${path} ${extra}`).toBe(400);
      }
      for (const key of ['__proto__', 'constructor', 'prototype']) {
        const text = `{"${key}":{"x":1},${JSON.stringify(body).slice(1)}`;
        expect((await call(bob, method, path.replace('{id}', 'x'), text)).status, `${method} ${path} ${key}`).toBe(400);
      }
    }
    expect(({} as Json).x).toBeUndefined();
  });

  it('is the same on a socket', async () => {
    for (const [address, [method, more]] of Object.entries(METHODS)) {
      for (const extra of extras.filter((each) => each !== 'idempotencyKey')) {
        const reply = await ask(method, { ...EXAMPLES[address], ...more, [extra]: 'x' });
        expect(reply.error?.code, `${method} ${extra}`).toBe('bad_request');
      }
      socket.text(
        `{"id":"proto ${method}","method":"${method}","params":{"__proto__":{"x":1},${JSON.stringify({ ...EXAMPLES[address], ...more }).slice(1)}}`,
      );
      await expect.poll(() => socket.reply(`proto ${method}`)?.error?.code).toBe('bad_request');
    }
    expect(({} as Json).x).toBeUndefined();
  });

  it('is asked for by queries that are strict as well', async () => {
    for (const query of [
      'limit=0',
      'limit=-1',
      'limit=1e9',
      'limit=201',
      'limit=1&limit=2',
      'limit[]=1',
      'a[__proto__]=1',
      'status=nonsense',
      'status=open,filled',
      'status=__proto__',
      'userId=x',
      'cursor=%00',
      'symbol=%00',
      'clientOrderId=a%20b',
    ]) {
      expect((await call(bob, 'GET', `/v1/orders?${query}`)).status, query).toBe(400);
    }
    for (const path of [
      '/v1/sync?since=-1',
      '/v1/sync?since=1.5',
      '/v1/sync?since=1&since=2',
      '/v1/portfolio/history?from=2&to=1',
      '/v1/portfolio/statistics?from=%2B275760',
      '/v1/ledger?from=2026-02-30',
      '/v1/ledger?kind=%27',
      '/v1/balances?x=1',
    ]) {
      expect((await call(bob, 'GET', path)).status, path).toBe(400);
    }
    expect((await call(bob, 'GET', '/v1/sync?since=999999999999999')).status).toBe(200);
  });
});

/** What no amount is, at no entry. */
const NOT_AMOUNTS: unknown[] = [
  '1e309',
  '-1e309',
  '1e-400',
  'NaN',
  'Infinity',
  '-0',
  -0,
  0,
  '0.0',
  '0',
  '00.1',
  '+1',
  '-1',
  '.5',
  '5.',
  '1e5',
  '1E-8',
  '1e1000000000',
  '0x1f',
  '0b11',
  '1_000',
  '1,000',
  '1.000,5',
  ' 1 ',
  '1\n',
  '１２',
  '١٢',
  '²',
  '',
  null,
  [],
  ['5'],
  {},
  true,
  1,
  1.5,
  9_007_199_254_740_992,
  '0.1000000000000000055511151231257827',
  `${'1'.repeat(40)}.${'1'.repeat(40)}`,
  '0.0000000000000000001',
  '9'.repeat(10_000),
];

describe('an amount', () => {
  const places: [address: string, put: (amount: unknown) => object][] = [
    ['POST /v1/orders', (quantity) => ({ ...limitBuy(), quantity })],
    ['POST /v1/orders', (price) => ({ ...limitBuy(), price })],
    ['POST /v1/orders', (stopPrice) => ({ ...limitBuy({ type: 'stop_limit' }), stopPrice })],
    [
      'POST /v1/orders',
      (quoteQuantity) => ({ ...limitBuy({ type: 'market' }), price: undefined, quantity: undefined, quoteQuantity }),
    ],
    ['POST /v1/orders', (protectionPrice) => ({ ...limitBuy({ type: 'market' }), price: undefined, protectionPrice })],
    [
      'POST /v1/orders',
      (activationPrice) => ({
        ...limitBuy({ type: 'trailing_stop', trailingDelta: 100 }),
        price: undefined,
        activationPrice,
      }),
    ],
    ['POST /v1/orders/quote', (quantity) => ({ ...limitBuy(), quantity })],
    ['POST /v1/orders/quote', (price) => ({ ...limitBuy(), price })],
    ['PATCH /v1/orders/{id}', (price) => ({ price })],
    ['PATCH /v1/orders/{id}', (quantity) => ({ quantity })],
    ['POST /v1/order-lists', (quantity) => ({ ...EXAMPLES['POST /v1/order-lists'], quantity })],
    ['POST /v1/order-lists', (price) => ({ ...EXAMPLES['POST /v1/order-lists'], limit: { price } })],
    ['POST /v1/order-lists', (stopPrice) => ({ ...EXAMPLES['POST /v1/order-lists'], stop: { stopPrice } })],
    ['POST /v1/paper/funds', (amount) => ({ asset: 'USDT', amount })],
  ];

  it.each(places)('that is none is refused with a code by %s (%#)', async (address, put) => {
    const [method, path] = address.split(' ') as [string, string];
    const before = (await call(bob, 'GET', '/v1/balances')).text;
    for (const amount of NOT_AMOUNTS) {
      const body = put(amount);
      const answer = await call(bob, method, path.replace('{id}', 'x'), body);
      const what = JSON.stringify(amount).slice(0, 60);
      expect([400, 422], `${address} ${what}: ${answer.text}`).toContain(answer.status);
      expect((answer.body as Json).code, what).toMatch(/^(bad_request|invalid_amount)$/);
    }
    expect((await call(bob, 'GET', '/v1/balances')).text).toBe(before);
    expect(((await call(bob, 'GET', '/v1/orders')).body as { orders: unknown[] }).orders).toEqual([]);
  });

  it.each(places.filter(([address]) => address in METHODS))('is so on a socket, for %s (%#)', async (address, put) => {
    const [method, more] = METHODS[address]!;
    for (const amount of NOT_AMOUNTS) {
      const reply = await ask(method, { ...put(amount), ...more });
      expect(reply.error?.code, `${method} ${JSON.stringify(amount).slice(0, 60)}`).toMatch(
        /^(bad_request|invalid_amount)$/,
      );
    }
  });

  it('a unit beyond what there is, or beyond what a market takes, has a code of its own', async () => {
    const codeOf = async (body: object) => ((await call(ada, 'POST', '/v1/orders', body)).body as Json).code;
    const poor = await server.newUser();
    const all = limitBuy({ quantity: '1000.001', price: '100' });
    expect(((await call(poor, 'POST', '/v1/orders', all)).body as Json).code).toBe('insufficient_funds');
    expect(await codeOf(limitBuy({ price: '90.001' }))).toBe('price_off_tick');
    expect(await codeOf(limitBuy({ quantity: '0.0001' }))).toMatch(/quantity_off_lot|below_minimum/);
    expect(await codeOf(limitBuy({ quantity: '0.001' }))).toBe('below_minimum');
    expect(await codeOf(limitBuy({ symbol: 'NO/SUCH' }))).toBe('unknown_symbol');
    expect(await codeOf(limitBuy({ venue: 'nowhere' }))).toBe('unknown_venue');
    const headers = freshKey();
    const first = await server.call('POST', '/v1/orders', {
      token: ada.token,
      body: limitBuy({ price: '90.001' }),
      headers,
    });
    expect(first.status).toBe(422);
    const mended = await server.call('POST', '/v1/orders', { token: ada.token, body: limitBuy(), headers });
    expect(mended.status, 'a refusal leaves the key free').toBe(201);
  });
});
