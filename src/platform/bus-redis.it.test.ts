import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { seededRandom } from '../kernel/random.ts';
import type { RedisProcess } from '../testing/redis-process.ts';
import { hasRedisServer, startRedis } from '../testing/redis-process.ts';
import { CountingSource, Follower, describeMarketBus } from '../testing/bus-contract.ts';
import { createRedisBus } from './bus-redis.ts';
import type { MarketBus } from './bus.ts';
import { createLog } from './log.ts';
import type { Metrics } from './metrics.ts';
import { createMetrics } from './metrics.ts';

const STREAM = 'ticker:alpha:BTC/USDT';
const WAIT = { timeout: 20_000, interval: 10 };
/** A tenth of the real ones. */
const TIMINGS = {
  beatMs: 100,
  feedSilenceMs: 600,
  wantTtlMs: 3_000,
  renewMs: 500,
  headRetryMs: 200,
  echoLateMs: 1_500,
};
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

if (!hasRedisServer) console.warn('bus-redis: skipped, there is no /usr/bin/redis-server on this machine');

describe.skipIf(!hasRedisServer)('over Redis', () => {
  let redis: RedisProcess;
  const ends: MarketBus[] = [];
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.kill());
  afterEach(async () => {
    redis.thaw();
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await Promise.all(ends.splice(0).map((bus) => bus.stop()));
  });

  async function end(nodeId: string): Promise<{ bus: MarketBus; metrics: Metrics }> {
    const metrics = createMetrics({ processMetrics: false });
    const log = createLog({ level: 'silent' });
    const bus = createRedisBus({ url: redis.url, nodeId, log, metrics, timings: TIMINGS });
    ends.push(bus);
    await bus.start();
    return { bus, metrics };
  }

  function follow(bus: MarketBus, stream = STREAM): Follower {
    const follower = new Follower();
    bus.open(stream, follower.sink);
    return follower;
  }

  /** A feed and a gateway, in sync, with a message every 5 ms. */
  async function runningPair() {
    const feed = await end('feed');
    const gateway = await end('gateway');
    const source = new CountingSource(feed.bus);
    feed.bus.serve(source);
    const local = follow(feed.bus);
    const remote = follow(gateway.bus);
    const timer = setInterval(() => source.publish(STREAM), 5);
    const inSync = (): Promise<void> =>
      vi.waitFor(() => {
        expect(remote.position).not.toBeNull();
        expect(source.head(STREAM).position.seq - remote.position!.seq).toBeLessThan(20);
      }, WAIT);
    await inSync();
    return { feed, gateway, source, local, remote, inSync, stop: () => clearInterval(timer) };
  }

  describeMarketBus('between two processes over Redis', async () => {
    const feed = await end('feed');
    const gateway = await end('gateway');
    return { feed: feed.bus, gateway: gateway.bus, stop: () => Promise.resolve() };
  });

  describeMarketBus('within one process that also speaks Redis', async () => {
    const both = await end('both');
    return { feed: both.bus, gateway: both.bus, stop: () => Promise.resolve() };
  });

  it('serves several gateways and sinks from one publication each', async () => {
    const { bus: feed } = await end('feed');
    const source = new CountingSource(feed);
    feed.serve(source);
    const gateways = [await end('one'), await end('two'), await end('three')];
    const followers = gateways.flatMap(({ bus }) => [follow(bus), follow(bus)]);
    for (const follower of followers) await vi.waitFor(() => expect(follower.heads).toBe(1), WAIT);
    for (let count = 0; count < 500; count++) source.publish(STREAM);
    for (const follower of followers) {
      await vi.waitFor(() => expect(follower.position).toEqual(source.head(STREAM).position), WAIT);
      expect(follower).toMatchObject({ violations: [], losses: [], messages: 500 });
    }
  });

  it('messages wait for each other while every gateway has the patience, and none is lost or late for ever', async () => {
    const { feed, gateway, source, remote, inSync, stop } = await runningPair();
    const windowMs = async () => /bus_window_ms (\d+)/.exec(await feed.metrics.render())?.[1];
    gateway.bus.setPatience(25);
    await expect.poll(windowMs, WAIT).toBe('25');
    const other = await end('other');
    const late = follow(other.bus);
    await expect.poll(windowMs, WAIT).toBe('0');
    other.bus.setPatience(40);
    await expect.poll(windowMs, WAIT).toBe('25');
    await inSync();
    stop();
    for (const follower of [remote, late]) {
      await vi.waitFor(() => expect(follower.position).toEqual(source.head(STREAM).position), WAIT);
      expect(follower).toMatchObject({ violations: [], losses: [] });
    }
  });

  it('a gateway receives what it wants and hardly more, however much others want', async () => {
    const { bus: feed } = await end('feed');
    const source = new CountingSource(feed);
    feed.serve(source);
    const streams = Array.from({ length: 400 }, (_, index) => `ticker:alpha:A${index}/USDT`);
    const [many, few] = [await end('many'), await end('few')];
    const all = streams.map((stream) => follow(many.bus, stream));
    const own = streams.filter((_, index) => index % 10 === 0).map((stream) => follow(few.bus, stream));
    const synced = () => [...all, ...own].every(({ heads }) => heads > 0);
    await vi.waitFor(() => expect(synced()).toBe(true), WAIT);
    const received = async ({ metrics }: { metrics: Metrics }) =>
      Number(/^bus_received_bytes_total (\d+)$/m.exec(await metrics.render())![1]);
    const before = [await received(many), await received(few)];
    for (let round = 0; round < 50; round++) {
      for (const stream of streams) source.publish(stream);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await vi.waitFor(() => {
      for (const follower of [...all, ...own]) expect(follower.messages).toBe(50);
    }, WAIT);
    const [ofMany, ofFew] = [(await received(many)) - before[0]!, (await received(few)) - before[1]!];
    expect(ofFew / ofMany).toBeGreaterThan(0.095);
    expect(ofFew / ofMany).toBeLessThan(0.13);
  });

  it('survives Redis killed and started again empty: local streams go on, remote ones say so and resync by themselves', async () => {
    const { feed, gateway, source, local, remote, inSync, stop } = await runningPair();
    expect([feed.bus.health, gateway.bus.health]).toEqual(['ok', 'ok']);
    await redis.kill();
    await vi.waitFor(() => expect(remote.losses).toHaveLength(1), WAIT);
    await vi.waitFor(() => expect([feed.bus.health, gateway.bus.health]).toEqual(['degraded', 'degraded']), WAIT);
    const before = source.head(STREAM).position.seq;
    await vi.waitFor(() => expect(local.position!.seq).toBeGreaterThan(before + 50), WAIT);
    await redis.start();
    await inSync();
    await vi.waitFor(() => expect([feed.bus.health, gateway.bus.health]).toEqual(['ok', 'ok']), WAIT);
    stop();
    expect(local).toMatchObject({ violations: [], losses: [], heads: 1 });
    expect(remote.violations).toEqual([]);
    expect(remote.heads).toBeGreaterThanOrEqual(2);
  });

  it('does not pile up while Redis is frozen, and resyncs when it moves again', async () => {
    const { gateway, local, remote, inSync, stop } = await runningPair();
    redis.freeze();
    await vi.waitFor(() => expect(gateway.bus.health).toBe('degraded'), WAIT);
    await vi.waitFor(() => expect(remote.losses.length).toBeGreaterThan(0), WAIT);
    const dropped = 'bus_dropped_total{reason="not_connected"}';
    await vi.waitFor(async () => expect(await gateway.metrics.render()).toContain(dropped), WAIT);
    redis.thaw();
    await inSync();
    stop();
    expect(local).toMatchObject({ violations: [], losses: [] });
    expect(remote.violations).toEqual([]);
  });

  it.each(['pubsub', 'normal'])(
    'resyncs when Redis cuts off the %s connections, as it does to slow ones',
    async (type) => {
      const { remote, inSync, source, stop } = await runningPair();
      const admin = new Redis(redis.url);
      for (let round = 0; round < 3; round++) {
        await admin.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
        await vi.waitFor(() => expect(remote.losses.length).toBeGreaterThan(round), WAIT);
        await inSync();
      }
      stop();
      await vi.waitFor(() => expect(remote.position).toEqual(source.head(STREAM).position), WAIT);
      expect(remote.violations).toEqual([]);
      await admin.quit();
    },
  );

  it('finds a lost tail of a stream that has fallen quiet', async () => {
    const { remote, source, stop } = await runningPair();
    stop();
    await vi.waitFor(() => expect(remote.position).toEqual(source.head(STREAM).position), WAIT);
    const admin = new Redis(redis.url);
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    // The feed does not know yet that its connection is gone: this message is lost, and none follows it.
    source.publish(STREAM);
    await vi.waitFor(() => expect(remote.position).toEqual(source.head(STREAM).position), WAIT);
    expect(remote.violations).toEqual([]);
    await admin.quit();
  });

  it('drops and counts garbage on every channel, and keeps every stream in sync', async () => {
    const { feed, gateway, remote, inSync, stop } = await runningPair();
    const admin = new Redis(redis.url);
    const channels = ((await admin.call('PUBSUB', 'CHANNELS')) as string[]).filter((each) =>
      each.startsWith('tidewire:'),
    );
    expect(channels.length).toBeGreaterThanOrEqual(4);
    const random = seededRandom(5);
    for (let count = 0; count < 1_000; count++) {
      await admin.publish(channels[count % channels.length]!, garbage(random));
    }
    await inSync();
    stop();
    for (const { metrics } of [feed, gateway])
      expect(await metrics.render()).toMatch(/bus_garbage_total\{channel="\w+"\} [1-9]/);
    // Forged frames may cost a resync, never a wrong stream.
    expect(remote.violations).toEqual([]);
    await admin.quit();
  });

  it('takes a feed that was killed for lost, says so, and follows its successor', async () => {
    const { bus } = await end('gateway');
    const follower = follow(bus);
    const first = feedProcess();
    await vi.waitFor(() => expect(follower.messages).toBeGreaterThan(50), WAIT);
    first.kill('SIGKILL');
    await vi.waitFor(() => expect(follower.losses.at(-1)).toBe('the feed fell silent'), WAIT);
    feedProcess();
    const before = follower.messages;
    await vi.waitFor(() => expect(follower.messages).toBeGreaterThan(before + 50), WAIT);
    expect(follower.violations).toEqual([]);
  });

  it('follows a feed that restarts at once without waiting for the silence', async () => {
    const { bus } = await end('gateway');
    const follower = follow(bus);
    const { bus: old } = await end('feed');
    const source = new CountingSource(old, 'old');
    old.serve(source);
    source.publish(STREAM);
    await vi.waitFor(() => expect(follower.position?.epoch).toMatch(/^old/), WAIT);
    const { bus: next } = await end('feed');
    next.serve(new CountingSource(next, 'next'));
    await vi.waitFor(() => expect(follower.losses).toEqual(['the feed started or reconnected']), WAIT);
  });

  it('gives a stream up at the feed when the gateway that wanted it is gone without a word', async () => {
    const { bus } = await end('feed');
    const source = new CountingSource(bus);
    bus.serve(source);
    const admin = new Redis(redis.url);
    const want = JSON.stringify({ t: 'want', g: 'ghost/1', s: [STREAM], heads: true, p: 0 });
    await admin.publish('tidewire:market:wants', want);
    await vi.waitFor(() => expect(source.opened.size).toBe(1), WAIT);
    await vi.waitFor(() => expect(source.opened.size).toBe(0), WAIT);
    await admin.quit();
  });

  it('keeps a stream that is wanted here and elsewhere until neither wants it', async () => {
    const { bus: feed } = await end('feed');
    const { bus: gateway } = await end('gateway');
    const source = new CountingSource(feed);
    feed.serve(source);
    for (const first of ['local', 'remote']) {
      const followers = { local: new Follower(), remote: new Follower() };
      const subscriptions = {
        local: feed.open(STREAM, followers.local.sink),
        remote: gateway.open(STREAM, followers.remote.sink),
      };
      const second = first === 'local' ? 'remote' : 'local';
      await vi.waitFor(() => expect(followers.remote.heads).toBe(1), WAIT);
      subscriptions[first as 'local'].close();
      // A round trip, so that the closing has arrived where it matters.
      await vi.waitFor(async () => {
        source.publish(STREAM);
        await new Promise((resolve) => setTimeout(resolve, 20));
        expect(followers[second].messages).toBeGreaterThan(5);
      }, WAIT);
      expect(source.opened.size).toBe(1);
      subscriptions[second].close();
      await vi.waitFor(() => expect(source.opened.size).toBe(0), WAIT);
    }
  });

  it('starts without Redis and joins when it comes', async () => {
    await redis.kill();
    const gateway = await end('gateway');
    const feed = await end('feed');
    const source = new CountingSource(feed.bus);
    feed.bus.serve(source);
    const follower = follow(gateway.bus);
    const local = follow(feed.bus);
    expect(follower.losses).toEqual(['the bus is not connected']);
    expect(local.heads).toBe(1);
    await redis.start();
    await vi.waitFor(() => expect(follower.heads).toBe(1), WAIT);
  });

  function feedProcess(): ChildProcess {
    const script = fileURLToPath(new URL('../testing/bus-feed-process.ts', import.meta.url));
    const node = `${REPOSITORY}/node_modules/.bin/node`;
    const child = spawn(node, [script, redis.url, 'feed', STREAM, JSON.stringify(TIMINGS)], { stdio: 'inherit' });
    children.push(child);
    return child;
  }
});

/** Random bytes, truncated and twisted frames, and frames that are well-formed but make no sense. */
function garbage(random: () => number): string {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const message = {
    stream: STREAM,
    epoch: 'x',
    seq: 1,
    kind: pick(['update', 'delta', 'nonsense']),
    ingestTs: 1,
    data: pick([null, {}, { last: 1 }, { bids: 3 }]),
  };
  const frame: Record<string, unknown> = {
    t: pick(['message', 'head', 'closed', 'beat', 'hello', 'bye', 'want', 'drop', 'x', '__proto__']),
    f: pick(['a/b', 1, null, 'x'.repeat(500)]),
    n: pick([0, -1, 1.5, 'n', 2 ** 60]),
    m: message,
    s: pick([STREAM, [STREAM], 5, 'y'.repeat(1_000)]),
    g: pick(['g/1', 7]),
    heads: pick([true, 'yes']),
  };
  const { m, ...head } = frame;
  const text = pick([JSON.stringify(frame), `${JSON.stringify(head)}\n${JSON.stringify(m)}`]);
  return pick([
    text,
    text.slice(0, Math.floor(random() * text.length)),
    String.fromCharCode(...Array.from({ length: 50 }, () => Math.floor(random() * 65_535))),
    '',
    'null',
    '[]',
    '{"__proto__":{"t":"beat"}}',
    '['.repeat(10_000),
  ]);
}
