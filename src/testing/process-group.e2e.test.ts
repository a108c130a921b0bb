import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../client/index.ts';
import type { Client } from '../client/index.ts';
import { hasRedisServer, startRedis } from './redis-process.ts';
import type { RedisProcess } from './redis-process.ts';
import { startServerProcess } from './server-process.ts';
import type { ServerProcess } from './server-process.ts';

const CLIENTS = 24;
const STREAM = 'book:binance:BTC/USDT:25:100ms';

let redis: RedisProcess;
let server: ServerProcess | undefined;
const clients: Client[] = [];

beforeAll(async () => {
  if (hasRedisServer) redis = await startRedis();
});
afterAll(async () => {
  if (hasRedisServer) await redis.kill();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  server?.kill('SIGTERM');
  await server?.exited;
});

/** Process ids of the gateways, youngest last. */
function gatewaysOf(parent: number): number[] {
  const rows = execFileSync('ps', ['--ppid', `${parent}`, '-o', 'pid=,args='], { encoding: 'utf8' })
    .trim()
    .split('\n');
  return rows.filter((row) => row.includes('--share-port')).map((row) => Number(row.trim().split(' ')[0]));
}

/** How many connections each gateway holds, as the supervisor tells. */
async function connectionsByGateway(opsPort: number): Promise<Record<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text();
  const counts: Record<string, number> = {};
  for (const [, name, count] of text.matchAll(/^gateway_connections\{process="(gateway-\d)"[^}]*\} (\d+)$/gm)) {
    counts[name!] = (counts[name!] ?? 0) + Number(count);
  }
  return counts;
}

describe.skipIf(!hasRedisServer)('WORKERS=2 (skipped without redis-server)', () => {
  it('two gateways share one port; one that is killed is replaced, and its clients go on at the other with right books', async () => {
    server = startServerProcess({ REDIS_URL: redis.url, WORKERS: '2', VENUES: 'binance' }, ['--demo']);
    const { port, opsPort } = (await server.event('tidewire ready')) as { port: number; opsPort: number };
    const books = Array.from({ length: CLIENTS }, () => {
      const client = createClient({ url: `ws://127.0.0.1:${port}/ws` });
      clients.push(client);
      return client.book('binance', 'BTC/USDT');
    });
    expect(books[0]!.stream).toBe(STREAM);
    const live = () => books.filter((book) => book.live !== null).length;
    await expect.poll(live, { timeout: 30_000 }).toBe(CLIENTS);
    const counted = async () =>
      Object.values(await connectionsByGateway(opsPort)).reduce((sum, count) => sum + count, 0);
    await expect.poll(counted, { timeout: 30_000 }).toBe(CLIENTS);
    const spread = await connectionsByGateway(opsPort);
    expect(Object.keys(spread)).toEqual(['gateway-1', 'gateway-2']);
    for (const count of Object.values(spread)) expect(count, JSON.stringify(spread)).toBeGreaterThan(0);

    const [victim] = gatewaysOf(server.pid);
    process.kill(victim!, 'SIGKILL');
    await expect.poll(() => gatewaysOf(server!.pid).includes(victim!), { timeout: 10_000 }).toBe(false);
    await expect.poll(live, { timeout: 30_000 }).toBe(CLIENTS);
    await expect.poll(() => gatewaysOf(server!.pid), { timeout: 30_000 }).toHaveLength(2);
    await expect
      .poll(async () => (await fetch(`http://127.0.0.1:${opsPort}/ready`)).status, { timeout: 60_000, interval: 250 })
      .toBe(200);

    server.kill('SIGTERM');
    expect(await server.exited).toMatchObject({ code: 0 });
    expect(server.text()).not.toContain('handles_left');
    expect(server.text()).not.toContain('stop_forced');
  });

  it('a supervisor that is killed does not leave its servers behind', async () => {
    server = startServerProcess({ REDIS_URL: redis.url, WORKERS: '2', VENUES: 'binance' }, ['--demo']);
    await server.event('tidewire ready');
    const pids = gatewaysOf(server.pid);
    expect(pids).toHaveLength(2);
    server.kill('SIGKILL');
    await server.exited;
    const alive = () =>
      pids.filter((pid) => execFileSync('sh', ['-c', `kill -0 ${pid} 2>/dev/null && echo alive || true`]).length > 0);
    await expect.poll(alive, { timeout: 20_000 }).toEqual([]);
  });
});
