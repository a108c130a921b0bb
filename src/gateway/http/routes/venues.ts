import { z } from 'zod';
import type { Venue } from '../../../protocol/messages.ts';
import type { GatewayContext, HttpApp } from '../gateway-context.ts';
import { PROBLEM_RESPONSE, VenuesAnswer } from '../shapes.ts';
import { readStream } from '../stream-reading.ts';

/** A venue's health is there from the start in one process; from another process it takes one exchange over the bus. */
const VENUE_WAIT_MS = 1_000;

export function venuesRoute(app: HttpApp, context: GatewayContext): void {
  app.route({
    method: 'GET',
    url: '/v1/venues',
    schema: {
      summary: 'Configured venues and how they are doing',
      tags: ['markets'],
      querystring: z.strictObject({}),
      response: { 200: VenuesAnswer, default: PROBLEM_RESPONSE },
    },
    handler: async () => readVenues(context),
  });
}

export async function readVenues(context: GatewayContext): Promise<{ venues: Venue[]; unreported: string[] }> {
  const read = await Promise.all(context.venues.map((venue) => readVenue(context, venue)));
  const unreported = context.venues.filter((_, index) => read[index] === null);
  return { venues: read.filter((venue) => venue !== null), unreported };
}

/** When the word about a venue is itself in doubt (the bus is cut), that doubt stands in place of the last word. */
async function readVenue(context: GatewayContext, venue: string): Promise<Venue | null> {
  const reading = await readStream(context.cache, `venue:${venue}`, VENUE_WAIT_MS);
  if (reading === null) return null;
  const told = reading.message.data as Venue;
  return reading.state.status === 'live' ? told : { ...told, ...reading.state };
}
