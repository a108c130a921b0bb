import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Config } from '../config/schema.ts';
import { createOpsServer } from '../gateway/http/ops-server.ts';
import type { Readiness } from '../gateway/http/ops-server.ts';
import { createMarketDirectory, createStreamCache } from '../modules/market/index.ts';
import { createMemoryBus } from '../platform/bus-memory.ts';
import { createRedisBus } from '../platform/bus-redis.ts';
import type { MarketBus } from '../platform/bus.ts';
import type { Log } from '../platform/log.ts';
import { createMetrics } from '../platform/metrics.ts';
import type { Metrics } from '../platform/metrics.ts';
import { RETENTION_LIMITS } from '../protocol/limits.ts';
import { openAccounts } from './accounts.ts';
import type { MarketParts } from './accounts.ts';
import { describeDemo } from './demo-guide.ts';
import { checkSandboxSettings, prepareFeedRole } from './feed.ts';
import { startGatewayRole } from './gateway.ts';
import type { Parts, Running } from './parts.ts';
import { START_DEADLINE_MS, decideReadiness, venueReadiness } from './readiness.ts';
import { listening, probePort } from './start-failure.ts';
import { StopStack } from './stop-stack.ts';
import { watchVenues } from './venue-watch.ts';
import { startWorkerRole } from './worker.ts';

const READY_CHECK_INTERVAL_MS = 50;
/** A client that comes back within this finds its streams as they were. */
const STREAM_LINGER_MS = 60_000;

/**
 * Builds the parts that ROLES names and starts them. Resolves when everything is started, which is before the venues have
 * told their markets: readiness is logged when it comes. When a part cannot start, what has been started is stopped again.
 */
export async function startServer(config: Config, log: Log): Promise<Running> {
  const stops = new StopStack(log);
  try {
    return await startParts(config, log, stops);
  } catch (error) {
    await stops.stopAll();
    throw error;
  }
}

async function startParts(config: Config, log: Log, stops: StopStack): Promise<Running> {
  if (config.roles.includes('feed')) checkSandboxSettings(config);
  const clock = { now: () => Date.now(), monotonic: () => performance.now() };
  const metrics = createMetrics({ processMetrics: true });
  let readiness: () => Readiness = () =>
    decideReadiness({ roles: config.roles, serving: false, sinceStartMs: 0, bus: 'ok', venues: [] });
  const ops = createOpsServer({ readiness: () => readiness(), metrics, log });
  stops.push('ops', () => ops.close());
  const opsPort = await listening('OPS_PORT', { host: config.host, port: config.opsPort }, () =>
    ops.listen(config.host, config.opsPort),
  );
  // Whoever started this process with a channel wants to know where to look after it.
  process.send?.({ opsUrl: `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${opsPort}` });
  await probePort('PORT', config.sharePort || !config.roles.includes('gateway') ? { ...config, port: 0 } : config);
  const nodeId = nodeIdOf(config);
  const bus = createBus(config, nodeId, log, metrics);
  const parts: Parts = { config, version: readVersion(), nodeId, log, metrics, clock, bus, stops };
  const feed = config.roles.includes('feed') ? await prepareFeedRole(parts) : null;
  await bus.start();
  stops.push('bus', () => bus.stop());
  const venues = feed?.venues ?? config.venues ?? [];
  const directory = createMarketDirectory({ bus, venues });
  stops.push('directory', () => directory.stop());
  const watch = watchVenues(bus, venues);
  stops.push('venue watch', () => watch.stop());
  if (feed) stops.push('feed', () => feed.stop());
  const port = await startUserRoles(parts, { directory, venues });
  await feed?.start();

  const startedMs = clock.monotonic();
  let serving = true;
  readiness = () =>
    decideReadiness({
      roles: config.roles,
      serving,
      sinceStartMs: clock.monotonic() - startedMs,
      bus: bus.health,
      venues: venueReadiness(directory, watch, venues),
    });
  const guide =
    config.demo && port !== null && !config.sharePort ? () => describeDemo({ config, port, opsPort, directory }) : null;
  const readyCheck = announceReadiness(log, readiness, () => {
    const { host, roles, marketData } = config;
    // One of several processes does not speak for all of them.
    log.info({
      event: process.connected ? 'process_ready' : 'tidewire ready',
      host,
      port,
      opsPort,
      roles,
      marketData,
      venues,
    });
    if (guide) process.stdout.write(guide());
  });
  return {
    finished: new Promise(() => {}),
    async stop() {
      serving = false;
      clearInterval(readyCheck);
      await stops.stopAll();
    },
  };
}

/** Gateway and worker: they share the accounts and one copy of the streams. Answers the gateway's port, null without one. */
async function startUserRoles(parts: Parts, given: Omit<MarketParts, 'cache'>): Promise<number | null> {
  const { config, log, metrics, clock, bus, stops } = parts;
  const [gateway, worker] = [config.roles.includes('gateway'), config.roles.includes('worker')];
  if (!gateway && !worker) return null;
  const retention = RETENTION_LIMITS;
  const cache = createStreamCache({ bus, clock, retention, lingerMs: STREAM_LINGER_MS, metrics, log });
  stops.push('stream cache', () => cache.stop());
  const market = { ...given, cache };
  const accounts = await openAccounts(parts, market);
  if (worker) await startWorkerRole(parts, accounts, market);
  return gateway ? startGatewayRole(parts, accounts, market) : null;
}

/** `onReady` runs once. A start that is still waiting at its deadline says for what, since nothing else would. */
function announceReadiness(log: Log, readiness: () => Readiness, onReady: () => void): NodeJS.Timeout {
  let checks = 0;
  const timer = setInterval(() => {
    const { ready, reason } = readiness();
    checks += 1;
    if (checks * READY_CHECK_INTERVAL_MS === START_DEADLINE_MS && !ready) log.warn({ event: 'not_ready', reason });
    if (!ready) return;
    clearInterval(timer);
    onReady();
  }, READY_CHECK_INTERVAL_MS);
  return timer;
}

/** One host may run several processes of one role; their ports tell them apart, also after a restart. */
function nodeIdOf(config: Config): string {
  const place = config.port === 0 || config.opsPort === 0 ? `pid${process.pid}` : `${config.port}-${config.opsPort}`;
  return `${hostname()}-${config.roles.join('+')}-${place}`;
}

function createBus(config: Config, nodeId: string, log: Log, metrics: Metrics): MarketBus {
  if (config.redisUrl === null) {
    return createMemoryBus({ onError: (error, stream) => log.error({ event: 'bus_sink_error', stream, err: error }) });
  }
  return createRedisBus({ url: config.redisUrl, nodeId, log, metrics });
}

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
