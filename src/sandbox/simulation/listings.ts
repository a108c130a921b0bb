import type { SandboxVenue, TapeMarket } from '../tape.ts';

/** Tick and lot sizes as the venues had them in 2026 (public market metadata; a few markets only). */
type Listing = readonly [base: string, tickSize: string, lotSize: string, minSize: string];

const BINANCE: readonly Listing[] = [
  ['BTC', '0.01', '0.00001', '0.00001'],
  ['ETH', '0.01', '0.0001', '0.0001'],
  ['SOL', '0.01', '0.001', '0.001'],
  ['XRP', '0.0001', '0.1', '0.1'],
  ['DOGE', '0.00001', '1', '1'],
  ['ADA', '0.0001', '0.1', '0.1'],
  ['LTC', '0.01', '0.001', '0.001'],
  ['LINK', '0.01', '0.01', '0.01'],
];
const BINANCE_FUTURES: readonly Listing[] = [
  ['BTC', '0.1', '0.001', '0.001'],
  ['ETH', '0.01', '0.001', '0.001'],
  ['SOL', '0.01', '0.01', '0.01'],
  ['XRP', '0.0001', '0.1', '0.1'],
  ['DOGE', '0.00001', '1', '1'],
  ['ADA', '0.0001', '1', '1'],
  ['LTC', '0.01', '0.001', '0.001'],
  ['LINK', '0.001', '0.01', '0.01'],
];
const KRAKEN: readonly Listing[] = [
  ['BTC', '0.1', '0.00000001', '0.00005'],
  ['ETH', '0.01', '0.00000001', '0.001'],
  ['SOL', '0.01', '0.00000001', '0.06'],
  ['XRP', '0.00001', '0.00000001', '4'],
  ['DOGE', '0.0000001', '0.00000001', '50'],
  ['ADA', '0.000001', '0.00000001', '15'],
  ['LTC', '0.01', '0.00000001', '0.08'],
  ['LINK', '0.00001', '0.00000001', '0.5'],
];
const COINBASE: readonly Listing[] = [
  ['BTC', '0.01', '0.00000001', '0.00000001'],
  ['ETH', '0.01', '0.00000001', '0.00000001'],
  ['SOL', '0.01', '0.00000001', '0.00000001'],
  ['XRP', '0.0001', '0.000001', '0.000001'],
  ['DOGE', '0.00001', '0.1', '0.1'],
  ['ADA', '0.0001', '0.00000001', '0.00000001'],
  ['LTC', '0.01', '0.00000001', '0.00000001'],
  ['LINK', '0.001', '0.01', '0.01'],
];
const KUCOIN: readonly Listing[] = [
  ['BTC', '0.1', '0.00000001', '0.00001'],
  ['ETH', '0.01', '0.0000001', '0.0001'],
  ['SOL', '0.01', '0.0001', '0.01'],
  ['XRP', '0.00001', '0.0001', '0.1'],
  ['DOGE', '0.00001', '0.0001', '10'],
  ['ADA', '0.0001', '0.0001', '0.1'],
  ['LTC', '0.01', '0.000001', '0.01'],
  ['LINK', '0.001', '0.0001', '0.01'],
];
const OKX: readonly Listing[] = [
  ['BTC', '0.1', '0.00000001', '0.00001'],
  ['ETH', '0.01', '0.000001', '0.0001'],
  ['SOL', '0.01', '0.000001', '0.01'],
  ['XRP', '0.0001', '0.000001', '1'],
  ['DOGE', '0.00001', '0.000001', '10'],
  ['ADA', '0.0001', '0.000001', '1'],
  ['LTC', '0.01', '0.000001', '0.01'],
  ['LINK', '0.001', '0.000001', '0.1'],
];

const LISTINGS: Readonly<
  Record<SandboxVenue, Readonly<{ quote: string; minNotional: string; listings: readonly Listing[] }>>
> = {
  binance: { quote: 'USDT', minNotional: '5', listings: BINANCE },
  binanceusdm: { quote: 'USDT', minNotional: '5', listings: BINANCE_FUTURES },
  kraken: { quote: 'USD', minNotional: '0.5', listings: KRAKEN },
  coinbase: { quote: 'USD', minNotional: '1', listings: COINBASE },
  kucoin: { quote: 'USDT', minNotional: '0.1', listings: KUCOIN },
  okx: { quote: 'USDT', minNotional: '1', listings: OKX },
};

export function marketsOf(venue: SandboxVenue): TapeMarket[] {
  const { quote, minNotional, listings } = LISTINGS[venue];
  return listings.map(([base, tickSize, lotSize, minSize]) => ({
    symbol: venue === 'binanceusdm' ? `${base}/${quote}:${quote}` : `${base}/${quote}`,
    base,
    quote,
    tickSize,
    lotSize,
    minSize,
    minNotional,
  }));
}
