import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openRedisSignals } from '../../platform/signals-redis.ts';
import type { SyncEvent } from '../../protocol/trading.ts';
import { USDT, createTestLedger, done, origin } from '../../testing/ledger.ts';
import type { TestLedger } from '../../testing/ledger.ts';
import { startTestPostgres, surroundings } from '../../testing/postgres.ts';
import type { TestPostgres } from '../../testing/postgres.ts';
import { hasRedisServer, startRedis } from '../../testing/redis-process.ts';
import type { RedisProcess } from '../../testing/redis-process.ts';
import { createLedger } from '../ledger/index.ts';
import { createUserLog, tellUserEvents } from './index.ts';

const WAIT = { timeout: 30_000, interval: 10 };

if (!hasRedisServer) console.warn('user-log-redis: skipped, there is no /usr/bin/redis-server on this machine');

describe.skipIf(!hasRedisServer)('the log between processes', () => {
  let server: TestPostgres;
  let under: TestLedger;
  let redis: RedisProcess;
  const toStop: { stop(): Promise<void> }[] = [];

  beforeAll(async () => {
    [server, redis] = await Promise.all([startTestPostgres(), startRedis()]);
    under = await createTestLedger(await (await server.createDatabase()).open());
  });
  afterAll(async () => {
    await Promise.all(toStop.map((each) => each.stop()));
    await Promise.all([server.stop(), redis.kill()]);
  });

  async function startNode(nodeId: string) {
    const around = surroundings();
    const signals = await openRedisSignals({
      ...around,
      url: redis.url,
      nodeId,
      timings: { beatMs: 100, echoLateMs: 1_500 },
    });
    const ledger = createLedger({ database: under.database, tell: tellUserEvents(signals) });
    const log = await createUserLog({
      ...around,
      database: under.database,
      ledger,
      signals,
      openOrders: async () => [],
    });
    toStop.push(log, signals);
    return { ...around, signals, ledger, log };
  }

  it('goes on without a gap through Redis killed and started again, told or found', async () => {
    const [writer, gateway] = [await startNode('writer'), await startNode('gateway')];
    const userId = randomUUID();
    const events: SyncEvent[] = [];
    gateway.log.follow(userId, 0, (news) => events.push(...news));
    let count = 0;
    const write = async (times: number) => {
      for (let time = 0; time < times; time++, count++) {
        done(
          await writer.ledger.credit({
            ...origin(),
            owner: userId,
            asset: USDT,
            amount: 1n,
            from: { house: 'equity' },
          }),
        );
      }
    };
    const caughtUp = () =>
      vi.waitFor(
        () => expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: count }, (_, index) => index + 1)),
        WAIT,
      );
    const swept = async () => Number(/user_log_swept_total (\d+)/.exec(await gateway.metrics.render())?.[1] ?? 0);
    await write(20);
    await caughtUp();
    for (let round = 0; round < 2; round++) {
      await redis.kill();
      await vi.waitFor(() => expect(gateway.signals.health).toBe('degraded'), WAIT);
      const before = await swept();
      await write(5);
      await caughtUp();
      expect(await swept()).toBeGreaterThan(before);
      await redis.start();
      await vi.waitFor(() => expect([writer.signals.health, gateway.signals.health]).toEqual(['ok', 'ok']), WAIT);
      await write(20);
      await caughtUp();
    }
  });
});
