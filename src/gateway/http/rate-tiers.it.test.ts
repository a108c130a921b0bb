import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRedisClient } from '../../platform/redis-clients.ts';
import type { RedisClient } from '../../platform/redis-clients.ts';
import { RawClient } from '../ws/raw-client-contract.ts';
import { ownIp, registerOver } from '../../testing/account-calls.ts';
import { startAccountsServer } from '../../testing/accounts-server.ts';
import type { AccountsServer } from '../../testing/accounts-server.ts';
import { startIdentityRig } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import { hasRedisServer, startRedis } from '../../testing/redis-process.ts';
import type { RedisProcess } from '../../testing/redis-process.ts';
import { startQuotedMarket } from '../../testing/scripted-gateway.ts';
import type { ScriptedMarket } from '../../testing/scripted-market.ts';

const LIMITS = { authPerMinute: 3, tradingPerMinute: 4 };
const PUBLIC_LIMIT = 6;

let rig: IdentityRig;
let scripted: ScriptedMarket;
const servers: AccountsServer[] = [];

beforeAll(async () => {
  rig = await startIdentityRig();
  scripted = await startQuotedMarket();
});
afterAll(async () => {
  for (const server of servers) await server.stop();
  await scripted.stop();
  await rig.stop();
});

async function start(rateLimitStore?: RedisClient): Promise<AccountsServer> {
  const setup = { rateLimits: LIMITS, rateLimitPerMinute: PUBLIC_LIMIT, ...(rateLimitStore && { rateLimitStore }) };
  const server = await startAccountsServer(rig, scripted, { setup });
  servers.push(server);
  return server;
}

const login = (server: AccountsServer, ip: string) =>
  server.call('POST', '/v1/auth/login', { ip, body: { email: rig.email(), password: 'not the right words' } });
const order = (server: AccountsServer, token: string, ip = ownIp()) =>
  server.call('POST', '/v1/orders', { token, ip, body: {} });
const look = (server: AccountsServer, token: string, ip = ownIp()) => server.call('GET', '/v1/me', { token, ip });
async function statuses(count: number, ask: () => Promise<{ status: number }>): Promise<number[]> {
  const all: number[] = [];
  for (let asked = 0; asked < count; asked++) all.push((await ask()).status);
  return all;
}

describe('in one process', () => {
  it('logins count by address, say how many are left, and when to come back', async () => {
    const server = await start();
    const ip = ownIp();
    const first = await login(server, ip);
    expect([first.headers.get('x-ratelimit-limit'), first.headers.get('x-ratelimit-remaining')]).toEqual(['3', '2']);
    expect(await statuses(3, () => login(server, ip))).toEqual([401, 401, 429]);
    const refused = await login(server, ip);
    expect(refused.body).toMatchObject({ code: 'rate_limited', temporary: true });
    const retryAfter = Number(refused.headers.get('retry-after'));
    expect(retryAfter).toBeGreaterThan(50);
    expect(retryAfter).toBeLessThanOrEqual(60);
    expect((await login(server, ownIp())).status).toBe(401);
    expect((await server.call('GET', '/v1/venues', { ip })).status).toBe(200);
  });

  it('users count by themselves, wherever they come from, and not against each other', async () => {
    const server = await start();
    const [ada, bob] = [await registerOver(server, rig), await registerOver(server, rig)];
    const ip = ownIp();
    expect(await statuses(5, () => order(server, ada.accessToken))).toEqual([400, 400, 400, 400, 429]);
    expect((await order(server, bob.accessToken, ip)).status).toBe(400);
    expect((await look(server, ada.accessToken)).status).toBe(200);
    const rest = await statuses(PUBLIC_LIMIT, () => look(server, ada.accessToken, ip));
    expect(rest.filter((status) => status === 429)).toHaveLength(1);
    expect((await look(server, bob.accessToken, ip)).status).toBe(200);
  });

  it('orders count together, whether they come over REST or over a socket', async () => {
    const server = await start();
    const { accessToken: token } = await registerOver(server, rig);
    expect(await statuses(4, () => order(server, token))).toEqual([400, 400, 400, 400]);
    const client = await new RawClient('plain', server.port).welcomed();
    await client.request('authenticate', { token });
    const paper = {
      account: 'paper',
      venue: 'binance',
      symbol: 'BTC/USDT',
      side: 'buy',
      type: 'market',
      quantity: '1',
    };
    const { error } = await client.request('order.place', paper);
    expect(error).toMatchObject({ code: 'rate_limited', retryAfterMs: expect.any(Number) });
    await client.end();
  });

  it('proofs that fail count by address, also those in bodies that are none, and end before the next proof', async () => {
    const server = await start();
    const { accessToken } = await registerOver(server, rig);
    const ip = ownIp();
    const half = Math.ceil(PUBLIC_LIMIT / 2);
    expect(await statuses(half, () => look(server, 'a.b.c', ip))).toEqual(Array.from({ length: half }, () => 401));
    const broken = () =>
      server.call('POST', '/v1/orders', { ip, body: '{', headers: { 'x-api-key': `twk_${'a'.repeat(22)}` } });
    expect(await statuses(half, broken)).toEqual(Array.from({ length: half }, () => 400));
    expect((await look(server, 'a.b.c', ip)).status).toBe(429);
    expect((await look(server, accessToken, ip)).status).toBe(429);
    expect((await look(server, accessToken)).status).toBe(200);
  });
});

describe.skipIf(!hasRedisServer)('over Redis (skipped without redis-server)', () => {
  let redis: RedisProcess;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.kill());

  it('processes count together; when Redis dies, logins and orders stay limited and nothing else is', async () => {
    const client = await openRedisClient({ url: redis.url, name: 'test', log: scripted.log });
    const [one, two] = [await start(client), await start(client)];
    const user = await registerOver(one, rig);
    const ip = ownIp();
    let turn = 0;
    const either = () => ((turn += 1) % 2 ? one : two);
    expect(await statuses(4, () => login(either(), ip))).toEqual([401, 401, 401, 429]);
    expect(await statuses(5, () => order(either(), user.accessToken))).toEqual([400, 400, 400, 400, 429]);
    await redis.kill();
    await expect.poll(() => client.status).not.toBe('ready');
    const fresh = await registerOver(one, rig);
    const elsewhere = ownIp();
    expect(await statuses(4, () => login(one, elsewhere))).toEqual([401, 401, 401, 429]);
    expect(await statuses(5, () => order(one, fresh.accessToken))).toEqual([400, 400, 400, 400, 429]);
    const open = await statuses(PUBLIC_LIMIT + 2, () => one.call('GET', '/v1/venues', { ip: elsewhere }));
    expect(new Set(open)).toEqual(new Set([200]));
    // Empty again: what this process counted itself still holds.
    await redis.start();
    await expect.poll(() => client.status, { timeout: 10_000 }).toBe('ready');
    expect((await login(one, elsewhere)).status).toBe(429);
    expect((await order(one, fresh.accessToken)).status).toBe(429);
    client.disconnect();
  });
});
