import { expect, it, vi } from 'vitest';
import { createMarketRig, market, state } from '../../testing/market-rig.ts';
import { createMarketDirectory } from './market-directory.ts';

it('tells an unknown venue, an unknown symbol and markets that are not loaded yet apart', () => {
  vi.useFakeTimers();
  const rig = createMarketRig();
  const directory = createMarketDirectory({ bus: rig.bus, venues: ['alpha', 'beta'] });
  expect(directory.find('alpha', 'BTC/USDT')).toEqual({ found: 'venue_unavailable' });
  expect(directory.markets('alpha')).toBeUndefined();
  rig.sequencer.ingest.markets('alpha', [market('BTC/USDT')]);
  expect(directory.find('alpha', 'BTC/USDT')).toEqual({ found: 'market', market: market('BTC/USDT') });
  expect(directory.find('alpha', 'ETH/USDT')).toEqual({ found: 'unknown_symbol' });
  expect(directory.find('gamma', 'BTC/USDT')).toEqual({ found: 'unknown_venue' });
  expect(directory.find('beta', 'BTC/USDT')).toEqual({ found: 'venue_unavailable' });
  expect(directory.find('alpha', '__proto__')).toEqual({ found: 'unknown_symbol' });
  expect(directory.markets('alpha')).toEqual([market('BTC/USDT')]);
  rig.sequencer.ingest.venueState('alpha', state('down', 'x'));
  vi.advanceTimersByTime(2_000);
  expect(directory.venues()).toMatchObject([
    { venue: 'alpha', status: 'down', markets: 1 },
    { venue: 'beta', markets: 0 },
  ]);
  directory.stop();
  rig.sequencer.stop();
  vi.useRealTimers();
});
