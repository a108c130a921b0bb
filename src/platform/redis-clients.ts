import { Redis } from 'ioredis';
import { backoffDelayMs } from '../kernel/backoff.ts';
import type { Log } from './log.ts';

const COMMAND_TIMEOUT_MS = 500;
const CONNECT_TIMEOUT_MS = 5_000;
const RETRY = { baseMs: 50, maxMs: 2_000, factor: 2, jitter: 0.3 } as const;

export type RedisClient = Redis;

/**
 * A connection for what may fail without harm: rate counters, control messages. Commands fail at once while Redis is away
 * instead of waiting for it, and the driver goes on trying to connect. Subscriptions are taken up again by the driver.
 */
export async function openRedisClient(options: { url: string; name: string; log: Log }): Promise<RedisClient> {
  const { url, name, log } = options;
  const client = new Redis(url, {
    lazyConnect: true,
    connectionName: name,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: (times) => backoffDelayMs(RETRY, times - 1, Math.random),
  });
  let reported = false;
  client.on('ready', () => {
    reported = false;
  });
  // Once per outage: the driver tells of every attempt.
  client.on('error', (error) => {
    if (!reported) log.warn({ event: 'redis_client_error', client: name, reason: error.message });
    reported = true;
  });
  try {
    await client.connect();
  } catch (error) {
    log.warn({
      event: 'redis_client_away',
      client: name,
      reason: error instanceof Error ? error.message : String(error),
    });
  }
  return client;
}
