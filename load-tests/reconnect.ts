// k6 run load-tests/reconnect.ts, or npm run k6 -- reconnect. What it measures: lib/reconnect-scenario.ts.
import { k6World, scenarioOptions } from './lib/k6-world.ts';
import { RECONNECT, RECONNECT_STORM, runReconnectUser } from './lib/reconnect-scenario.ts';
import { RECONNECT_SHAPES, readNumber, readSettings, readShape } from './lib/settings.ts';

const shape = readShape(__ENV.SHAPE, RECONNECT_SHAPES);
const scenario = shape === 'storm' ? RECONNECT_STORM : RECONNECT;
const settings = {
  shape,
  ...readSettings(__ENV, { users: 20, seconds: 20 }),
  cycles: readNumber('CYCLES', __ENV.CYCLES, 5),
  pauseMaxMs: readNumber('PAUSE_MAX_MS', __ENV.PAUSE_MAX_MS, 2_000),
};
const world = k6World(scenario);

export const options = scenarioOptions(scenario, settings);

export default function reconnect(): void {
  runReconnectUser(world, settings, __VU - 1);
}
