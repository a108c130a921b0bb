import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import type { Outcome } from '../../kernel/outcome.ts';
import { accepted, refused } from '../../kernel/outcome.ts';
import { wireError } from '../../protocol/errors.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { Market } from '../../protocol/market.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { MarketAddress } from './market-address.ts';
import { findMarket } from './market-address.ts';
import { sendProblem } from './problem.ts';
import { readStream } from './stream-reading.ts';
import type { StreamReading } from './stream-reading.ts';

/** How long a stream that nobody used until now may take to bring its first data. */
const FIRST_DATA_WAIT_MS = 5_000;
/** Requests that wait for first data at a time; each holds a socket and a lease. One more is told to come back. */
const WAITING_LIMIT = 512;
const RETRY_AFTER_MS = 5_000;

export type StreamReader = (
  address: z.infer<typeof MarketAddress>,
  streamOf: (market: Market) => string,
) => Promise<Outcome<StreamReading, ErrorCode>>;

/** Reads any market's stream for a route; one for all routes, since they share the limit. */
export function createStreamReader(context: GatewayContext): StreamReader {
  let waiting = 0;
  context.metrics.collectedGauge('http_reads_waiting', 'Requests that read a stream right now', [], () => [
    [{}, waiting],
  ]);
  return async (address, streamOf) => {
    const market = findMarket(context.directory, address);
    if (!market.ok) return market;
    if (waiting >= WAITING_LIMIT) return refused('overloaded', 'Too many requests wait for data');
    waiting += 1;
    try {
      const reading = await readStream(context.cache, streamOf(market.value), FIRST_DATA_WAIT_MS);
      return reading === null
        ? refused('venue_unavailable', `${address.venue} has sent nothing for ${market.value.symbol} yet`)
        : accepted(reading);
    } finally {
      waiting -= 1;
    }
  };
}

export function sendRefusal(reply: FastifyReply, refusal: { code: ErrorCode; message: string }): FastifyReply {
  const { code, message } = refusal;
  const retryAfterMs = code === 'venue_unavailable' || code === 'overloaded' ? RETRY_AFTER_MS : undefined;
  return sendProblem(reply, wireError(code, message, retryAfterMs));
}
