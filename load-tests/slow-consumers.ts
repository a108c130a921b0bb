// k6 run load-tests/slow-consumers.ts, or npm run k6 -- slow-consumers. What it measures: lib/slow-scenario.ts.
import { k6World, planOptions, vuOf } from './lib/k6-world.ts';
import { PLANS } from './lib/plans.ts';

const plan = PLANS['slow-consumers'](__ENV);
const world = k6World(plan.scenario);

export const options = planOptions(plan);
export const healthy = vuOf(world, plan, 'healthy');
export const napping = vuOf(world, plan, 'napping');
export const deaf = vuOf(world, plan, 'deaf');
export const watcher = vuOf(world, plan, 'watcher');
