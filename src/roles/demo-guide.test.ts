import { expect, it } from 'vitest';
import { market } from '../testing/scripted-market.ts';
import { describeDemo } from './demo-guide.ts';

const CONFIG = { host: '127.0.0.1', marketData: 'simulation', replayDir: null, sandboxSeed: 7 } as const;

function guide(changes: object, symbols: string[]): string {
  const markets = symbols.map((symbol) => market('kraken', symbol));
  const directory = { venues: () => [{ venue: 'kraken' }] as never, markets: () => markets };
  return describeDemo({ config: { ...CONFIG, ...changes }, port: 4000, opsPort: 9000, directory });
}

it('what the guide says to try names ports and a market that are there', () => {
  const text = guide({}, ['AAVE/EUR', 'BTC/USD']);
  expect(text).toContain('http://localhost:4000/docs');
  expect(text).toContain("curl 'http://localhost:4000/v1/markets/kraken/BTC-USD/book?depth=5'");
  expect(text).toContain('"streams":["ticker:kraken:BTC/USD"');
  expect(text).toContain('http://localhost:9000/ready');
  expect(text).toContain('SANDBOX_SEED=7');
});

it('where the data come from is never left open', () => {
  expect(guide({ marketData: 'recording', replayDir: '/recorded' }, [])).toContain('recorded traffic from /recorded');
  expect(guide({ marketData: 'live' }, [])).toContain('live data from the exchanges');
});
