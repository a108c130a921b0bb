// npm run load -- <scenario>. The scenarios of k6 with the same thresholds in plain Node: for machines without k6, and for a
// quick look. One process makes all the load, so figures at many users say as much about it as about the server.
import { nodeWorld } from './lib/node-world.ts';
import type { NodeWorld } from './lib/node-world.ts';
import type { Environment, Plan } from './lib/plan.ts';
import { PLANS } from './lib/plans.ts';
import type { Scenario } from './lib/scenario.ts';
import { startServer } from './lib/server-process.ts';
import { judge } from './lib/thresholds.ts';

const { env } = process;

async function run(name: string): Promise<number> {
  const planOf = (PLANS as Readonly<Record<string, (env: Environment) => Plan>>)[name];
  if (planOf === undefined) {
    console.error(
      `usage: npm run load -- ${Object.keys(PLANS).join(' | ')}   (knobs: BASE_URL DOOR VUS STREAMS DURATION RATE)`,
    );
    return 2;
  }
  const server = env.BASE_URL ? null : await startServer();
  try {
    const { scenario, parts } = planOf({ ...env, ...(server && { BASE_URL: server.baseUrl, OPS_URL: server.opsUrl }) });
    const world = nodeWorld(scenario);
    for (const part of Object.values(parts)) for (let user = 0; user < part.users; user++) part.run(world, user);
    await world.idle();
    return report(scenario, world);
  } finally {
    await server?.stop();
  }
}

function report(scenario: Scenario, { states }: NodeWorld): number {
  for (const [name, { kind, histogram, samples, sum }] of states) {
    const quantiles = [0.5, 0.95, 0.99].map((share) => histogram.quantile(share).toFixed(1)).join(' / ');
    if (kind === 'trend')
      console.log(`${name}: p50/p95/p99 ${quantiles} ms, max ${histogram.max.toFixed(1)}, n ${samples}`);
    else console.log(`${name}: ${kind === 'rate' ? `${sum} of ${samples}` : sum}`);
  }
  const judgements = judge(scenario, states);
  for (const { metric, expression, actual, passed } of judgements) {
    console.log(`${passed ? 'ok  ' : 'FAIL'} ${metric} ${expression} (${actual.toFixed(3)})`);
  }
  return judgements.every(({ passed }) => passed) ? 0 : 1;
}

process.exitCode = await run(process.argv[2] ?? '');
