import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { RedisProcess } from '../testing/redis-process.ts';
import { hasRedisServer, startRedis } from '../testing/redis-process.ts';
import { describeSignals, hearSignals, untilHeard } from '../testing/signals-contract.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { openRedisSignals } from './signals-redis.ts';
import type { Signals } from './signals.ts';

const WAIT = { timeout: 20_000, interval: 10 };
/** A tenth of the real ones. */
const TIMINGS = { beatMs: 100, echoLateMs: 1_500 };
const TOPIC = 'user-events/3';

if (!hasRedisServer) console.warn('signals-redis: skipped, there is no /usr/bin/redis-server on this machine');

describe.skipIf(!hasRedisServer)('over Redis', () => {
  let redis: RedisProcess;
  const ends: Signals[] = [];

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.kill());
  afterEach(async () => {
    redis.thaw();
    await Promise.all(ends.splice(0).map((signals) => signals.stop()));
  });

  async function end(nodeId: string) {
    const metrics = createMetrics({ processMetrics: false });
    const log = createLog({ level: 'silent' });
    const signals = await openRedisSignals({ url: redis.url, nodeId, log, metrics, timings: TIMINGS });
    ends.push(signals);
    return { signals, metrics };
  }

  describeSignals('between two processes', async () => {
    const [here, there] = [await end('here'), await end('there')];
    return { here: here.signals, there: there.signals, stop: () => Promise.resolve() };
  });

  describeSignals('within one process that also speaks Redis', async () => {
    const { signals } = await end('both');
    return { here: signals, there: signals, stop: () => Promise.resolve() };
  });

  it('survive Redis killed and started again empty: own signals go on, those of others come back by themselves', async () => {
    const [here, there] = [await end('here'), await end('there')];
    const own = hearSignals(here.signals, TOPIC);
    const others = hearSignals(there.signals, TOPIC);
    await untilHeard(here.signals, TOPIC, others.heard);
    await vi.waitFor(() => expect([here.signals.health, there.signals.health]).toEqual(['ok', 'ok']), WAIT);
    for (let round = 0; round < 2; round++) {
      await redis.kill();
      await vi.waitFor(
        () => expect([here.signals.health, there.signals.health]).toEqual(['degraded', 'degraded']),
        WAIT,
      );
      here.signals.publish(TOPIC, `own ${round}`);
      expect(own.heard.at(-1)).toBe(`own ${round}`);
      expect(await here.metrics.render()).toMatch(/signals_dropped_total\{reason="not_connected"\} [1-9]/);
      await redis.start();
      others.heard.length = 0;
      await untilHeard(here.signals, TOPIC, others.heard);
      await vi.waitFor(() => expect([here.signals.health, there.signals.health]).toEqual(['ok', 'ok']), WAIT);
    }
  });

  it('notice a Redis that has frozen, and go on when it moves again', async () => {
    const [here, there] = [await end('here'), await end('there')];
    const others = hearSignals(there.signals, TOPIC);
    await untilHeard(here.signals, TOPIC, others.heard);
    redis.freeze();
    await vi.waitFor(() => expect(here.signals.health).toBe('degraded'), WAIT);
    redis.thaw();
    others.heard.length = 0;
    await untilHeard(here.signals, TOPIC, others.heard);
  });

  it.each(['pubsub', 'normal'])('come back after Redis has cut off the %s connections', async (type) => {
    const [here, there] = [await end('here'), await end('there')];
    const others = hearSignals(there.signals, TOPIC);
    await untilHeard(here.signals, TOPIC, others.heard);
    const admin = new Redis(redis.url);
    for (let round = 0; round < 3; round++) {
      await admin.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
      await vi.waitFor(() => expect(there.signals.health).toBe('degraded'), { ...WAIT, interval: 1 });
      others.heard.length = 0;
      await untilHeard(here.signals, TOPIC, others.heard);
      await vi.waitFor(() => expect(there.signals.health).toBe('ok'), WAIT);
    }
    await admin.quit();
  });

  it('leave Redis to those topics that somebody listens to', async () => {
    const { signals } = await end('here');
    const channels = async () => {
      const all = (await admin.call('PUBSUB', 'CHANNELS', 'tidewire:signals:*')) as string[];
      return all.filter((each) => !each.includes(':echo:'));
    };
    const admin = new Redis(redis.url);
    const { end: leave } = hearSignals(signals, TOPIC);
    await vi.waitFor(async () => expect(await channels()).toEqual([`tidewire:signals:${TOPIC}`]), WAIT);
    leave();
    await vi.waitFor(async () => expect(await channels()).toEqual([]), WAIT);
    await admin.quit();
  });

  it('are heard once by their own process, though Redis brings them back', async () => {
    const [here, there] = [await end('here'), await end('there')];
    const { heard } = hearSignals(here.signals, TOPIC);
    await untilHeard(there.signals, TOPIC, heard);
    here.signals.publish(TOPIC, 'own');
    // What comes from there afterwards comes behind our own on the same connection.
    const { heard: others } = hearSignals(there.signals, TOPIC);
    await untilHeard(here.signals, TOPIC, others);
    heard.length = 0;
    here.signals.publish(TOPIC, 'own');
    await vi.waitFor(() => expect(others).toContain('own'), WAIT);
    there.signals.publish(TOPIC, 'answer');
    await vi.waitFor(() => expect(heard).toContain('answer'), WAIT);
    expect(heard.filter((text) => text === 'own')).toEqual(['own']);
  });

  it('ignore frames that none of us sent', async () => {
    const { signals } = await end('here');
    const { heard } = hearSignals(signals, TOPIC);
    const admin = new Redis(redis.url);
    await vi.waitFor(async () => {
      await admin.publish(`tidewire:signals:${TOPIC}`, 'someone/else\nping');
      expect(heard).toContain('ping');
    }, WAIT);
    for (const frame of ['', 'no separator', 'a/b']) await admin.publish(`tidewire:signals:${TOPIC}`, frame);
    await admin.publish(`tidewire:signals:${TOPIC}`, 'someone/else\nend');
    await vi.waitFor(() => expect(heard.at(-1)).toBe('end'), WAIT);
    expect(heard.filter((text) => text !== 'ping')).toEqual(['end']);
    await admin.quit();
  });
});
