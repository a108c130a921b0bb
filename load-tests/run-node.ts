// npm run load -- <scenario>. The scenarios of k6 with the same thresholds in plain Node: for machines without k6, and for a
// quick look. One process makes all the load, so figures at many users say as much about it as about the server.
import { FANOUT, runFanoutUser } from './lib/fanout-scenario.ts';
import { nodeWorld } from './lib/node-world.ts';
import type { NodeWorld } from './lib/node-world.ts';
import { RECONNECT, runReconnectUser } from './lib/reconnect-scenario.ts';
import type { Scenario } from './lib/scenario.ts';
import { startServer } from './lib/server-process.ts';
import { readNumber, readSettings } from './lib/settings.ts';
import { judge } from './lib/thresholds.ts';

type Runner = Readonly<{
  scenario: Scenario;
  users: number;
  run(world: NodeWorld, baseUrl: string, user: number): void;
}>;

const { env } = process;
const fanout = readSettings(env, { users: 50, seconds: 20 });
const reconnect = {
  ...readSettings(env, { users: 20, seconds: 20 }),
  cycles: readNumber('CYCLES', env.CYCLES, 5),
  pauseMaxMs: readNumber('PAUSE_MAX_MS', env.PAUSE_MAX_MS, 2_000),
};
const RUNNERS: Readonly<Record<string, Runner>> = {
  'market-fanout': {
    scenario: FANOUT,
    users: fanout.users,
    run: (world, baseUrl, user) => runFanoutUser(world, { ...fanout, baseUrl }, user),
  },
  reconnect: {
    scenario: RECONNECT,
    users: reconnect.users,
    run: (world, baseUrl, user) => runReconnectUser(world, { ...reconnect, baseUrl }, user),
  },
};

async function run(): Promise<number> {
  const runner = RUNNERS[process.argv[2] ?? ''];
  if (!runner) {
    console.error(
      `usage: npm run load -- ${Object.keys(RUNNERS).join(' | ')}   (knobs: BASE_URL DOOR VUS STREAMS DURATION)`,
    );
    return 2;
  }
  const server = env.BASE_URL ? null : await startServer();
  try {
    const world = nodeWorld(runner.scenario);
    for (let user = 0; user < runner.users; user++) runner.run(world, server?.baseUrl ?? fanout.baseUrl, user);
    await world.idle();
    return report(runner.scenario, world);
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

process.exitCode = await run();
