import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Config, RoleName } from '../config/schema.ts';
import { createOpsServer } from '../gateway/http/ops-server.ts';
import type { Log } from '../platform/log.ts';
import { describeDemo } from './demo-guide.ts';
import { createMetrics } from '../platform/metrics.ts';
import { mergeExpositions } from '../platform/metrics-merge.ts';
import { migrate } from '../platform/postgres-migrate.ts';
import { startPostgres } from '../platform/postgres-server.ts';
import type { Running } from './parts.ts';
import { ServerChild } from './server-child.ts';
import { listening, probePort } from './start-failure.ts';
import { StopStack } from './stop-stack.ts';

const READY_CHECK_INTERVAL_MS = 100;

/** Markets are known to the gateways only. */
const NO_DIRECTORY = { venues: () => [], markets: () => undefined };

type Post = Readonly<{ name: string; roles: readonly RoleName[]; sharePort: boolean }>;

/**
 * `WORKERS=N`: N gateways that share one port, which the kernel spreads connections over, and one process with the other roles.
 * A process that ends is started again; its clients reconnect to the others meanwhile. Operations are told for all of them.
 */
export async function startSupervisor(config: Config, log: Log): Promise<Running> {
  const stops = new StopStack(log);
  try {
    return await superviseAll(config, log, stops);
  } catch (error) {
    await stops.stopAll();
    throw error;
  }
}

async function superviseAll(config: Config, log: Log, stops: StopStack): Promise<Running> {
  await probePort('PORT', config);
  const metrics = createMetrics({ processMetrics: true });
  const children: ServerChild[] = [];
  const render = async (): Promise<string> => {
    const parts = [{ process: 'supervisor', text: await metrics.render() }];
    for (const child of children) parts.push({ process: child.name, text: await child.metrics() });
    return mergeExpositions(parts);
  };
  const restarts = metrics.counter('supervisor_restarts_total', 'Processes that ended by themselves', ['child']);
  let serving = true;
  const readiness = () => {
    const missing = children.filter((child) => !child.ready).map((child) => child.name);
    const ready = serving && children.length > 0 && missing.length === 0;
    const reason = serving ? (ready ? '' : `waiting for ${missing.join(', ')}`) : 'stopping';
    return { ready, reason, roles: config.roles, bus: 'ok' as const, venues: [] };
  };
  const ops = createOpsServer({ readiness, metrics: { ...metrics, render }, log });
  stops.push('ops', () => ops.close());
  const place = { host: config.host, port: config.opsPort };
  const opsPort = await listening('OPS_PORT', place, () => ops.listen(config.host, config.opsPort));
  const port = config.port === 0 ? await pickPort(config.host) : config.port;
  const databaseUrl = await shareDatabase(config, log, stops);
  const shared = { PORT: `${port}`, ...(databaseUrl === null ? {} : { DATABASE_URL: databaseUrl }) };
  for (const post of postsOf(config)) {
    const child = startPost(config, log, post, shared, () => restarts.inc({ child: post.name }));
    children.push(child);
    stops.push(post.name, () => child.stop());
  }
  const check = setInterval(() => {
    if (!readiness().ready) return;
    clearInterval(check);
    log.info({
      event: 'tidewire ready',
      host: config.host,
      port,
      opsPort,
      roles: config.roles,
      processes: children.length,
    });
    if (config.demo) process.stdout.write(describeDemo({ config, port, opsPort, directory: NO_DIRECTORY }));
  }, READY_CHECK_INTERVAL_MS);
  return {
    finished: new Promise(() => {}),
    async stop() {
      serving = false;
      clearInterval(check);
      await stops.stopAll();
    },
  };
}

function startPost(
  config: Config,
  log: Log,
  { name, roles, sharePort }: Post,
  shared: Readonly<Record<string, string>>,
  onRestart: () => void,
): ServerChild {
  const child = new ServerChild({
    name,
    words: [...(config.demo ? ['--demo'] : []), ...(sharePort ? ['--share-port'] : [])],
    env: { ...shared, ROLES: roles.join(','), WORKERS: '1', OPS_PORT: '0' },
    log,
    stopLimitMs: config.shutdownTimeoutMs,
    onRestart,
  });
  child.start();
  return child;
}

/** Gateways last: they have nothing to serve before the others are there, and are the first to be stopped. */
function postsOf(config: Config): Post[] {
  const others = config.roles.filter((role) => role !== 'gateway');
  const backs: Post[] = others.length === 0 ? [] : [{ name: others.join('+'), roles: others, sharePort: false }];
  const gateways = Array.from({ length: config.workers }, (_, index): Post => {
    return { name: `gateway-${index + 1}`, roles: ['gateway'], sharePort: true };
  });
  return [...backs, ...gateways];
}

/** All processes need one database; an embedded one is this process's, and brought up to date before anybody uses it. */
async function shareDatabase(config: Config, log: Log, stops: StopStack): Promise<string | null> {
  const { databaseUrl, dataDir } = config;
  if (databaseUrl !== null) return null;
  const server = await startPostgres({ databaseUrl, dataDir, log, lease: 'own' });
  stops.push('postgres', () => server.stop());
  const { adminUrl, rolePassword } = server;
  await migrate({ url: adminUrl, log, ...(rolePassword ? { rolePassword } : {}) });
  return adminUrl;
}

/** Every process must be told the same number, so that 0 is decided here. */
async function pickPort(host: string): Promise<number> {
  const probe = createServer().listen(0, host);
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
