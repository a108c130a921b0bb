import { expect, it } from 'vitest';
import { seededRandom } from '../kernel/random.ts';
import { GARBAGE_KINDS } from './fault-script.ts';
import { garbled } from './garble.ts';

const FRAMES = {
  binance: '{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":5,"u":6,"b":[["61737.63000000","1.5"]],"a":[]}',
  kraken:
    '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":58724.8,"qty":0.36000000}],"asks":[]}]}',
  coinbase:
    '{"channel":"l2_data","timestamp":"2026-08-09T21:05:48.505350477Z","events":[{"product_id":"BTC-USD","updates":[{"price_level":"65062.5"}]}]}',
  deletion: '{"topic":"/market/level2:X","data":{"changes":{"asks":[["1","0","5"]]}}}',
};

it.each(Object.entries(FRAMES))('makes of a %s frame something else, the same for the same seed', (_venue, frame) => {
  for (const kind of GARBAGE_KINDS) {
    const once = garbled(frame, kind, seededRandom(3));
    if (kind !== 'symbol' || frame !== FRAMES.deletion) expect(once, kind).not.toBe(frame);
    expect(garbled(frame, kind, seededRandom(3)), kind).toEqual(once);
  }
});

it('spoils the first price, quoted or bare, and never a time', () => {
  expect(garbled(FRAMES.binance, 'nan', seededRandom(1))).toContain('[["NaN","1.5"]]');
  expect(garbled(FRAMES.binance, 'negative', seededRandom(1))).toContain('[["-61737.63000000","1.5"]]');
  expect(garbled(FRAMES.kraken, 'negative', seededRandom(1))).toContain('"price":-58724.8,');
  expect(garbled(FRAMES.kraken, 'infinity', seededRandom(1))).toContain('"price":1e309,');
  expect(garbled(FRAMES.coinbase, 'nan', seededRandom(1))).toContain('"price_level":"NaN"');
});

it('a huge frame is valid JSON of several megabytes, the rest of it untouched', () => {
  const huge = garbled(FRAMES.binance, 'huge', seededRandom(1)) as string;
  expect(huge.length).toBeGreaterThan(4_000_000);
  const { padding: _padding, ...rest } = JSON.parse(huge) as Record<string, unknown>;
  expect(rest).toEqual(JSON.parse(FRAMES.binance));
});
