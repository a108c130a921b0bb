// k6 run load-tests/orders.ts, or npm run k6 -- orders. What it measures: lib/orders-scenario.ts.
import { k6World, scenarioOptions } from './lib/k6-world.ts';
import { ORDERS, readOrdersSettings, runOrdersUser } from './lib/orders-scenario.ts';
import { readNumber, readSettings } from './lib/settings.ts';

const settings = readOrdersSettings(__ENV, readSettings(__ENV, { users: 50, seconds: 20 }), readNumber);
const world = k6World(ORDERS);

export const options = scenarioOptions(ORDERS, settings);

export default function orders(): void {
  runOrdersUser(world, settings, __VU - 1);
}
