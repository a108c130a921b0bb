import { z } from 'zod';
import { SNAPSHOT_LIMITS } from '../../../protocol/limits.ts';
import type { Candles } from '../../../protocol/messages.ts';
import { DEFAULT_TIMEFRAME, TIMEFRAMES_MS } from '../../../protocol/streams.ts';
import type { Timeframe } from '../../../protocol/streams.ts';
import type { GatewayContext, HttpApp } from '../gateway-context.ts';
import { MarketAddress } from '../market-address.ts';
import { choiceQuery, integerQuery } from '../query.ts';
import { CandlesReading, PROBLEM_RESPONSE, presentReading } from '../shapes.ts';
import type { StreamReader } from '../stream-reader.ts';
import { sendRefusal } from '../stream-reader.ts';

const TIMEFRAMES = Object.keys(TIMEFRAMES_MS) as [Timeframe, ...Timeframe[]];

export function candlesRoute(app: HttpApp, context: GatewayContext, read: StreamReader): void {
  const limit = integerQuery({
    min: 1,
    max: SNAPSHOT_LIMITS.candles,
    fallback: SNAPSHOT_LIMITS.candles,
    description: 'The latest so many',
  });
  const timeframe = choiceQuery({
    options: TIMEFRAMES,
    fallback: DEFAULT_TIMEFRAME,
    description: 'Length of a candle',
  });
  app.route({
    method: 'GET',
    url: '/v1/markets/:venue/:pair/candles',
    schema: {
      summary: 'Latest candles, oldest first; the last one may still be open',
      tags: ['market data'],
      params: MarketAddress,
      querystring: z.strictObject({ timeframe, limit }),
      response: { 200: CandlesReading, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const { timeframe: length, limit: count } = request.query;
      const reading = await read(request.params, ({ venue, symbol }) => `candles:${venue}:${symbol}:${length}`);
      if (!reading.ok) return sendRefusal(reply, reading);
      const { candles, origin } = reading.value.message.data as Candles;
      return presentReading(reading.value, { candles: candles.slice(-count), origin }, context.clock.now());
    },
  });
}
