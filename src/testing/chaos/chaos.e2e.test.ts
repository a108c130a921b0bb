import { describe, expect, it } from 'vitest';
import { describeFloor, runFloor } from './floor.ts';
import type { FloorOptions } from './floor.ts';

/** CI's share of each kind; `npm run chaos -- --kills 1000 --seed 1` is the whole of it. */
const KILLS = Number(process.env.CHAOS_KILLS ?? 50);
const SEED = Number(process.env.CHAOS_SEED ?? Date.now() % 1_000_000);
/** Of these, in the product's own process with its own market data, which takes longer to come back. */
const WHOLE_PROCESS_KILLS = Math.min(10, KILLS);
const LIMIT_MS = 1_800_000;

async function expectNothingLost(options: Omit<FloorOptions, 'seed'>): Promise<void> {
  const result = await runFloor({ ...options, seed: SEED });
  const story = `seed ${SEED}, ${options.server}: ${describeFloor(result)}`;
  console.log(`chaos: ${story}`);
  expect(result.breaches, story).toEqual([]);
  expect(result.tally.fills, story).toBeGreaterThan(0);
  expect(result.tally.ok, story).toBeGreaterThan(KILLS);
}

describe('people who trade over HTTP while everything is killed', { timeout: LIMIT_MS }, () => {
  it('lose no order, get none twice and see the same money everywhere: the whole server', async () => {
    const kills = { process: WHOLE_PROCESS_KILLS, backend: 5, immediate: 5, outage: 1 };
    await expectNothingLost({ server: 'main', users: 4, kills });
  });

  it('lose no order, get none twice and see the same money everywhere: over a market that moves fast', async () => {
    const kills = { process: KILLS - WHOLE_PROCESS_KILLS, backend: KILLS - 5, immediate: KILLS - 5 };
    await expectNothingLost({ server: 'walk', kills });
  });
});
