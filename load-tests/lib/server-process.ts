import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseMetrics } from './prometheus.ts';
import type { Samples } from './prometheus.ts';

const READY_LIMIT_MS = 120_000;
const STOP_LIMIT_MS = 20_000;
const POLL_MS = 200;
/** What is kept of the server's output, to be shown when it fails. */
const OUTPUT_LIMIT_CHARS = 4_000;

export type ServerProcess = Readonly<{
  baseUrl: string;
  /** Of its operations port: `/metrics`, `/ready`. */
  opsUrl: string;
  pid: number;
  /** One reading of its Prometheus metrics. */
  metrics(): Promise<Samples>;
  stop(): Promise<void>;
}>;

/** The whole server with the simulated exchange, as `npm run demo` starts it, on free ports and an own data folder. `env` wins over all of it. */
export async function startServer(
  options: Readonly<{ env?: Readonly<Record<string, string>>; nodeArguments?: readonly string[] }> = {},
): Promise<ServerProcess> {
  const root = resolve(import.meta.dirname, '../..');
  const dataDir = await mkdtemp(join(tmpdir(), 'tidewire-load-'));
  // Run by root, the embedded Postgres belongs to another user.
  await chmod(dataDir, 0o755);
  const [port, opsPort] = [await freePort(), await freePort()];
  const child = spawn(process.execPath, [...(options.nodeArguments ?? []), 'src/main.ts', '--demo'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      PORT: `${port}`,
      OPS_PORT: `${opsPort}`,
      DATA_DIR: dataDir,
      LOG_LEVEL: 'warn',
      VENUES: 'binance',
      CONNECTIONS_PER_IP: '100000',
      RATE_LIMIT_PER_MINUTE: '1000000',
      RATE_LIMIT_TRADING_PER_MINUTE: '10000000',
      RATE_LIMIT_AUTH_PER_MINUTE: '1000000',
      REGISTRATIONS_PER_IP: '1000000',
      ...options.env,
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-OUTPUT_LIMIT_CHARS)));
  }
  const opsUrl = `http://127.0.0.1:${opsPort}`;
  const stop = async (): Promise<void> => {
    await end(child);
    await rm(dataDir, { recursive: true, force: true });
  };
  if (!(await isReady(child, `${opsUrl}/ready`))) {
    await stop();
    throw new Error(`the server did not become ready:\n${output}`);
  }
  return {
    baseUrl: `http://127.0.0.1:${port}`,
    opsUrl,
    pid: child.pid!,
    metrics: async () => parseMetrics(await (await fetch(`${opsUrl}/metrics`)).text()),
    stop,
  };
}

async function isReady(child: ChildProcess, url: string): Promise<boolean> {
  const deadline = Date.now() + READY_LIMIT_MS;
  while (Date.now() < deadline && child.exitCode === null && child.signalCode === null) {
    const ready = await fetch(url).then(
      (response) => response.ok,
      // Nobody listens yet.
      () => false,
    );
    if (ready) return true;
    await sleep(POLL_MS);
  }
  return false;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const forced = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  await exited;
  clearTimeout(forced);
}

/** Taken and given back: somebody else may get it in between, which a load test can live with. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
