import type { SandboxVenue } from '../tape.ts';
import type { VenueFactory } from '../venue.ts';
import { BinanceDriver } from './binance.ts';
import { CoinbaseDriver } from './coinbase.ts';
import { KrakenDriver } from './kraken.ts';
import { KucoinDriver } from './kucoin.ts';
import { OkxDriver } from './okx.ts';

const FACTORIES: Readonly<Record<SandboxVenue, VenueFactory>> = {
  binance: (services) => new BinanceDriver('binance', services),
  binanceusdm: (services) => new BinanceDriver('binanceusdm', services),
  kraken: (services) => new KrakenDriver(services),
  coinbase: (services) => new CoinbaseDriver(services),
  kucoin: (services) => new KucoinDriver(services),
  okx: (services) => new OkxDriver(services),
};

export function venueFactory(venue: SandboxVenue): VenueFactory {
  return FACTORIES[venue];
}
