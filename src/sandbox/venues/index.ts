import type { SandboxVenue } from '../tape.ts';
import type { VenueFactory } from '../venue.ts';
import { createBinance } from './binance.ts';
import { createCoinbase } from './coinbase.ts';
import { createKraken } from './kraken.ts';
import { createKucoin } from './kucoin.ts';
import { createOkx } from './okx.ts';

const FACTORIES: Readonly<Record<SandboxVenue, VenueFactory>> = {
  binance: createBinance('binance'),
  binanceusdm: createBinance('binanceusdm'),
  kraken: createKraken,
  coinbase: createCoinbase,
  kucoin: createKucoin,
  okx: createOkx,
};

export function venueFactory(venue: SandboxVenue): VenueFactory {
  return FACTORIES[venue];
}
