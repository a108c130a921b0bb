// k6 run load-tests/market-fanout.ts, or npm run k6 -- market-fanout. What it measures: lib/fanout-scenario.ts.
import { k6World, planOptions, vuOf } from './lib/k6-world.ts';
import { PLANS } from './lib/plans.ts';

const plan = PLANS['market-fanout'](__ENV);
const world = k6World(plan.scenario);

export const options = planOptions(plan);
export const users = vuOf(world, plan, 'users');
