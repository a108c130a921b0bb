import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectSound } from '../../testing/ledger.ts';
import { freshKey, limitBuy, startTradingServer } from '../../testing/trading-server.ts';
import type { TestUser, TradingServer } from '../../testing/trading-server.ts';
import type { Call, Reply } from '../../testing/accounts-server.ts';
import {
  AdminStatusSchema,
  FillsAnswer,
  LedgerAnswer,
  LedgerCheckSchema,
  OrdersAnswer,
} from '../../protocol/trading-answers.ts';
import {
  BalancesAnswer,
  HoldsAnswer,
  OrderListSchema,
  OrderSchema,
  PortfolioSchema,
  QuoteSchema,
  StatisticsSchema,
  SyncAnswer,
} from '../../protocol/trading.ts';
import type { Order } from '../../protocol/trading.ts';

let server: TradingServer;
let ada: TestUser;
let bob: TestUser;

beforeAll(async () => {
  server = await startTradingServer();
  [ada, bob] = [await server.newUser(), await server.newUser()];
});
afterAll(async () => {
  await expectSound(server.database);
  await server.end();
});

function call(user: TestUser, method: string, path: string, body?: unknown, more: Call = {}): Promise<Reply> {
  return server.call(method, path, { token: user.token, ...(body === undefined ? {} : { body }), ...more });
}

function codeOf(reply: Reply): [number, string] {
  return [reply.status, (reply.body as { code: string }).code];
}

async function place(user: TestUser, changes: Parameters<typeof limitBuy>[0] = {}): Promise<Order> {
  const answer = await call(user, 'POST', '/v1/orders', limitBuy(changes));
  expect(answer.status, answer.text).toBe(201);
  return OrderSchema.parse(answer.body);
}

async function read(user: TestUser, id: string): Promise<Order> {
  return OrderSchema.parse((await call(user, 'GET', `/v1/orders/${id}`)).body);
}

async function becomes(user: TestUser, id: string, status: string): Promise<Order> {
  await expect.poll(async () => (await read(user, id)).status, { timeout: 15_000 }).toBe(status);
  return read(user, id);
}

describe('an order over REST', () => {
  it('is quoted, placed, filled at what was quoted, and shows in every account of it', async () => {
    const user = await server.newUser();
    const wish = { ...limitBuy({ type: 'market', quantity: '3' }) };
    delete wish.price;
    const quote = QuoteSchema.parse((await call(user, 'POST', '/v1/orders/quote', wish)).body);
    expect(quote).toMatchObject({ complete: true, worstPrice: '100.02', problem: null });
    const placed = await call(user, 'POST', '/v1/orders', wish);
    expect([placed.status, placed.headers.get('idempotency-hit')]).toEqual([201, null]);
    const filled = await becomes(user, OrderSchema.parse(placed.body).id, 'filled');
    expect(filled).toMatchObject({ filledQuantity: '3', simulated: true, hold: null });
    const { fills } = FillsAnswer.parse((await call(user, 'GET', `/v1/fills?orderId=${filled.id}`)).body);
    expect(fills.map(({ price, quantity }) => [price, quantity])).toEqual([
      ['100.02', '1'],
      ['100.01', '2'],
    ]);
    const { balances } = BalancesAnswer.parse((await call(user, 'GET', '/v1/balances')).body);
    const spent = Number(quote.pay.amount);
    expect(balances).toMatchObject([
      { asset: 'PAPER:BTC', total: '12.997', held: '0' },
      { asset: 'PAPER:USDT', total: String(100_000 - spent), held: '0' },
    ]);
    const portfolio = PortfolioSchema.parse((await call(user, 'GET', '/v1/portfolio')).body);
    expect(portfolio).toMatchObject({ unvalued: [], positions: [{ base: 'PAPER:BTC', quantity: '2.997' }] });
    const statistics = StatisticsSchema.parse((await call(user, 'GET', '/v1/portfolio/statistics')).body);
    expect(statistics).toMatchObject({ orders: 1, fills: 2 });
    expect((await call(user, 'GET', '/v1/portfolio/history')).status).toBe(200);
  });

  it('waits with its money held and explained, is changed, cancelled, and found again page by page', async () => {
    const user = await server.newUser();
    const orders: Order[] = [];
    for (const price of ['90', '91', '92']) orders.push(await place(user, { price, quantity: '1' }));
    const [first] = orders;
    await becomes(user, first!.id, 'accepted');
    const holds = HoldsAnswer.parse((await call(user, 'GET', '/v1/holds')).body);
    expect(holds.totals).toHaveLength(1);
    expect(holds.totals[0]!.held).toBe(holds.totals[0]!.explained);
    expect(holds.holds[0]).toMatchObject({ purpose: 'order' });
    expect(holds.holds[0]!.explanation).toContain(`buy 1 BTC/USDT`);
    const amended = await call(user, 'PATCH', `/v1/orders/${first!.id}`, { price: '80' }, { headers: freshKey() });
    expect(amended.status, amended.text).toBe(200);
    await expect.poll(async () => (await read(user, first!.id)).price, { timeout: 15_000 }).toBe('80');

    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const path: string = `/v1/orders?status=open&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`;
      const page = OrdersAnswer.parse((await call(user, 'GET', path)).body);
      seen.push(...page.orders.map(({ id }) => id));
      cursor = page.nextCursor;
    }
    expect(seen).toEqual(orders.map(({ id }) => id).toReversed());

    expect((await call(user, 'DELETE', `/v1/orders/${first!.id}`)).status).toBe(200);
    await becomes(user, first!.id, 'canceled');
    const rest = await call(user, 'DELETE', '/v1/orders?venue=binance&symbol=BTC%2FUSDT');
    expect((rest.body as { orders: unknown[] }).orders).toHaveLength(2);
    for (const { id } of orders) await becomes(user, id, 'canceled');
    expect((await call(user, 'GET', '/v1/holds')).body).toEqual({ holds: [], totals: [] });
    expect(codeOf(await call(user, 'PATCH', `/v1/orders/${first!.id}`, { price: '70' }))).toEqual([
      409,
      'order_closed',
    ]);

    const statement: string[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const path: string = `/v1/ledger?asset=USDT&limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`;
      const page = LedgerAnswer.parse((await call(user, 'GET', path)).body);
      statement.push(...page.entries.map(({ version, held }) => `${version} ${held}`));
      cursor = page.nextCursor;
    }
    expect(statement.at(-1)).toBe('1 0');
    expect(statement[0]).toMatch(/ 0$/);
    expect(statement.map((line) => Number(line.split(' ')[0]))).toEqual(
      Array.from({ length: statement.length }, (_, index) => statement.length - index),
    );
    const grants = LedgerAnswer.parse((await call(user, 'GET', '/v1/ledger?kind=grant')).body);
    expect(grants.entries.map(({ asset }) => asset).toSorted()).toEqual(['PAPER:BTC', 'PAPER:USDT']);
    expect((await call(user, 'GET', '/v1/ledger?to=1')).body).toEqual({ entries: [], nextCursor: null });
  });

  it('that depends on another is placed and cancelled with it', async () => {
    const user = await server.newUser();
    const body = {
      kind: 'oco',
      account: 'paper',
      venue: 'binance',
      symbol: 'BTC/USDT',
      side: 'sell',
      quantity: '1',
      limit: { price: '120' },
      stop: { stopPrice: '80' },
    };
    const placed = await call(user, 'POST', '/v1/order-lists', body, { headers: freshKey() });
    expect(placed.status, placed.text).toBe(201);
    const list = OrderListSchema.parse(placed.body);
    expect(list.orders).toHaveLength(2);
    expect(OrderListSchema.parse((await call(user, 'GET', `/v1/order-lists/${list.id}`)).body).id).toBe(list.id);
    const holds = HoldsAnswer.parse((await call(user, 'GET', '/v1/holds')).body);
    expect(holds.totals).toEqual([{ asset: 'PAPER:BTC', held: '1', explained: '1' }]);
    expect((await call(user, 'DELETE', `/v1/order-lists/${list.id}`)).status).toBe(200);
    for (const { id } of list.orders) await becomes(user, id, 'canceled');
  });

  it('is cancelled by a dead man', async () => {
    const user = await server.newUser();
    const { id } = await place(user);
    const set = await call(user, 'POST', '/v1/orders/cancel-after', { timeoutMs: 60_000 });
    expect(set.body).toEqual({ triggerAt: expect.any(Number) });
    expect((await call(user, 'POST', '/v1/orders/cancel-after', { timeoutMs: 0 })).body).toEqual({ triggerAt: null });
    expect((await call(user, 'POST', '/v1/orders/cancel-after', { timeoutMs: -1 })).status).toBe(400);
    expect((await read(user, id)).status).toMatch(/submitted|accepted/);
  });
});

describe('the log over REST', () => {
  it('tells everything once, in order, page by page', async () => {
    const user = await server.newUser();
    const { id } = await place(user);
    await becomes(user, id, 'accepted');
    let since = 0;
    const types: string[] = [];
    for (;;) {
      const page = SyncAnswer.parse((await call(user, 'GET', `/v1/sync?since=${since}&limit=2`)).body);
      for (const event of page.events) {
        expect(event.seq).toBe(since + 1);
        since = event.seq;
        types.push(event.data.type);
      }
      expect(page.next).toBe(since);
      if (page.next === page.head) break;
    }
    expect(types.slice(0, 4)).toEqual(['balance', 'balance', 'balance', 'order']);
    expect((await call(user, 'GET', `/v1/sync?since=${since}`)).body).toEqual({ events: [], next: since, head: since });
  });
});

describe('paper funds', () => {
  it('are given once per key, up to a limit, and only of what is traded', async () => {
    const user = await server.newUser();
    const body = { asset: 'ETH', amount: '4000000' };
    const headers = freshKey();
    const [first, again] = [
      await call(user, 'POST', '/v1/paper/funds', body, { headers }),
      await call(user, 'POST', '/v1/paper/funds', body, { headers }),
    ];
    expect([first.status, again.status, again.headers.get('idempotency-hit')]).toEqual([201, 200, 'true']);
    expect(again.body).toEqual(first.body);
    const other = await call(user, 'POST', '/v1/paper/funds', { ...body, amount: '5' }, { headers });
    expect(codeOf(other)).toEqual([422, 'key_reused']);
    const races = await Promise.all(
      Array.from({ length: 20 }, () => call(user, 'POST', '/v1/paper/funds', body, { headers: freshKey() })),
    );
    expect(races.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(races.filter(({ status }) => status === 422)).toHaveLength(19);
    const { balances } = BalancesAnswer.parse((await call(user, 'GET', '/v1/balances')).body);
    expect(balances.find(({ asset }) => asset === 'PAPER:ETH')?.total).toBe('8000000');
    const strange = await call(user, 'POST', '/v1/paper/funds', { asset: 'PAPER:DOGE', amount: '1' });
    expect(codeOf(strange)).toEqual([404, 'unknown_symbol']);
  });
});

describe('for admins', () => {
  it('there is a state of the system, a check of the ledger and a switch; for others there is not', async () => {
    const paths = ['/v1/admin/status', '/v1/admin/ledger/verification', '/v1/admin/trading-switch'] as const;
    for (const path of paths) expect((await call(ada, 'GET', path)).status, path).toBe(403);
    const boss = await server.newUser();
    await server.identity.setRoles(null, boss.email, ['user', 'admin'], server.rig.origin());
    const login = await server.call('POST', '/v1/auth/login', {
      body: { email: boss.email, password: server.rig.password },
      ip: '10.9.9.9',
    });
    const admin = { ...boss, token: (login.body as { accessToken: string }).accessToken };
    expect(AdminStatusSchema.parse((await call(admin, 'GET', paths[0])).body)).toMatchObject({ ledger: null });
    const checks = await Promise.all([1, 2, 3].map(() => call(admin, 'GET', paths[1])));
    for (const check of checks) expect(LedgerCheckSchema.parse(check.body)).toMatchObject({ ok: true, breaches: [] });
    expect(AdminStatusSchema.parse((await call(admin, 'GET', paths[0])).body).ledger).toMatchObject({ ok: true });
    const halted = { venue: null, state: 'halted', reason: 'a drill' };
    expect((await call(ada, 'PUT', paths[2], halted)).status).toBe(403);
    expect((await call(admin, 'PUT', paths[2], halted)).status).toBe(200);
    expect(codeOf(await call(ada, 'POST', '/v1/orders', limitBuy()))).toEqual([423, 'trading_halted']);
    expect((await call(admin, 'PUT', paths[2], { ...halted, state: 'active', reason: '' })).status).toBe(200);
    await place(ada);
  });
});

describe('the same request again', () => {
  it('is answered as the first time, and another one under its key is refused', async () => {
    const headers = freshKey();
    const [first, again] = [
      await call(ada, 'POST', '/v1/orders', limitBuy(), { headers }),
      await call(ada, 'POST', '/v1/orders', limitBuy(), { headers }),
    ];
    expect([first.status, again.status, again.headers.get('idempotency-hit')]).toEqual([201, 200, 'true']);
    expect(again.text).toBe(first.text);
    const other = await call(ada, 'POST', '/v1/orders', limitBuy({ price: '89' }), { headers });
    expect(codeOf(other)).toEqual([422, 'key_reused']);
    const foreign = await call(bob, 'POST', '/v1/orders', limitBuy({ price: '89' }), { headers });
    expect(foreign.status).toBe(201);
    expect((foreign.body as Order).id).not.toBe((first.body as Order).id);
  });

  it.each(['', 'a b', 'a, b', 'x'.repeat(129), 'ä', '\u0080'])('needs a key of visible ASCII: not %j', async (key) => {
    const answer = await call(ada, 'POST', '/v1/orders', limitBuy(), { headers: { 'idempotency-key': key } });
    expect(codeOf(answer)).toEqual([400, 'bad_request']);
  });

  it.each([20, 100])('%i times at once happens once', async (times) => {
    const user = await server.newUser();
    const headers = freshKey();
    const body = limitBuy({ quantity: '2' });
    const answers = await Promise.all(
      Array.from({ length: times }, () => call(user, 'POST', '/v1/orders', body, { headers })),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(times - 1);
    expect(new Set(answers.map(({ body: order }) => (order as Order).id)).size).toBe(1);
    const { orders } = OrdersAnswer.parse((await call(user, 'GET', '/v1/orders')).body);
    expect(orders).toHaveLength(1);
  });

  it.each([20, 100])('%i different requests at once on the same money take no more than there is', async (times) => {
    const user = await server.newUser();
    const body = limitBuy({ quantity: '400', price: '90' });
    const answers = await Promise.all(Array.from({ length: times }, () => call(user, 'POST', '/v1/orders', body)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(2);
    const codes = answers.filter(({ status }) => status !== 201).map((answer) => codeOf(answer)[1]);
    expect(new Set(codes)).toEqual(new Set(['insufficient_funds']));
    const { totals } = HoldsAnswer.parse((await call(user, 'GET', '/v1/holds')).body);
    expect(totals[0]!.held).toBe(totals[0]!.explained);
  });
});

describe('the OpenAPI document of a gateway with accounts', () => {
  // oxlint-disable-next-line typescript/no-explicit-any -- a parsed document, whose shape is what is tested
  type Json = Record<string, any>;
  let document: Json;
  beforeAll(async () => {
    document = (await server.gateway.app.inject('/openapi.json')).json();
  });

  it('has every address of orders and money', () => {
    const addresses = Object.entries<Json>(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path.replace('/v1', '')}`),
    );
    expect(
      addresses.filter((each) => !/ \/(?:venues|markets|auth|me|audit|admin\/(?:users|audit))/.test(each)),
    ).toEqual([
      'POST /orders',
      'GET /orders',
      'DELETE /orders',
      'POST /orders/quote',
      'GET /orders/{id}',
      'PATCH /orders/{id}',
      'DELETE /orders/{id}',
      'POST /orders/cancel-after',
      'POST /order-lists',
      'GET /order-lists/{id}',
      'DELETE /order-lists/{id}',
      'GET /fills',
      'GET /balances',
      'GET /holds',
      'GET /ledger',
      'POST /paper/funds',
      'GET /portfolio',
      'GET /portfolio/history',
      'GET /portfolio/statistics',
      'GET /sync',
      'GET /admin/status',
      'GET /admin/trading-switch',
      'PUT /admin/trading-switch',
      'GET /admin/ledger/verification',
    ]);
  });

  it('has no reference that leads nowhere, and promises the problem shape for everything but success', () => {
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)];
    const missing = refs.filter(([, name]) => !(name! in document.components.schemas));
    expect(missing).toEqual([]);
    for (const [path, item] of Object.entries<Json>(document.paths)) {
      for (const [method, { responses }] of Object.entries<Json>(item)) {
        expect(responses.default.content['application/problem+json'].schema, `${method} ${path}`).toEqual({
          $ref: '#/components/schemas/Problem',
        });
      }
    }
  });
});
