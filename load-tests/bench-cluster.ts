// npm run bench:cluster. One process against a feed and two gateways over Redis: CPU per delivered frame, and what each gateway
// receives from Redis in proportion to what it wants.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestPostgres } from '../src/testing/postgres.ts';
import { describeConditions } from './lib/conditions.ts';
import { sumOf } from './lib/prometheus.ts';
import type { Samples } from './lib/prometheus.ts';
import { freePort, startServer } from './lib/server-process.ts';
import type { ServerProcess } from './lib/server-process.ts';
import { readNumber } from './lib/settings.ts';
import { startSubscribers } from './lib/subscribers.ts';
import type { Subscribers } from './lib/subscribers.ts';

const users = readNumber('VUS', process.env.VUS, 1_000);
const passes = readNumber('PASSES', process.env.PASSES, 5);
const seconds = readNumber('DURATION', process.env.DURATION, 5);
const SYMBOLS = ['BTC/USDT', 'ETH/USDT', 'SOL/USDT', 'XRP/USDT'];
const STREAMS = SYMBOLS.flatMap((symbol) => [
  `book:binance:${symbol}:10:100ms`,
  `trades:binance:${symbol}`,
  `ticker:binance:${symbol}`,
]);
const SETTLE_MS = 2_000;
const CPU_BUDGET = 1.15;
/** Beats, heads and chance neighbours in a partition come on top of what is wanted. */
const SHARE_BUDGET = 1.3;
const REDIS_SERVER = '/usr/bin/redis-server';

type Side = Readonly<{ servers: readonly ServerProcess[]; gateways: readonly ServerProcess[]; clients: Subscribers[] }>;
type Pass = Readonly<{ cpuPerFrameUs: number; gatewayCpuPerFrameUs: number; framesPerSecond: number }>;

async function startRedis(): Promise<{ url: string; stop(): Promise<void> }> {
  if (!existsSync(REDIS_SERVER)) throw new Error(`bench:cluster needs ${REDIS_SERVER}`);
  const port = await freePort();
  const child = spawn(REDIS_SERVER, ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], {
    stdio: 'ignore',
  });
  const gone = once(child, 'exit');
  return {
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}

async function subscribe(gateway: ServerProcess, count: number, streams: readonly string[]): Promise<Subscribers> {
  return startSubscribers(gateway.baseUrl, { count, threads: 1, streams });
}

async function startSingle(): Promise<Side> {
  const server = await startServer();
  return { servers: [server], gateways: [server], clients: [] };
}

async function startCluster(redisUrl: string, databaseUrl: string): Promise<Side> {
  const env = {
    REDIS_URL: redisUrl,
    DATABASE_URL: databaseUrl,
    TOKEN_SECRET: 'mD5RkXo0s1vG7yQeTz3uJp9cWb2hNf8LxAi4EwKgUrY6',
  };
  const feed = await startServer({ env: { ...env, ROLES: 'feed' } });
  const gateways = [
    await startServer({ env: { ...env, ROLES: 'gateway' } }),
    await startServer({ env: { ...env, ROLES: 'gateway' } }),
  ];
  return { servers: [feed, ...gateways], gateways, clients: [] };
}

/** The same number of subscribers for either side, spread evenly over its gateways. */
async function fill({ gateways, clients }: Side): Promise<void> {
  for (const gateway of gateways) clients.push(await subscribe(gateway, users / gateways.length, STREAMS));
}

const cpuOf = (samples: readonly Samples[]): number =>
  samples.reduce((sum, each) => sum + sumOf(each, 'process_cpu_seconds_total'), 0);
const readAll = (servers: readonly ServerProcess[]): Promise<Samples[]> =>
  Promise.all(servers.map((server) => server.metrics()));

async function measure({ servers, gateways, clients }: Side): Promise<Pass> {
  const before = await readAll(servers);
  for (const each of clients) each.begin();
  const startedMs = performance.now();
  await sleep(seconds * 1_000);
  const counts = await Promise.all(clients.map((each) => each.end()));
  const elapsedSeconds = (performance.now() - startedMs) / 1_000;
  const after = await readAll(servers);
  const frames = counts.reduce((sum, each) => sum + each.frames, 0);
  if (counts.some((each) => each.closed > 0) || frames === 0) throw new Error('subscribers were closed');
  const ofGateways = (samples: readonly Samples[]): number => cpuOf(samples.slice(-gateways.length));
  return {
    cpuPerFrameUs: ((cpuOf(after) - cpuOf(before)) * 1e6) / frames,
    gatewayCpuPerFrameUs: ((ofGateways(after) - ofGateways(before)) * 1e6) / frames,
    framesPerSecond: frames / elapsedSeconds,
  };
}

/** A gateway that wants a quarter of the streams of another should receive a quarter of its bytes. */
async function measureShare({ gateways }: Side): Promise<{ wanted: number; received: number }> {
  const [many, few] = [gateways[0]!, gateways[1]!];
  const quarter = STREAMS.filter((stream) => stream.includes(SYMBOLS[1]!));
  const clients = [await subscribe(many, 1, STREAMS), await subscribe(few, 1, quarter)];
  await sleep(SETTLE_MS);
  const before = await readAll([many, few]);
  for (const each of clients) each.begin();
  await sleep(seconds * 1_000);
  const counts = await Promise.all(clients.map((each) => each.end()));
  const after = await readAll([many, few]);
  await Promise.all(clients.map((each) => each.stop()));
  const received = after.map(
    (each, index) => sumOf(each, 'bus_received_bytes_total') - sumOf(before[index]!, 'bus_received_bytes_total'),
  );
  return { wanted: counts[1]!.bytes / counts[0]!.bytes, received: received[1]! / received[0]! };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

async function compare(single: Side, cluster: Side): Promise<number> {
  const ratios: number[] = [];
  const line = (name: string, { cpuPerFrameUs, gatewayCpuPerFrameUs, framesPerSecond }: Pass): string =>
    `${name} ${cpuPerFrameUs.toFixed(1)} us a frame (gateways ${gatewayCpuPerFrameUs.toFixed(1)}), ${Math.round(framesPerSecond)}/s`;
  for (let pass = 1; pass <= passes; pass++) {
    const [one, many] = [await measure(single), await measure(cluster)];
    ratios.push(many.cpuPerFrameUs / one.cpuPerFrameUs);
    console.log(`pass ${pass}: ${line('one process', one)}; ${line('feed and two gateways', many)}`);
  }
  return median(ratios);
}

async function run(): Promise<number> {
  console.log(describeConditions());
  const [redis, postgres] = await Promise.all([startRedis(), startTestPostgres()]);
  const sides: Side[] = [];
  try {
    const cluster = await startCluster(redis.url, await postgres.createEmptyDatabase());
    sides.push(cluster);
    // First: what was subscribed once lingers at its gateway for a minute.
    const { wanted, received } = await measureShare(cluster);
    console.log(
      `a gateway whose clients get ${wanted.toFixed(2)} of another's bytes receives ${received.toFixed(2)} of its bytes from Redis (budget ${SHARE_BUDGET} times that)`,
    );
    const single = await startSingle();
    sides.push(single);
    await fill(single);
    await fill(cluster);
    await sleep(SETTLE_MS);
    const ratio = await compare(single, cluster);
    console.log(
      `CPU per delivered frame, all processes but Redis, feed and two gateways / one process: ${ratio.toFixed(2)} (budget ${CPU_BUDGET})`,
    );
    for (const { clients } of sides) await Promise.all(clients.map((each) => each.stop()));
    return ratio <= CPU_BUDGET && received <= wanted * SHARE_BUDGET ? 0 : 1;
  } finally {
    for (const { servers } of sides) await Promise.all(servers.map((server) => server.stop()));
    await Promise.all([redis.stop(), postgres.stop()]);
  }
}

process.exitCode = await run();
