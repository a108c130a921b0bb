import type { Config } from '../config/schema.ts';
import type { MarketDirectory } from '../modules/market/index.ts';
import type { Market } from '../protocol/market.ts';

const LIKED_SYMBOLS = ['BTC/USDT', 'BTC/USD', 'ETH/USDT', 'ETH/USD'];

export type DemoFacts = Readonly<{
  config: Pick<Config, 'host' | 'marketData' | 'replayDir' | 'sandboxSeed'>;
  port: number;
  opsPort: number;
  directory: Pick<MarketDirectory, 'venues' | 'markets'>;
}>;

/** For the person who has just started it: what to open, and what to try next, in lines that work when pasted. */
export function describeDemo(facts: DemoFacts): string {
  const { config, port, opsPort } = facts;
  const host = ['127.0.0.1', '0.0.0.0', '::', '::1'].includes(config.host) ? 'localhost' : config.host;
  const web = `http://${host}:${port}`;
  const sample = pickSample(facts.directory);
  const address = sample.symbol.replace('/', '-');
  const request = {
    id: 1,
    method: 'subscribe',
    params: { streams: [`ticker:${sample.venue}:${sample.symbol}`, `book:${sample.venue}:${sample.symbol}:10:1s`] },
  };
  return `
  Tidewire is running: ${describeSource(config)}. Ctrl-C stops it.

  open     ${web}                the console
           ${web}/docs           REST, to try out
           ${web}/docs/streams   streams, both socket doors

  try      curl '${web}/v1/markets/${sample.venue}/${address}/book?depth=5'
           curl '${web}/v1/venues'
           npx wscat -c ws://${host}:${port}/ws -x '${JSON.stringify(request)}' -w 10

  replay   REPLAY_DIR=folder/of/a/recording npm run demo
  operate  curl 'http://${host}:${opsPort}/ready'; curl 'http://${host}:${opsPort}/metrics'

`;
}

function describeSource(config: DemoFacts['config']): string {
  switch (config.marketData) {
    case 'simulation':
      return `a simulated market (SANDBOX_SEED=${config.sandboxSeed})`;
    case 'recording':
      return `recorded traffic from ${config.replayDir}`;
    case 'live':
      return 'live data from the exchanges';
  }
}

function pickSample(directory: DemoFacts['directory']): Pick<Market, 'venue' | 'symbol'> {
  const listed = directory.venues().flatMap(({ venue }) => directory.markets(venue) ?? []);
  const liked = LIKED_SYMBOLS.map((symbol) => listed.find((market) => market.symbol === symbol)).find(Boolean);
  return liked ?? listed[0] ?? { venue: 'binance', symbol: 'BTC/USDT' };
}
