import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { io } from 'socket.io-client';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WebSocket as WsWebSocket } from 'ws';
import { attachDoors, createHub } from '../gateway/ws/index.ts';
import type { Doors, Hub } from '../gateway/ws/index.ts';
import { seededRandom } from '../kernel/random.ts';
import type { Random } from '../kernel/random.ts';
import { BookState } from '../protocol/book.ts';
import type { BookDelta, BookSnapshot } from '../protocol/messages.ts';
import { startCutProxy } from '../testing/cut-proxy.ts';
import type { CutProxy } from '../testing/cut-proxy.ts';
import { market, startScriptedMarket } from '../testing/scripted-market.ts';
import type { ScriptedMarket } from '../testing/scripted-market.ts';
import { createClient } from './index.ts';
import type { Book, Client, ClientOptions, GapNotice } from './index.ts';

const BOOK = 'book:alpha:BTC/USDT:10:100ms';
const HEARTBEAT_MS = 250;
const BACKOFF = { baseMs: 5, maxMs: 40, factor: 2, jitter: 0.5 };

type Site = Readonly<{
  market: ScriptedMarket;
  hub: Hub;
  doors: Doors;
  server: Server;
  port: number;
  stop(): Promise<void>;
}>;

/** The real market module, hub and doors; only the exchange is a script. */
async function startSite(port = 0): Promise<Site> {
  const scripted = await startScriptedMarket(['alpha']);
  scripted.ingest.markets('alpha', [market('alpha', 'BTC/USDT')]);
  scripted.ingest.venueState('alpha', { status: 'live', since: Date.now(), reason: '' });
  const { cache, directory, clock, log, metrics } = scripted;
  const limits = { heartbeatMs: HEARTBEAT_MS, inboundMessagesPerSecond: 2_000, inboundBurst: 4_000 };
  const hub = createHub({ cache, directory, clock, log, metrics, random: Math.random, limits });
  const server = createServer((_request, response) => response.writeHead(404).end());
  const doors = attachDoors({ server, hub, log, allowedOrigins: ['*'], trustedProxies: [] });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    market: scripted,
    hub,
    doors,
    server,
    port: (server.address() as AddressInfo).port,
    async stop() {
      await doors.close();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await scripted.stop();
    },
  };
}

/** What the book was at every position, from the bus itself. */
function recordTruth({ market: { bus } }: Site, truth = new Map<string, string>()): Map<string, string> {
  const book = new BookState();
  const keep = (at: { epoch: string; seq: number }): void => {
    truth.set(`${at.epoch}/${at.seq}`, JSON.stringify([book.bids, book.asks]));
  };
  bus.open(BOOK, (delivery) => {
    if (delivery.type === 'head' && delivery.head.snapshot) {
      book.reset(delivery.head.snapshot.data as BookSnapshot);
      keep(delivery.head.snapshot);
    } else if (delivery.type === 'message') {
      const { message } = delivery;
      if (message.kind === 'snapshot') book.reset(message.data as BookSnapshot);
      else if (message.kind === 'delta') book.apply(message.data as BookDelta);
      keep(message);
    }
  });
  return truth;
}

function randomBook(random: Random, exchangeSeq: number): Parameters<ScriptedMarket['ingest']['book']>[0] {
  const side = (direction: 1 | -1): Float64Array => {
    let price = 1_000;
    return Float64Array.from(
      Array.from({ length: 20 }, () => {
        price += direction * (1 + Math.floor(random() * 3));
        return [price, Math.ceil(random() * 500) / 10];
      }).flat(),
    );
  };
  const now = Date.now();
  return {
    venue: 'alpha',
    symbol: 'BTC/USDT',
    bids: side(-1),
    asks: side(1),
    exchangeSeq,
    exchangeTs: now,
    ingestTs: now,
  };
}

const DOORS: Record<string, (port: number) => Pick<ClientOptions, 'url' | 'transport' | 'batchMs'>> = {
  "/ws with Node's WebSocket": (port) => ({ url: `http://127.0.0.1:${port}` }),
  '/ws with the ws package': (port) => ({ url: `ws://127.0.0.1:${port}/ws`, transport: WsWebSocket as never }),
  'Socket.IO': (port) => ({
    transport: io(`http://127.0.0.1:${port}`, { autoConnect: false, forceNew: true, transports: ['websocket'] }),
  }),
  '/ws in batches': (port) => ({ url: `http://127.0.0.1:${port}`, batchMs: 10 }),
  'Socket.IO in batches': (port) => ({
    transport: io(`http://127.0.0.1:${port}`, { autoConnect: false, forceNew: true, transports: ['websocket'] }),
    batchMs: 10,
  }),
};

describe.each(Object.entries(DOORS))('over %s', (_, door) => {
  let site: Site;
  let proxy: CutProxy;
  let client: Client;
  let random: Random;
  let pulse: NodeJS.Timeout;
  let exchangeSeq: number;

  beforeEach(async () => {
    site = await startSite();
    proxy = await startCutProxy({ port: site.port });
    random = seededRandom(11);
    exchangeSeq = 0;
    pulse = setInterval(() => site.market.ingest.book(randomBook(random, ++exchangeSeq)), 20);
    client = createClient({ ...door(proxy.port), backoff: BACKOFF, random });
  });
  afterEach(async () => {
    clearInterval(pulse);
    client.close();
    await proxy.stop();
    await site.stop();
  });

  async function until(condition: () => boolean, what: string): Promise<void> {
    await vi.waitFor(() => expect(condition(), what).toBe(true), { timeout: 20_000, interval: 5 });
  }

  test('through 100 cuts no wrong book is ever shown as live, and it is live again after each', async () => {
    const truth = recordTruth(site);
    const wrong: Book[] = [];
    let checked = 0;
    const book = client.book('alpha', 'BTC/USDT', {
      depth: 10,
      onUpdate(each) {
        checked += 1;
        if (truth.get(`${each.epoch}/${each.seq}`) !== JSON.stringify([each.bids, each.asks])) wrong.push(each);
      },
    });
    for (let cut = 0; cut < 100; cut++) {
      await until(() => book.live !== null, `live after cut ${cut}`);
      proxy.cut();
      await until(() => client.counters.reconnects > cut, 'a cut is noticed');
    }
    await until(() => book.live !== null, 'live in the end');
    expect(wrong).toEqual([]);
    expect(checked).toBeGreaterThanOrEqual(100);
    expect(client.counters).toMatchObject({ reconnects: 100, checksumFailures: 0, malformed: 0 });
    expect(client.counters.resumes).toBeGreaterThan(50);
  });

  test('through 40 cuts every trade arrives once and in order, or inside a gap that was told', async () => {
    const got: string[] = [];
    const gaps: GapNotice[] = [];
    let sent = 0;
    const subscription = client.trades('alpha', 'BTC/USDT', {
      onUpdate: ({ trades }) => got.push(...trades.map(({ id }) => id)),
      onGap: (gap) => gaps.push(gap),
    });
    await until(() => subscription.position !== null, 'subscribed');
    const send = (): void => {
      const ts = Date.now();
      const trades = [1, 2, 3].map(() => ({ id: `${++sent}`, price: '1', size: '2', side: 'buy' as const, ts }));
      site.market.ingest.trades({ venue: 'alpha', symbol: 'BTC/USDT', trades, ingestTs: ts });
    };
    send();
    await until(() => got.includes('1'), 'the first trades');
    for (let cut = 0; cut < 40; cut++) {
      proxy.cut();
      send();
      await until(() => client.counters.reconnects > cut, 'noticed');
      send();
      await until(() => subscription.state.status === 'live', 'back');
      send();
    }
    await until(() => got.at(-1) === `${sent}`, 'the last trade');
    expect(got).toEqual(Array.from({ length: sent }, (__, index) => `${index + 1}`));
    expect(gaps).toEqual([]);
  });

  test('a network that swallows everything is noticed within 2.5 heartbeats, and nothing is called live meanwhile', async () => {
    const book = client.book('alpha', 'BTC/USDT', { depth: 10 });
    await until(() => book.live !== null, 'live');
    proxy.blackhole();
    await until(() => book.state.status === 'stale', 'doubted');
    await until(() => client.counters.reconnects > 0, 'given up');
    expect(book.live).toBeNull();
    proxy.heal();
    await until(() => book.live !== null, 'live again');
  });

  test('a server that drains and returns anew is followed into its new epoch', async () => {
    const truth = recordTruth(site);
    const states: string[] = [];
    const book = client.book('alpha', 'BTC/USDT', { depth: 10, onState: ({ status }) => states.push(status) });
    await until(() => book.live !== null, 'live');
    const before = book.live!.epoch;
    await site.doors.drain({ spreadMs: 50, deadlineMs: 500 });
    await site.stop();
    site = await startSite(site.port);
    recordTruth(site, truth);
    await until(() => book.live !== null && book.live.epoch !== before, 'live again');
    expect(states).toContain('disconnected');
    expect(JSON.stringify([book.live!.bids, book.live!.asks])).toBe(truth.get(`${book.live!.epoch}/${book.live!.seq}`));
  });

  test('a symbol that the venue does not list is refused with a code that says so', async () => {
    const loop = client.ticker('alpha', 'NO/SUCH')[Symbol.asyncIterator]();
    await expect(loop.next()).rejects.toMatchObject({ code: 'unknown_symbol', stream: 'ticker:alpha:NO/SUCH' });
  });
});
