// k6 run load-tests/orders-market.ts, or npm run k6 -- orders-market. What it measures: lib/orders-scenario.ts while lib/fanout-scenario.ts runs beside it.
import { k6World, planOptions, vuOf } from './lib/k6-world.ts';
import { PLANS } from './lib/plans.ts';

const plan = PLANS['orders-market'](__ENV);
const world = k6World(plan.scenario);

export const options = planOptions(plan);
export const subscribers = vuOf(world, plan, 'subscribers');
export const traders = vuOf(world, plan, 'traders');
