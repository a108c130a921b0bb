// npm run bench:cluster. One process against a feed and two gateways over Redis on the same machine: CPU time per delivered frame.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { medianOf } from './lib/callers.ts';
import { describeConditions } from './lib/conditions.ts';
import { groupCpu } from './lib/process-cpu.ts';
import { sumOf } from './lib/prometheus.ts';
import { freePort, startServer } from './lib/server-process.ts';
import type { ServerProcess } from './lib/server-process.ts';
import { readNumber } from './lib/settings.ts';
import { startSubscribers } from './lib/subscribers.ts';
import type { Subscribers } from './lib/subscribers.ts';

const crowds = (process.env.VUS || '100,400,1000').split(',').map((text) => readNumber('VUS', text, 0));
const passes = readNumber('PASSES', process.env.PASSES, 5);
const seconds = readNumber('DURATION', process.env.DURATION, 8);
/** So many that a connection of a busy gateway clearly gathers, and with 100 subscribers clearly none does. */
const STREAMS = ['BTC/USDT', 'ETH/USDT', 'SOL/USDT', 'XRP/USDT', 'DOGE/USDT', 'ADA/USDT'].flatMap((symbol) => [
  `book:binance:${symbol}:10:100ms`,
  `trades:binance:${symbol}`,
  `ticker:binance:${symbol}`,
]);
/** After everybody has subscribed: snapshots, and the flush windows that the hub chooses by what it has seen. */
const SETTLE_MS = 2_000;
/** Code that a process has not yet run often costs several times what it costs later. */
const WARM_UP_MS = 10_000;
const CPU_BUDGET = 1.15;
/** The number of subscribers that the budget is meant for. */
const JUDGED_CROWD = 1_000;
const REDIS_SERVER = '/usr/bin/redis-server';

type RedisServer = Readonly<{ pid: number; url: string; stop(): Promise<void> }>;
type Side = Readonly<{ name: string; server: ServerProcess; redis: RedisServer | null }>;
type Pass = Readonly<{
  /** CPU time in us a delivered frame, by part of the server. */
  parts: Readonly<Record<string, number>>;
  ours: number;
  redis: number;
  framesPerSecond: number;
  publishedPerSecond: number;
  framesAWrite: number;
  redisBytesPerSecond: number;
}>;

async function startRedis(): Promise<RedisServer> {
  if (!existsSync(REDIS_SERVER)) throw new Error(`bench:cluster needs ${REDIS_SERVER}`);
  const port = await freePort();
  const child = spawn(REDIS_SERVER, ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], {
    stdio: 'ignore',
  });
  const gone = once(child, 'exit');
  return {
    pid: child.pid!,
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** One side has the machine: the other's subscribers are away, so that both are measured under the same load. */
async function measure({ server, redis }: Side, clients: Subscribers): Promise<Pass> {
  await clients.join();
  await sleep(SETTLE_MS);
  const before = await server.metrics();
  const [cpuBefore, redisBefore] = [groupCpu(server.pid), redisMs(redis)];
  clients.begin();
  const startedMs = performance.now();
  await sleep(seconds * 1_000);
  const { frames, closed } = await clients.end();
  const elapsedSeconds = (performance.now() - startedMs) / 1_000;
  const [cpuAfter, redisAfter] = [groupCpu(server.pid), redisMs(redis)];
  const after = await server.metrics();
  await clients.leave();
  if (closed > 0 || frames === 0) throw new Error(`${closed} subscribers were closed, ${frames} frames came`);
  const perSecond = (name: string): number => (sumOf(after, name) - sumOf(before, name)) / elapsedSeconds;
  const parts = Object.fromEntries(
    Object.entries(cpuAfter).map(([part, usedMs]) => [part, ((usedMs - (cpuBefore[part] ?? 0)) * 1_000) / frames]),
  );
  return {
    parts,
    ours: Object.values(parts).reduce((sum, each) => sum + each, 0),
    redis: ((redisAfter - redisBefore) * 1_000) / frames,
    framesPerSecond: frames / elapsedSeconds,
    framesAWrite: perSecond('gateway_frames_sent_total') / perSecond('gateway_socket_writes_total'),
    publishedPerSecond: perSecond('market_published_total'),
    redisBytesPerSecond: perSecond('bus_received_bytes_total'),
  };
}

function redisMs(redis: RedisServer | null): number {
  return redis === null ? 0 : Object.values(groupCpu(redis.pid)).reduce((sum, each) => sum + each, 0);
}

function describePass({ name }: Side, pass: Pass): string {
  const parts = Object.entries({ ...pass.parts, Redis: pass.redis })
    .filter(([, us]) => us > 0)
    .map(([part, us]) => `${part} ${us.toFixed(2)}`);
  return `  ${name}: ${pass.ours.toFixed(2)} us a frame (${parts.join(', ')}) at ${Math.round(pass.framesPerSecond)}/s of ${Math.round(pass.publishedPerSecond)}/s published, ${pass.framesAWrite.toFixed(1)} a write`;
}

/** Sides take turns, and turns at being first, so that whatever the machine does it does to both. Answers the median of the rounds' own ratios. */
async function compare(single: Side, cluster: Side, users: number): Promise<number> {
  const open = ({ server }: Side): Promise<Subscribers> =>
    startSubscribers(server.baseUrl, { count: users, threads: 1, streams: STREAMS });
  const clients = new Map<Side, Subscribers>();
  try {
    for (const side of [single, cluster]) {
      const opened = await open(side);
      clients.set(side, opened);
      await sleep(WARM_UP_MS);
      await opened.leave();
    }
    const ratios: number[] = [];
    const withRedis: number[] = [];
    for (let pass = 1; pass <= passes; pass++) {
      const order = pass % 2 === 1 ? [single, cluster] : [cluster, single];
      const measured = new Map<Side, Pass>();
      for (const side of order) measured.set(side, await measure(side, clients.get(side)!));
      const [one, many] = [measured.get(single)!, measured.get(cluster)!];
      ratios.push(many.ours / one.ours);
      withRedis.push((many.ours + many.redis) / one.ours);
      console.log(
        `${users} subscribers, pass ${pass}: ${ratios.at(-1)!.toFixed(3)}, load average ${loadavg()[0]!.toFixed(1)}`,
      );
      console.log(`${describePass(single, one)}\n${describePass(cluster, many)}`);
      console.log(`  ${(many.redisBytesPerSecond / 1_024).toFixed(0)} KiB/s from Redis`);
    }
    console.log(
      `${users} subscribers, CPU time a frame, feed and two gateways / one process: ${spread(ratios)}; Redis counted too: ${spread(withRedis)}`,
    );
    return medianOf(ratios);
  } finally {
    for (const each of clients.values()) await each.stop();
  }
}

function spread(ratios: readonly number[]): string {
  return `median ${medianOf(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`;
}

async function run(): Promise<number> {
  console.log(`${describeConditions()}, load average ${loadavg()[0]!.toFixed(1)}`);
  const redis = await startRedis();
  const sides: Side[] = [];
  const open = async (name: string, over: RedisServer | null, env: Readonly<Record<string, string>>): Promise<Side> => {
    const side = { name, server: await startServer({ env }), redis: over };
    sides.push(side);
    return side;
  };
  try {
    const single = await open('one process', null, {});
    const cluster = await open('feed and two gateways', redis, { REDIS_URL: redis.url, WORKERS: '2' });
    let judged = 0;
    for (const users of crowds) {
      const ratio = await compare(single, cluster, users);
      if (users >= JUDGED_CROWD) judged = Math.max(judged, ratio);
    }
    console.log(`budget ${CPU_BUDGET} with ${JUDGED_CROWD} subscribers or more`);
    return judged <= CPU_BUDGET ? 0 : 1;
  } finally {
    for (const { server } of sides) await server.stop();
    await redis.stop();
  }
}

process.exitCode = await run();
