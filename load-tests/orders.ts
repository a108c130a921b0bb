// k6 run load-tests/orders.ts, or npm run k6 -- orders. What it measures: lib/orders-scenario.ts.
import { k6World, planOptions, vuOf } from './lib/k6-world.ts';
import { PLANS } from './lib/plans.ts';

const plan = PLANS.orders(__ENV);
const world = k6World(plan.scenario);

export const options = planOptions(plan);
export const users = vuOf(world, plan, 'users');
