import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Clock } from '../../kernel/clock.ts';
import type { MarketDirectory, StreamCache } from '../../modules/market/index.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';

export type HttpApp = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, ZodTypeProvider>;

/** What the routes need. */
export type GatewayContext = Readonly<{
  /** All configured venues, whether or not they have been heard of. */
  venues: readonly string[];
  directory: MarketDirectory;
  cache: StreamCache;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}>;
