import { afterAll, beforeAll, expect, test } from 'vitest';
import { io } from 'socket.io-client';
import { seededRandom } from '../kernel/random.ts';
import type { Order, SyncEvent } from '../protocol/trading.ts';
import { OrdersAnswer } from '../protocol/trading-answers.ts';
import { BalancesAnswer, PRIVATE_STREAMS, SyncAnswer } from '../protocol/trading.ts';
import { startCutProxy } from '../testing/cut-proxy.ts';
import type { CutProxy } from '../testing/cut-proxy.ts';
import { expectSound } from '../testing/ledger.ts';
import { limitBuy, startTradingServer } from '../testing/trading-server.ts';
import type { TestUser, TradingServer } from '../testing/trading-server.ts';
import { createClient } from './index.ts';
import type { Client, ClientError, ClientOptions, PrivateEvent } from './index.ts';

const CUTS = Number(process.env.CLIENT_CUTS ?? 40);
const SEED = 1_107;
const BACKOFF = { baseMs: 5, maxMs: 40, factor: 2, jitter: 0.5 };

let server: TradingServer;
let proxy: CutProxy;
beforeAll(async () => {
  const limits = { heartbeatMs: 250, inboundMessagesPerSecond: 100_000, inboundBurst: 100_000 };
  server = await startTradingServer({ limits });
  proxy = await startCutProxy({ port: server.port });
});
afterAll(async () => {
  await proxy.stop();
  await expectSound(server.database);
  await server.end();
});

function clientOf(user: TestUser, options: Partial<ClientOptions> = {}): Client {
  return createClient({
    url: `http://127.0.0.1:${proxy.port}`,
    backoff: BACKOFF,
    authenticate: () => ({ token: user.token }),
    onError: () => undefined,
    ...options,
  });
}

async function rest<T>(user: TestUser, path: string): Promise<T> {
  const answer = await server.call('GET', path, { token: user.token });
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
}

async function wholeLog(user: TestUser): Promise<SyncEvent[]> {
  const events: SyncEvent[] = [];
  for (let since = 0; ;) {
    const page = SyncAnswer.parse(await rest(user, `/v1/sync?since=${since}&limit=200`));
    events.push(...page.events);
    since = page.next;
    if (page.next === page.head) return events;
  }
}

test.each(['plain', 'socketio'] as const)(
  `at the %s door, ${CUTS} cuts at any moment: the state is REST's, every event came once, every command happened once`,
  { timeout: 300_000 },
  async (door) => {
    const user = await server.newUser();
    const random = seededRandom(SEED);
    const upTo = (limit: number): number => Math.floor(random() * limit);
    const socket = io(`http://127.0.0.1:${proxy.port}`, { autoConnect: false, transports: ['websocket'] });
    const client = clientOf(user, door === 'plain' ? {} : { transport: socket });
    const orders = client.orders();
    const portfolio = client.portfolio();
    const events: Record<string, PrivateEvent[]> = {};
    for (const stream of PRIVATE_STREAMS) {
      const kept: PrivateEvent[] = [];
      events[stream] = kept;
      client.events(stream, { onEvent: (event) => void kept.push(event) });
    }
    await expect.poll(() => [orders.live, portfolio.live].includes(null), { timeout: 15_000 }).toBe(false);
    const from = { orders: orders.position!.seq, portfolio: portfolio.position!.seq, notifications: 0 };
    const placed: Promise<Order>[] = [];
    const trade = async (): Promise<void> => {
      const price = String(90 + upTo(9));
      if (random() < 0.6)
        placed.push(client.trading.place(limitBuy({ price, quantity: '0.1' })).then(({ order }) => order));
      else if (random() < 0.5) server.trade(String(90 + upTo(9)), '0.3', 'sell');
      else {
        const all = await Promise.all(placed);
        const order = all[upTo(all.length)];
        if (order)
          await client.trading.cancel(order.id).catch((error: ClientError) => expect(error.code).toBe('order_closed'));
      }
    };
    for (let cut = 0; cut < CUTS; cut++) {
      const work = Promise.all(Array.from({ length: 1 + upTo(3) }, trade));
      await new Promise((resolve) => setTimeout(resolve, upTo(30)));
      proxy.cut();
      await work;
    }
    const all = await Promise.all(placed);
    expect(new Set(all.map(({ id }) => id)).size, 'orders placed').toBe(placed.length);
    await server.orders.desk.cancelAll({ userId: user.userId, actor: 'test', requestId: null }, {});
    const open = async () => OrdersAnswer.parse(await rest(user, '/v1/orders?status=open&limit=200')).orders;
    await expect.poll(async () => (await open()).length, { timeout: 15_000 }).toBe(0);
    const mine = OrdersAnswer.parse(await rest(user, '/v1/orders?limit=200')).orders;
    expect(mine.map(({ id }) => id).toSorted()).toEqual(all.map(({ id }) => id).toSorted());

    const log = await wholeLog(user);
    await expect.poll(() => orders.last?.orders.length, { timeout: 15_000 }).toBe(0);
    for (const stream of PRIVATE_STREAMS) {
      const wanted = log.filter((event) => event.stream === stream && event.streamSeq > from[stream]);
      await expect.poll(() => events[stream]!.length, { timeout: 15_000 }).toBe(wanted.length);
      expect(events[stream]).toEqual(
        wanted.map(({ seq: logSeq, streamSeq: seq, data: event }) => ({ seq, logSeq, event })),
      );
    }
    const { balances } = BalancesAnswer.parse(await rest(user, '/v1/balances'));
    const byAsset = (list: readonly { asset: string }[] = []) => list.toSorted((a, b) => (a.asset < b.asset ? -1 : 1));
    expect(byAsset(portfolio.last?.balances)).toEqual(balances);
    expect(client.counters.reconnects).toBeGreaterThan(CUTS / 4);
    client.close();
  },
);

test('a client whose token has run out is given another; one that is never right is told, and its commands with it', async () => {
  const user = await server.newUser();
  let asked = 0;
  const slow = clientOf(user, {
    authenticate: () => ({ token: (asked += 1) < 3 ? 'a-token-that-is-wrong' : user.token }),
  });
  const orders = slow.orders();
  await expect.poll(() => orders.live?.orders, { timeout: 15_000 }).toEqual([]);
  expect(asked).toBe(3);
  slow.close();

  const errors: string[] = [];
  const never = clientOf(user, {
    authenticate: () => ({ token: 'a-token-that-is-wrong' }),
    backoff: BACKOFF,
    onError: ({ code }) => void errors.push(code),
  });
  const refused = never.orders();
  await expect(never.trading.balances()).rejects.toMatchObject({ code: 'unauthorized' });
  expect(refused.state).toMatchObject({ status: 'down' });
  expect(errors).toContain('unauthorized');
  const ticker = never.ticker('binance', 'BTC/USDT');
  await expect.poll(() => ticker.live?.last, { timeout: 15_000 }).toBe('100.00');
  never.close();
});

test('without a way to authenticate, commands and private streams say so', async () => {
  const stranger = createClient({ url: `http://127.0.0.1:${proxy.port}`, onError: () => undefined });
  await expect(stranger.trading.place(limitBuy())).rejects.toMatchObject({ code: 'unauthorized' });
  const orders = stranger.orders();
  await expect.poll(() => orders.state.status, { timeout: 15_000 }).toBe('down');
  stranger.close();
});

test('a refusal has its code, a quote its figures, and a valuation follows the money', async () => {
  const user = await server.newUser();
  const client = clientOf(user);
  await expect(client.trading.place(limitBuy({ price: '90.001' }))).rejects.toMatchObject({ code: 'price_off_tick' });
  await expect(client.trading.cancel('no-such-order')).rejects.toMatchObject({ code: 'not_found' });
  const quote = await client.trading.quote(limitBuy({ price: '101', quantity: '1' }));
  expect(quote).toMatchObject({ complete: true, averagePrice: '100.01' });
  const valuation = client.valuation();
  await expect.poll(() => valuation.live?.equity ?? null, { timeout: 15_000 }).not.toBeNull();
  const before = Number(valuation.live!.equity);
  await client.trading.place(limitBuy({ price: '101', quantity: '1' }));
  await expect.poll(() => Number(valuation.live?.equity ?? before), { timeout: 15_000 }).toBeLessThan(before);
  client.close();
});
