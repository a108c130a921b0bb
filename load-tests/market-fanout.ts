// k6 run load-tests/market-fanout.ts, or npm run k6 -- market-fanout. What it measures: lib/fanout-scenario.ts.
import { FANOUT, runFanoutUser } from './lib/fanout-scenario.ts';
import { k6World, scenarioOptions } from './lib/k6-world.ts';
import { FANOUT_SHAPES, readSettings, readShape, secondsOf } from './lib/settings.ts';

const shape = readShape(__ENV.SHAPE, FANOUT_SHAPES);
const settings = { ...readSettings(__ENV, { users: 50, seconds: secondsOf(shape) }), shape };
const world = k6World(FANOUT);

export const options = scenarioOptions(FANOUT, settings);

export default function marketFanout(): void {
  runFanoutUser(world, settings, __VU - 1);
}
