import type { AddressInfo } from 'node:net';
import { createHttpGateway } from '../gateway/http/app.ts';
import { attachDoors, createHub } from '../gateway/ws/index.ts';
import { loadNativeWriter } from '../platform/native-writer/native-writer.ts';
import { openRedisClient } from '../platform/redis-clients.ts';
import type { RedisClient } from '../platform/redis-clients.ts';
import type { Accounts, MarketParts } from './accounts.ts';
import { ownOrigins } from './own-origins.ts';
import type { Parts } from './parts.ts';
import { listening } from './start-failure.ts';

/** Clients are sent away over this long, so that they do not all arrive elsewhere in one moment. */
const DRAIN_SPREAD_MS = 5_000;
const DEMO_DRAIN_SPREAD_MS = 250;
/** While clients' messages are gathered anyway, messages from the feed may be so late: half of the longest window. */
const BUSY_PATIENCE_MS = 25;
/** The part of the shutdown time that clients may take; the rest is for everything behind them. */
const DRAIN_SHARE = 0.6;

/** REST and both socket doors on one port. Answers the port. */
export async function startGatewayRole(parts: Parts, accounts: Accounts, market: MarketParts): Promise<number> {
  const { bus, config, log, metrics, clock, stops, version } = parts;
  const { directory, cache, venues } = market;
  const context = { ...accounts, orders: accounts.orders.desk, settings: accounts.orders.settings };
  const redis = config.redisUrl === null ? null : await openSharedRedis(parts, config.redisUrl);
  const nativeWriter = config.nativeWriter ? await loadNativeWriter(log) : null;
  const http = await createHttpGateway({
    venues,
    directory,
    cache,
    clock,
    log,
    metrics,
    version,
    corsOrigins: config.corsOrigins,
    trustProxy: config.trustProxy,
    rateLimitPerMinute: config.rateLimitPerMinute,
    rateLimits: { authPerMinute: config.rateLimitAuthPerMinute, tradingPerMinute: config.rateLimitTradingPerMinute },
    accounts: context,
    ...(redis && { rateLimitStore: redis.counters }),
  });
  stops.push('http', () => http.app.close());
  const { host } = config;
  // fastify hands its options on to node's `listen`, which knows this one; its types do not.
  const place: { host: string; port: number } = Object.assign(
    { host, port: config.port },
    config.sharePort ? { reusePort: true } : {},
  );
  await listening('PORT', config, () => http.app.listen(place));
  const { port } = http.server.address() as AddressInfo;
  const limits = { connectionsPerIp: config.connectionsPerIp };
  const hub = createHub({
    accounts: { ...context, ...http.guards },
    cache,
    directory,
    clock,
    random: Math.random,
    log,
    metrics,
    limits,
    nativeWriter,
    onBusy: (busy) => bus.setPatience(busy ? BUSY_PATIENCE_MS : 0),
  });
  const doors = attachDoors({
    server: http.server,
    hub,
    log,
    allowedOrigins: [...config.corsOrigins, ...ownOrigins(host, port)],
    trustedProxies: config.trustProxy,
    ...(redis && { control: { publisher: redis.publisher, subscriber: redis.subscriber } }),
  });
  stops.push('doors', async () => {
    http.drain();
    const spreadMs = Math.min(config.demo ? DEMO_DRAIN_SPREAD_MS : DRAIN_SPREAD_MS, config.shutdownTimeoutMs / 4);
    await doors.drain({ spreadMs, deadlineMs: config.shutdownTimeoutMs * DRAIN_SHARE });
    await doors.close();
  });
  return port;
}

type SharedRedis = Readonly<{ counters: RedisClient; publisher: RedisClient; subscriber: RedisClient }>;

async function openSharedRedis({ log, stops }: Parts, url: string): Promise<SharedRedis> {
  const open = async (name: string): Promise<RedisClient> => {
    const client = await openRedisClient({ url, name: `tidewire-${name}`, log });
    stops.push(`redis ${name}`, () => client.disconnect());
    return client;
  };
  const [counters, publisher, subscriber] = await Promise.all([
    open('counters'),
    open('control-out'),
    open('control-in'),
  ]);
  return { counters, publisher, subscriber };
}
