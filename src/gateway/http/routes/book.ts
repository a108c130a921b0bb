import { z } from 'zod';
import { CHECKSUM_DEPTH, bookChecksum } from '../../../protocol/book.ts';
import type { BookSnapshot } from '../../../protocol/messages.ts';
import { BOOK_DEPTHS, DEFAULT_BOOK_DEPTH } from '../../../protocol/streams.ts';
import type { BookDepth } from '../../../protocol/streams.ts';
import type { GatewayContext, HttpApp } from '../gateway-context.ts';
import { MarketAddress } from '../market-address.ts';
import { integerQuery } from '../query.ts';
import { BookReading, PROBLEM_RESPONSE, presentReading } from '../shapes.ts';
import type { StreamReader } from '../stream-reader.ts';
import { sendRefusal } from '../stream-reader.ts';

const DEPTH_LIMIT = BOOK_DEPTHS.at(-1)!;

export function bookRoute(app: HttpApp, context: GatewayContext, read: StreamReader): void {
  const depth = integerQuery({ min: 1, max: DEPTH_LIMIT, fallback: DEFAULT_BOOK_DEPTH, description: 'Levels a side' });
  app.route({
    method: 'GET',
    url: '/v1/markets/:venue/:pair/book',
    schema: {
      summary: 'Order book',
      description: 'The fastest book stream of the smallest depth that holds `depth` levels, cut to them.',
      tags: ['market data'],
      params: MarketAddress,
      querystring: z.strictObject({ depth }),
      response: { 200: BookReading, default: PROBLEM_RESPONSE },
    },
    handler: async (request, reply) => {
      const { depth: levels } = request.query;
      const tier = tierFor(levels);
      const reading = await read(request.params, ({ venue, symbol }) => `book:${venue}:${symbol}:${tier}:100ms`);
      if (!reading.ok) return sendRefusal(reply, reading);
      return presentReading(
        reading.value,
        cutBook(reading.value.message.data as BookSnapshot, levels),
        context.clock.now(),
      );
    },
  });
}

export function tierFor(levels: number): BookDepth {
  return BOOK_DEPTHS.find((depth) => depth >= levels) ?? DEPTH_LIMIT;
}

/** The checksum stays true to what is sent: it covers fewer than ten levels when fewer are asked for. */
export function cutBook(book: BookSnapshot, levels: number): BookSnapshot {
  const bids = book.bids.slice(0, levels);
  const asks = book.asks.slice(0, levels);
  return { bids, asks, checksum: levels >= CHECKSUM_DEPTH ? book.checksum : bookChecksum(bids, asks) };
}
