import { z } from 'zod';
import { SNAPSHOT_LIMITS } from '../../../protocol/limits.ts';
import type { Trade } from '../../../protocol/messages.ts';
import type { GatewayContext, HttpApp } from '../gateway-context.ts';
import { MarketAddress } from '../market-address.ts';
import { integerQuery } from '../query.ts';
import { PROBLEM_RESPONSE, TradesReading, presentReading } from '../shapes.ts';
import type { StreamReader } from '../stream-reader.ts';
import { sendRefusal } from '../stream-reader.ts';

export function tradesRoute(app: HttpApp, context: GatewayContext, read: StreamReader): void {
  const limit = integerQuery({
    min: 1,
    max: SNAPSHOT_LIMITS.trades,
    fallback: SNAPSHOT_LIMITS.trades,
    description: 'The latest so many',
  });
  app.route({
    method: 'GET',
    url: '/v1/markets/:venue/:pair/trades',
    schema: {
      summary: 'Latest trades, oldest first',
      tags: ['market data'],
      params: MarketAddress,
      querystring: z.strictObject({ limit }),
      response: { 200: TradesReading, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const reading = await read(request.params, ({ venue, symbol }) => `trades:${venue}:${symbol}`);
      if (!reading.ok) return sendRefusal(reply, reading);
      const { trades } = reading.value.message.data as { trades: readonly Trade[] };
      return presentReading(reading.value, { trades: trades.slice(-request.query.limit) }, context.clock.now());
    },
  });
}
