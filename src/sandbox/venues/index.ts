import type { SandboxVenue } from '../tape.ts';
import type { VenueFactory } from '../venue.ts';
import { createBinance } from './binance.ts';

export function venueFactory(venue: SandboxVenue): VenueFactory {
  switch (venue) {
    case 'binance':
    case 'binanceusdm':
      return createBinance(venue);
    default:
      throw new Error(`no driver for ${venue}`);
  }
}
