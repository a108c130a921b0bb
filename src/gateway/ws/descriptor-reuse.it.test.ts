import { expect, test } from 'vitest';
import { seededRandom } from '../../kernel/random.ts';
import { createLog } from '../../platform/log.ts';
import { loadNativeWriter } from '../../platform/native-writer/native-writer.ts';
import { stingy, stress } from './descriptor-stress-contract.ts';

const native = await loadNativeWriter(createLog({ level: 'silent' }));
const SECONDS = 3;
const PEERS = 200;

test.runIf(native !== null).each([
  ['at once', 0, false],
  ['gathered', 50, false],
  ['at once to sockets that are always nearly full', 0, true],
])(
  'nobody ever gets what was meant for another, nor half of anything, however fast sockets and their numbers change hands: %s',
  async (_name, flushWindowMs, isStingy) => {
    const writer = isStingy ? stingy(native!, seededRandom(3)) : native!;
    const result = await stress({ native: writer, flushWindowMs, peers: PEERS, seconds: SECONDS, seed: 5 });
    console.log(JSON.stringify({ ...result, wrong: result.wrong.length }));
    expect(result.wrong).toEqual([]);
    expect(result.left).toBe(0);
    // It has been what it is meant to be.
    expect(result.writes).toMatch(/native [1-9]\d{2,}/);
    for (const count of [result.connections, result.privatePushes, result.churned]) expect(count).toBeGreaterThan(100);
    expect(result.complete).toBeGreaterThan(10);
  },
);
