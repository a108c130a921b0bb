// npm run bench:cluster. One process against a feed and two gateways over Redis on the same machine: CPU per delivered frame.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeConditions } from './lib/conditions.ts';
import { sumOf } from './lib/prometheus.ts';
import { freePort, startServer } from './lib/server-process.ts';
import type { ServerProcess } from './lib/server-process.ts';
import { readNumber } from './lib/settings.ts';
import { startSubscribers } from './lib/subscribers.ts';
import type { Subscribers } from './lib/subscribers.ts';

const users = readNumber('VUS', process.env.VUS, 1_000);
const passes = readNumber('PASSES', process.env.PASSES, 5);
const seconds = readNumber('DURATION', process.env.DURATION, 5);
const STREAMS = ['BTC/USDT', 'ETH/USDT', 'SOL/USDT', 'XRP/USDT'].flatMap((symbol) => [
  `book:binance:${symbol}:10:100ms`,
  `trades:binance:${symbol}`,
  `ticker:binance:${symbol}`,
]);
const SETTLE_MS = 3_000;
const CPU_BUDGET = 1.15;
const REDIS_SERVER = '/usr/bin/redis-server';

type Side = Readonly<{ name: string; server: ServerProcess; clients: Subscribers }>;
type Pass = Readonly<{ cpuUs: number; framesPerSecond: number; redisBytesPerSecond: number }>;

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

/** The supervisor's metrics are those of all its processes. */
async function measure({ server, clients }: Side): Promise<Pass> {
  const before = await server.metrics();
  clients.begin();
  const startedMs = performance.now();
  await sleep(seconds * 1_000);
  const { frames, closed } = await clients.end();
  const elapsedSeconds = (performance.now() - startedMs) / 1_000;
  const after = await server.metrics();
  if (closed > 0 || frames === 0) throw new Error(`${closed} subscribers were closed, ${frames} frames came`);
  const gained = (name: string): number => sumOf(after, name) - sumOf(before, name);
  return {
    cpuUs: (gained('process_cpu_seconds_total') * 1e6) / frames,
    framesPerSecond: frames / elapsedSeconds,
    redisBytesPerSecond: gained('bus_received_bytes_total') / elapsedSeconds,
  };
}

function describePass({ name }: Side, { cpuUs, framesPerSecond, redisBytesPerSecond }: Pass): string {
  const redis = redisBytesPerSecond > 0 ? `, ${(redisBytesPerSecond / 1_024).toFixed(0)} KiB/s from Redis` : '';
  return `${name} ${cpuUs.toFixed(1)} us a frame at ${Math.round(framesPerSecond)}/s${redis}`;
}

async function compare(single: Side, cluster: Side): Promise<number> {
  const ratios: number[] = [];
  for (let pass = 1; pass <= passes; pass++) {
    const [one, many] = [await measure(single), await measure(cluster)];
    ratios.push(many.cpuUs / one.cpuUs);
    console.log(`pass ${pass}: ${describePass(single, one)}; ${describePass(cluster, many)}`);
  }
  return ratios.toSorted((a, b) => a - b)[Math.floor(ratios.length / 2)]!;
}

async function run(): Promise<number> {
  console.log(describeConditions());
  const redis = await startRedis();
  const sides: Side[] = [];
  const open = async (name: string, env: Readonly<Record<string, string>>): Promise<Side> => {
    const server = await startServer({ env });
    const clients = await startSubscribers(server.baseUrl, { count: users, threads: 1, streams: STREAMS });
    const side = { name, server, clients };
    sides.push(side);
    return side;
  };
  try {
    const single = await open('one process', {});
    const cluster = await open('feed and two gateways', { REDIS_URL: redis.url, WORKERS: '2' });
    await sleep(SETTLE_MS);
    const ratio = await compare(single, cluster);
    console.log(
      `CPU per delivered frame, all processes but Redis, feed and two gateways / one process: ${ratio.toFixed(2)} (budget ${CPU_BUDGET})`,
    );
    return ratio <= CPU_BUDGET ? 0 : 1;
  } finally {
    for (const { server, clients } of sides) {
      await clients.stop();
      await server.stop();
    }
    await redis.stop();
  }
}

process.exitCode = await run();
