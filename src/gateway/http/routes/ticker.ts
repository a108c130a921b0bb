import { z } from 'zod';
import type { Ticker } from '../../../protocol/messages.ts';
import type { GatewayContext, HttpApp } from '../gateway-context.ts';
import { MarketAddress } from '../market-address.ts';
import { PROBLEM_RESPONSE, TickerReading, presentReading } from '../shapes.ts';
import type { StreamReader } from '../stream-reader.ts';
import { sendRefusal } from '../stream-reader.ts';

export function tickerRoute(app: HttpApp, context: GatewayContext, read: StreamReader): void {
  app.route({
    method: 'GET',
    url: '/v1/markets/:venue/:pair/ticker',
    schema: {
      summary: 'Latest price and 24 h statistics',
      tags: ['market data'],
      params: MarketAddress,
      querystring: z.strictObject({}),
      response: { 200: TickerReading, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const reading = await read(request.params, ({ venue, symbol }) => `ticker:${venue}:${symbol}`);
      if (!reading.ok) return sendRefusal(reply, reading);
      return presentReading(reading.value, reading.value.message.data as Ticker, context.clock.now());
    },
  });
}
