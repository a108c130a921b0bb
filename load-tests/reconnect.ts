// k6 run load-tests/reconnect.ts, or npm run k6 -- reconnect. What it measures: lib/reconnect-scenario.ts.
import { k6World, planOptions, vuOf } from './lib/k6-world.ts';
import { PLANS } from './lib/plans.ts';

const plan = PLANS.reconnect(__ENV);
const world = k6World(plan.scenario);

export const options = planOptions(plan);
export const users = vuOf(world, plan, 'users');
