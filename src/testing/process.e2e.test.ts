import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createLog } from '../platform/log.ts';
import { loadNativeWriter } from '../platform/native-writer/native-writer.ts';
import { hasRedisServer, startRedis } from './redis-process.ts';
import type { RedisProcess } from './redis-process.ts';
import { startServerProcess } from './server-process.ts';
import type { ServerProcess } from './server-process.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const REFUSAL_LIMIT_MS = 2_000;
const STOP_LIMIT_MS = 10_000;

const running: ServerProcess[] = [];

function start(env: Record<string, string> = {}, words: string[] = []): ServerProcess {
  const started = startServerProcess(env, words);
  running.push(started);
  return started;
}

async function ready(server: ServerProcess): Promise<{ url: string; ops: string; venues: string[]; port: number }> {
  const line = (await server.event('tidewire ready')) as { port: number; opsPort: number; venues: string[] };
  const { port, opsPort, venues } = line;
  return { url: `http://127.0.0.1:${port}`, ops: `http://127.0.0.1:${opsPort}`, venues, port };
}

async function stop(server: ServerProcess): Promise<void> {
  server.kill('SIGKILL');
  await server.exited;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map(stop));
});

type Answer = { state?: { status: string }; code?: string };

async function readJson(url: string): Promise<unknown> {
  return (await fetch(url)).json();
}

type Push = { stream: string; kind: string; seq: number; epoch: string };

/** Pushes of a plain socket until each stream has brought a snapshot. */
async function plainSnapshots(port: number, streams: string[]): Promise<Map<string, Push>> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { origin: `http://localhost:${port}` });
  const seen = new Map<string, Push>();
  try {
    await new Promise<void>((resolve, reject) => {
      socket.on('open', () => socket.send(JSON.stringify({ id: 1, method: 'subscribe', params: { streams } })));
      socket.on('error', reject);
      socket.on('close', () => reject(new Error('closed')));
      socket.on('message', (data: Buffer) => {
        const push = JSON.parse(data.toString()) as Push;
        if (push.kind === 'snapshot') seen.set(push.stream, push);
        if (seen.size === streams.length) resolve();
      });
    });
  } finally {
    socket.removeAllListeners('close');
    socket.terminate();
  }
  return seen;
}

async function socketIoSnapshot(url: string, stream: string): Promise<Push> {
  const socket = io(url, { transports: ['websocket'], reconnection: false });
  try {
    return await new Promise<Push>((resolve, reject) => {
      socket.on('connect_error', reject);
      socket.on('message', (push: Push) => push.kind === 'snapshot' && resolve(push));
      socket.on('connect', () => socket.emit('subscribe', { streams: [stream] }, () => undefined));
    });
  } finally {
    socket.disconnect();
  }
}

describe('npm run demo', () => {
  let server: ServerProcess;
  let place: Awaited<ReturnType<typeof ready>>;

  beforeAll(async () => {
    server = startServerProcess({}, ['--demo']);
    place = await ready(server);
  });
  afterAll(() => stop(server));

  it('tells where it is, what to open and what to try', async () => {
    await expect.poll(() => server.text()).toContain(`http://localhost:${place.port}/docs/streams`);
    expect(server.text()).toContain('a simulated market');
    expect((await fetch(`${place.ops}/ready`)).status).toBe(200);
    expect((await fetch(`${place.url}/metrics`)).status).toBe(404);
  });

  it('brings every kind of stream to both doors and to REST', async () => {
    const { markets } = (await (await fetch(`${place.url}/v1/markets?venue=${place.venues[0]}`)).json()) as {
      markets: { venue: string; symbol: string }[];
    };
    const { venue, symbol } = markets.find((market) => market.symbol.startsWith('BTC/')) ?? markets[0]!;
    const base = `${place.url}/v1/markets/${venue}/${encodeURIComponent(symbol)}`;
    const names = ['ticker', 'book', 'trades', 'candles'];
    const streams = [...names.map((name) => `${name}:${venue}:${symbol}`), `venue:${venue}`];
    expect([...(await plainSnapshots(place.port, streams)).keys()].toSorted((a, b) => a.localeCompare(b))).toEqual(
      streams.toSorted((a, b) => a.localeCompare(b)),
    );
    expect((await socketIoSnapshot(place.url, streams[1]!)).stream).toBe(streams[1]);
    for (const name of names) {
      const answer = await fetch(`${base}/${name}`);
      expect(answer.status, name).toBe(200);
      expect(await answer.json(), name).toMatchObject({ state: { status: 'live' }, data: expect.any(Object) });
    }
    const { venues } = (await (await fetch(`${place.url}/v1/venues`)).json()) as { venues: { source: string }[] };
    expect(new Set(venues.map((each) => each.source))).toEqual(new Set(['simulation']));
  });
});

/** Writes to sockets so far, by the way they took. */
async function socketWrites(ops: string): Promise<Record<'native' | 'stream', number>> {
  const text = await (await fetch(`${ops}/metrics`)).text();
  const count = (how: string): number =>
    Number(new RegExp(`gateway_socket_writes_total\\{[^}]*how="${how}"[^}]*\\} (\\d+)`).exec(text)?.[1] ?? 0);
  return { native: count('native'), stream: count('stream') };
}

const NATIVE_WRITER = await loadNativeWriter(createLog({ level: 'silent' }));

describe('the way to the sockets', () => {
  it.each([
    ['auto', NATIVE_WRITER !== null],
    ['off', false],
  ])('NATIVE_WRITER=%s: past the streams of Node: %j', async (mode, native) => {
    const { ops, port } = await ready(start({ VENUES: 'binance', NATIVE_WRITER: mode }, ['--demo']));
    await plainSnapshots(port, ['ticker:binance:BTC/USDT', 'book:binance:BTC/USDT']);
    const others = (writes: Record<'native' | 'stream', number>): number => writes[native ? 'stream' : 'native'];
    await expect.poll(async () => (await socketWrites(ops))[native ? 'native' : 'stream']).toBeGreaterThan(0);
    expect(others(await socketWrites(ops))).toBe(0);
  });
});

const RECORDING = resolve(
  process.env['CAPTURES_DIR'] ?? resolve(ROOT, '../shared/captures'),
  'binance/spot-2024-08-08',
);

describe.skipIf(!existsSync(RECORDING))(`a recording (skipped without ${RECORDING})`, () => {
  it("is served as what it is, with the exchange's own sequence", async () => {
    const { url, venues } = await ready(start({ REPLAY_DIR: RECORDING }));
    expect(venues).toEqual(['binance']);
    expect(await readJson(`${url}/v1/venues`)).toMatchObject({ venues: [{ venue: 'binance', source: 'recording' }] });
    const book = await readJson(`${url}/v1/markets/binance/BTC-USDT/book?depth=100`);
    expect(book).toMatchObject({ exchangeSeq: expect.any(Number), state: { status: 'live' } });
    expect((book as { data: { bids: unknown[] } }).data.bids).toHaveLength(100);
  });
});

describe('stopping', () => {
  it('SIGTERM tells the clients, ends every part and exits 0, with nothing left behind', async () => {
    const server = start({ VENUES: 'binance' }, ['--demo']);
    const { port } = await ready(server);
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    const told: unknown[] = [];
    socket.on('message', (data: Buffer) => told.push((JSON.parse(data.toString()) as { event?: string }).event));
    const closed = new Promise<number>((resolve) => socket.on('close', resolve));
    await expect.poll(() => told).toContain('welcome');
    const askedMs = performance.now();
    server.kill('SIGTERM');
    expect(await closed).toBe(3001);
    expect(told).toContain('draining');
    expect(await server.exited).toMatchObject({ code: 0, signal: null });
    expect(performance.now() - askedMs).toBeLessThan(STOP_LIMIT_MS);
    expect(server.text()).not.toContain('handles_left');
    expect(server.text()).not.toContain('part_stop_failed');
  });

  it('a second signal ends it at once', async () => {
    const server = start({ VENUES: 'binance', SHUTDOWN_TIMEOUT_MS: '60000' }, ['--demo']);
    const { port } = await ready(server);
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await new Promise((resolve) => socket.on('open', resolve));
    // A client that never closes its half keeps the drain waiting.
    socket.pause();
    server.kill('SIGTERM');
    await server.event('stopping');
    server.kill('SIGTERM');
    expect(await server.exited).toMatchObject({ code: 1 });
    socket.terminate();
  });

  it('a client that will not go does not hold the process past its deadline', async () => {
    const server = start({ VENUES: 'binance', SHUTDOWN_TIMEOUT_MS: '2000' }, ['--demo']);
    const { port } = await ready(server);
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await new Promise((resolve) => socket.on('open', resolve));
    socket.pause();
    server.kill('SIGTERM');
    expect(await server.exited).toMatchObject({ code: 0 });
    socket.terminate();
  });
});

describe('a start that cannot be', () => {
  it.each([
    ['PORT', { PORT: '80x' }],
    ['OPS_PORT', { OPS_PORT: '-1' }],
    ['HOST', { HOST: 'local host' }],
    ['ROLES', { ROLES: 'gateway' }],
    ['VENUES', { VENUES: 'Binance' }],
    ['MARKET_DATA', { MARKET_DATA: 'mock' }],
    ['REPLAY_DIR', { REPLAY_DIR: '/nowhere' }],
    ['REPLAY_SPEED', { REPLAY_SPEED: 'fast' }],
    ['REPLAY_LOOP', { REPLAY_LOOP: 'yes' }],
    ['SANDBOX_SEED', { SANDBOX_SEED: 'seed' }],
    ['TRUST_PROXY', { TRUST_PROXY: 'true' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: '*' }],
    ['LOG_LEVEL', { LOG_LEVEL: 'loud' }],
    ['LOG_LEVL', { LOG_LEVL: 'info' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://u:hunter2@h/db' }],
    ['REDIS_URL', { REDIS_URL: 'hunter2' }],
    ['SHUTDOWN_TIMEOUT_MS', { SHUTDOWN_TIMEOUT_MS: '5s' }],
    ['DATABASE_URL', { APP_MODE: 'production' }],
    ['MARKET_DATA', { APP_MODE: 'production', DATABASE_URL: 'postgres://u:hunter2@h/db', MARKET_DATA: 'simulation' }],
    ['SANDBOX_FAULTS', { APP_MODE: 'production', DATABASE_URL: 'postgres://u:hunter2@h/db', SANDBOX_FAULTS: 'gap' }],
  ])('%s %j: exit 1 in time, named, no secret printed, no port opened', async (variable, env) => {
    const server = start(env as Record<string, string>);
    const exit = await server.exited;
    expect(exit.code).toBe(1);
    expect(exit.ms).toBeLessThan(REFUSAL_LIMIT_MS);
    expect(server.text()).toContain(`  ${variable}: `);
    expect(server.text()).not.toContain('hunter2');
    expect(server.text()).not.toContain('"event"');
  });

  it('--demo in production: exit 1', async () => {
    const server = start({ APP_MODE: 'production', DATABASE_URL: 'postgres://u:p@h/db' }, ['--demo']);
    expect((await server.exited).code).toBe(1);
    expect(server.text()).toContain('--demo');
  });

  it.each(['PORT', 'OPS_PORT'])(
    '%s in use by another process: exit 1 with a message that says so',
    async (variable) => {
      const taken = createServer();
      await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
      const { port } = taken.address() as AddressInfo;
      const server = start({ [variable]: String(port), VENUES: 'binance' }, ['--demo']);
      expect((await server.exited).code).toBe(1);
      expect(server.text()).toContain(`${variable}: ${port} on 127.0.0.1 is in use`);
      await new Promise((resolve) => taken.close(resolve));
    },
  );

  it.each([
    ['VENUES', { VENUES: 'mtgox' }],
    ['SANDBOX_FAULTS', { SANDBOX_FAULTS: 'nonsense' }],
    ['REPLAY_DIR', { REPLAY_DIR: '.' }],
  ])('%s that the sandbox exchange cannot use: exit 1, named', async (variable, env) => {
    const server = start(env as Record<string, string>, ['--demo']);
    expect((await server.exited).code).toBe(1);
    expect(server.text()).toContain(`tidewire cannot start: ${variable}: `);
  });
});

describe.skipIf(!hasRedisServer)('feed and gateway as two processes over Redis (skipped without redis-server)', () => {
  let redis: RedisProcess;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.kill());

  it('carry the same streams, and the gateway says when the feed is gone, and recovers with it', async () => {
    const shared = { REDIS_URL: redis.url, VENUES: 'binance', MARKET_DATA: 'simulation' };
    const feed = start({ ...shared, ROLES: 'feed' });
    await feed.event('tidewire ready');
    const gateway = start({ ...shared, ROLES: 'gateway,worker' });
    const { url, ops, port } = await ready(gateway);
    const seen = await plainSnapshots(port, ['book:binance:BTC/USDT', 'ticker:binance:BTC/USDT', 'venue:binance']);
    expect(seen.size).toBe(3);
    const book = async (): Promise<unknown> => {
      const answer = (await readJson(`${url}/v1/markets/binance/BTC-USDT/book?depth=5`)) as Answer;
      return answer.state?.status ?? answer.code;
    };
    expect(await book()).toBe('live');
    await stop(feed);
    await expect.poll(book, { timeout: 30_000, interval: 500 }).toBe('venue_unavailable');
    expect(await readJson(`${url}/v1/venues`)).toEqual({ venues: [], unreported: ['binance'] });
    expect(await readJson(`${ops}/ready`)).toMatchObject({ venues: [{ venue: 'binance', status: 'unknown' }] });
    const next = start({ ...shared, ROLES: 'feed' });
    await next.event('tidewire ready');
    await expect.poll(book, { timeout: 30_000, interval: 500 }).toBe('live');
    gateway.kill('SIGTERM');
    expect(await gateway.exited).toMatchObject({ code: 0 });
  });
});
