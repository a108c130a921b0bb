import { normalizeIP } from '@fastify/rate-limit';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../../kernel/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { wireError } from '../../protocol/errors.ts';
import { ProblemError } from './problem.ts';
import { RateCounter } from './rate-counter.ts';
import type { Count, RateStore } from './rate-counter.ts';

/** `auth`: logins, keys and whatever moves money; `trading`: orders; `public`: everything that only looks. */
export type RateTier = 'auth' | 'trading' | 'public';
/** Requests a minute, of one client address or of one user. */
export type RateLimits = Readonly<Record<`${RateTier}PerMinute`, number>>;

export type RateTiers = Readonly<{
  /** Counts one request of somebody whom nobody knows yet. Throws the 429. */
  countAddress(tier: RateTier, request: FastifyRequest, reply: FastifyReply): Promise<void>;
  countUser(tier: RateTier, userId: string, reply: FastifyReply): Promise<void>;
  /** An order command that came another way. Milliseconds until it may be tried again, null when it may go on. */
  countCommand(userId: string): Promise<number | null>;
  /** A proof of identity failed. */
  countFailure(request: FastifyRequest): Promise<void>;
  /** Throws the 429 for an address with too many failures, before another proof is looked at. */
  refuseFailures(request: FastifyRequest, reply: FastifyReply): void;
}>;

export type RateTiersSetup = Readonly<{
  limits: RateLimits;
  store: RateStore | null;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}>;

export function createRateTiers({ limits, metrics, ...deps }: RateTiersSetup): RateTiers {
  const counter = new RateCounter(deps);
  const limited = metrics.counter('http_tier_limited_total', 'Requests beyond the rate of their tier', ['tier']);
  const judge = (tier: RateTier, reply: FastifyReply, { used, resetMs }: Count): void => {
    const limit = limits[`${tier}PerMinute`];
    reply.header('x-ratelimit-limit', limit);
    reply.header('x-ratelimit-remaining', Math.max(0, limit - used));
    reply.header('x-ratelimit-reset', Math.ceil(resetMs / 1000));
    if (used <= limit) return;
    limited.inc({ tier });
    throw new ProblemError(wireError('rate_limited', undefined, Math.ceil(resetMs)));
  };
  const failuresKey = (request: FastifyRequest): string => `failures:${normalizeIP(request.ip)}`;
  return {
    async countAddress(tier, request, reply) {
      judge(tier, reply, await counter.hit(`${tier}:${normalizeIP(request.ip)}`));
    },
    async countUser(tier, userId, reply) {
      judge(tier, reply, await counter.hit(`${tier}:${userId}`));
    },
    async countCommand(userId) {
      const { used, resetMs } = await counter.hit(`trading:${userId}`);
      if (used <= limits.tradingPerMinute) return null;
      limited.inc({ tier: 'trading' });
      return Math.ceil(resetMs);
    },
    async countFailure(request) {
      await counter.hit(failuresKey(request));
    },
    refuseFailures(request, reply) {
      const { used, resetMs } = counter.peek(failuresKey(request));
      if (used >= limits.publicPerMinute) judge('public', reply, { used: used + 1, resetMs });
    },
  };
}
