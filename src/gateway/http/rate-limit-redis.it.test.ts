import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRedisClient } from '../../platform/redis-clients.ts';
import { hasRedisServer, startRedis } from '../../testing/redis-process.ts';
import type { RedisProcess } from '../../testing/redis-process.ts';
import { startGateway, startQuotedMarket } from '../../testing/scripted-gateway.ts';
import type { ScriptedMarket } from '../../testing/scripted-market.ts';

describe.skipIf(!hasRedisServer)('the rate limit over Redis (skipped without redis-server)', () => {
  let redis: RedisProcess;
  let scripted: ScriptedMarket;

  beforeAll(async () => {
    redis = await startRedis();
    scripted = await startQuotedMarket();
  });

  afterAll(async () => {
    await scripted.stop();
    await redis.kill();
  });

  it('is one for all gateways, and does not take them down with Redis', async () => {
    const client = await openRedisClient({ url: redis.url, name: 'test', log: scripted.log });
    const changes = { rateLimitPerMinute: 2, rateLimitStore: client };
    const gateways = [await startGateway(scripted, changes), await startGateway(scripted, changes)];
    const codes: number[] = [];
    for (const index of [0, 1, 0, 1]) codes.push((await gateways[index]!.app.inject('/v1/venues')).statusCode);
    expect(codes).toEqual([200, 200, 429, 429]);
    await redis.kill();
    await expect.poll(() => client.status).not.toBe('ready');
    expect((await gateways[0]!.app.inject('/v1/venues')).statusCode).toBe(200);
    client.disconnect();
    await Promise.all(gateways.map((gateway) => gateway.app.close()));
  });
});
