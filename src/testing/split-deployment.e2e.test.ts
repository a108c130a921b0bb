import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Order, SyncEvent } from '../protocol/trading.ts';
import { PRIVATE_STREAMS, SyncAnswer } from '../protocol/trading.ts';
import { OrdersAnswer } from '../protocol/trading-answers.ts';
import { recordedTruth } from './book-truth.ts';
import { handmadeTape } from './handmade-tape.ts';
import type { HandmadeTape } from './handmade-tape.ts';
import { hasNginx } from './nginx-process.ts';
import { hasRedisServer } from './redis-process.ts';
import { FILLS, MarketWatcher, RESTS, SplitTrader } from './split-clients.ts';
import { SplitDeployment } from './split-deployment.ts';
import type { NodeName } from './split-deployment.ts';

const WATCHERS = 12;
/** Ten milliseconds each: longer than the whole file takes. */
const TAPE_CHANGES = 36_000;
const DEPTH = 10;
const GATEWAYS: readonly NodeName[] = ['gateway-1', 'gateway-2'];
/** Orders that wait while there is no worker; with those that rest, fewer than the 100 that one market may have open. */
const QUEUED = 40;
const SOON = { timeout: 30_000, interval: 100 };

let tape: HandmadeTape;
let deployment: SplitDeployment;
let trader: SplitTrader;
/** The last event of the user's log that was there before its client listened. */
let joinedAt = 0;
const watchers: MarketWatcher[] = [];

function liveBooks(): number {
  return watchers.filter(({ book }) => book.live !== null).length;
}

function expectNothingWrong(): void {
  expect(watchers.flatMap(({ objections }) => objections)).toEqual([]);
  expect(trader.failures).toEqual([]);
}

/** Books that were compared with the truth go on being compared: nothing stands still. */
async function expectBooksMove(): Promise<void> {
  await expect.poll(liveBooks, SOON).toBe(WATCHERS);
  const before = watchers.map(({ compared }) => compared);
  await expect.poll(() => watchers.filter(({ compared }, i) => compared > before[i]! + 2).length, SOON).toBe(WATCHERS);
}

async function connectionsOf(name: NodeName): Promise<number> {
  return deployment.metric(name, 'gateway_connections');
}

async function wholeLog(): Promise<SyncEvent[]> {
  const events: SyncEvent[] = [];
  for (let since = 0; ;) {
    const page = SyncAnswer.parse(await trader.rest(`/v1/sync?since=${since}&limit=200`));
    events.push(...page.events);
    since = page.next;
    if (page.next === page.head) return events;
  }
}

async function wholeOrders(): Promise<Order[]> {
  const orders: Order[] = [];
  for (let path = '/v1/orders?limit=200'; path !== '';) {
    const page = OrdersAnswer.parse(await trader.rest(path));
    orders.push(...page.orders);
    path = page.nextCursor === null ? '' : `/v1/orders?limit=200&cursor=${encodeURIComponent(page.nextCursor)}`;
  }
  return orders;
}

/** Orders that the market fills and that wait for the worker. */
async function unfilled(): Promise<number> {
  return (await wholeOrders()).filter(({ price, status }) => price === FILLS && status !== 'filled').length;
}

/**
 * Each order that the market fills is filled, each event of the user's log came once, in order, and each acknowledged order is there once and no other.
 * A worker that comes back carries out what waited for it after the last order was acknowledged: the log is whole only then.
 */
async function expectPrivateLogWhole(): Promise<void> {
  await trader.stopTrading();
  await expect.poll(unfilled, SOON).toBe(0);
  const log = await wholeLog();
  for (const stream of PRIVATE_STREAMS) {
    const told = () => trader.events[stream].map(({ seq }) => seq);
    const wanted = log.filter((event) => event.stream === stream && event.seq > joinedAt);
    await expect.poll(told, SOON).toEqual(wanted.map(({ streamSeq }) => streamSeq));
  }
  const { acknowledged } = trader;
  expect(new Set(acknowledged).size).toBe(acknowledged.length);
  const ids = (await wholeOrders()).map(({ id }) => id);
  expect(ids.toSorted()).toEqual(acknowledged.toSorted());
}

/** The user's own events need no bus: they are in the database. */
async function expectHeard(id: string): Promise<void> {
  const isHeard = () => trader.events.orders.some(({ event }) => event.type === 'order' && event.order.id === id);
  await expect.poll(isHeard, SOON).toBe(true);
}

async function fillsOne(): Promise<void> {
  const { id } = await trader.place(FILLS);
  const isFilled = () =>
    trader.events.orders.some(
      ({ event }) => event.type === 'order' && event.order.id === id && event.order.status === 'filled',
    );
  await expect.poll(isFilled, SOON).toBe(true);
}

async function expectBus(state: 'ok' | 'degraded'): Promise<void> {
  for (const name of ['feed', 'worker', ...GATEWAYS] as NodeName[]) {
    await expect.poll(async () => (await deployment.readiness(name)).bus, SOON).toBe(state);
    expect(await deployment.metric(name, 'bus_degraded'), name).toBe(state === 'ok' ? 0 : 1);
  }
}

const missing = [...(hasRedisServer ? [] : ['redis-server']), ...(hasNginx ? [] : ['nginx'])];
const where = missing.length === 0 ? '' : ` (skipped without ${missing.join(' and ')})`;

describe.skipIf(missing.length > 0)(`a feed, a worker and two gateways behind nginx${where}`, () => {
  beforeAll(async () => {
    tape = handmadeTape('binance', TAPE_CHANGES);
    const truth = recordedTruth(tape.folder, ['BTCUSDT'], DEPTH).get('BTCUSDT')!;
    deployment = await SplitDeployment.start(tape.folder);
    trader = await SplitTrader.register(deployment.url, 'split@example.com').catch((error: unknown) => {
      throw new Error(GATEWAYS.map((name) => deployment.logOf(name)).join('\n'), { cause: error });
    });
    await vi.waitFor(() => expect(trader.listens).toBe(true), SOON);
    joinedAt = (await wholeLog()).at(-1)!.seq;
    for (let count = 0; count < WATCHERS; count++) watchers.push(new MarketWatcher(deployment.url, truth));
  }, 120_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.log(deployment.complaints);
  });
  afterAll(async () => {
    await trader?.stopTrading();
    trader?.client.close();
    for (const watcher of watchers) watcher.close();
    await deployment?.stop();
    tape?.remove();
  });

  it('clients are spread over both gateways, and books, trades and orders are right at each', async () => {
    await expectBooksMove();
    for (const name of GATEWAYS) expect(await connectionsOf(name), name).toBeGreaterThan(2);
    await fillsOne();
    await expectPrivateLogWhole();
    expectNothingWrong();
  });

  it('a rolling restart of both gateways under load loses no event and no order, and costs each client two reconnects at most', async () => {
    trader.startTrading();
    const before = [...watchers, trader].map(({ reconnects }) => reconnects);
    const trades = watchers.map((watcher) => watcher.trades);
    for (const name of GATEWAYS) {
      expect(await deployment.stopNode(name), name).toBe(0);
      await deployment.startNode(name);
    }
    await expectBooksMove();
    await expectPrivateLogWhole();
    const cost = [...watchers, trader].map(({ reconnects }, index) => reconnects - before[index]!);
    expect(Math.max(...cost), JSON.stringify(cost)).toBeLessThanOrEqual(2);
    for (const [index, watcher] of watchers.entries()) expect(watcher.trades).toBeGreaterThan(trades[index]!);
    expectNothingWrong();
  });

  it('a gateway that is killed costs nobody an event: its clients go on at the other', async () => {
    trader.startTrading();
    const counts = await Promise.all(GATEWAYS.map(connectionsOf));
    const victim = GATEWAYS[counts[0]! > counts[1]! ? 0 : 1]!;
    await deployment.killNode(victim);
    await expectBooksMove();
    await deployment.startNode(victim);
    await expectPrivateLogWhole();
    expectNothingWrong();
  });

  it('a worker that is killed in the middle of orders is replaced: each is carried out once', async () => {
    trader.startTrading();
    await deployment.killNode('worker');
    const left = await trader.place(FILLS);
    await expect.poll(unfilled, SOON).toBeGreaterThan(QUEUED);
    // How long a new worker takes to have the markets is a matter of leases and of the machine, and the queue has a limit.
    await trader.stopTrading();
    await deployment.startNode('worker');
    const statusOf = async () => (await trader.rest<{ status: string }>(`/v1/orders/${left.id}`)).status;
    await expect.poll(statusOf, SOON).toBe('filled');
    await fillsOne();
    await expectPrivateLogWhole();
    expectNothingWrong();
  });

  it('Redis killed and started again empty: everybody says so, what needs no bus goes on, and right books come back', async () => {
    await deployment.redis.kill();
    await expectBus('degraded');
    await expect.poll(liveBooks, SOON).toBe(0);
    await expectHeard((await trader.place(RESTS)).id);
    await deployment.redis.start();
    await expectBus('ok');
    await expectBooksMove();
    await fillsOne();
    await expectPrivateLogWhole();
    expectNothingWrong();
  });

  it('Redis that answers nothing is found out, and right books come back when it does', async () => {
    deployment.redis.freeze();
    await expectBus('degraded');
    await expect.poll(liveBooks, SOON).toBe(0);
    await expectHeard((await trader.place(RESTS)).id);
    deployment.redis.thaw();
    await expectBus('ok');
    await expectBooksMove();
    await fillsOne();
    await expectPrivateLogWhole();
    expectNothingWrong();
  });
});
