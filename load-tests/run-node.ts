// npm run load -- <scenario>. The scenarios of k6 with the same thresholds in plain Node: for machines without k6, and for a
// quick look. One process makes all the load, so figures at many users say as much about it as about the server.
import { FANOUT, runFanoutUser } from './lib/fanout-scenario.ts';
import { nodeWorld } from './lib/node-world.ts';
import type { NodeWorld } from './lib/node-world.ts';
import { ORDERS, readOrdersSettings, runOrdersUser } from './lib/orders-scenario.ts';
import { RECONNECT, RECONNECT_STORM, runReconnectUser } from './lib/reconnect-scenario.ts';
import type { Scenario } from './lib/scenario.ts';
import { startServer } from './lib/server-process.ts';
import { FANOUT_SHAPES, RECONNECT_SHAPES, readNumber, readSettings, readShape, secondsOf } from './lib/settings.ts';
import { judge } from './lib/thresholds.ts';

type Runner = Readonly<{
  scenario: Scenario;
  users: number;
  run(world: NodeWorld, baseUrl: string, user: number): void;
}>;

const { env } = process;
const mode = process.argv[2] ?? '';
const fanoutShape = mode === 'market-fanout' ? readShape(env.SHAPE, FANOUT_SHAPES) : 'steady';
const fanout = { ...readSettings(env, { users: 50, seconds: secondsOf(fanoutShape) }), shape: fanoutShape };
const reconnect = {
  ...readSettings(env, { users: 20, seconds: 20 }),
  cycles: readNumber('CYCLES', env.CYCLES, 5),
  pauseMaxMs: readNumber('PAUSE_MAX_MS', env.PAUSE_MAX_MS, 2_000),
  shape: mode === 'reconnect' ? readShape(env.SHAPE, RECONNECT_SHAPES) : 'scattered',
};
const orders = readOrdersSettings(env, readSettings(env, { users: 50, seconds: 20 }), readNumber);
const RUNNERS: Readonly<Record<string, Runner>> = {
  'market-fanout': {
    scenario: FANOUT,
    users: fanout.users,
    run: (world, baseUrl, user) => runFanoutUser(world, { ...fanout, baseUrl }, user),
  },
  reconnect: {
    scenario: reconnect.shape === 'storm' ? RECONNECT_STORM : RECONNECT,
    users: reconnect.users,
    run: (world, baseUrl, user) => runReconnectUser(world, { ...reconnect, baseUrl }, user),
  },
  orders: {
    scenario: ORDERS,
    users: orders.users,
    run: (world, baseUrl, user) => runOrdersUser(world, { ...orders, baseUrl }, user),
  },
};

async function run(): Promise<number> {
  const runner = RUNNERS[mode];
  if (!runner) {
    console.error(
      `usage: npm run load -- ${Object.keys(RUNNERS).join(' | ')}   (knobs: BASE_URL DOOR VUS STREAMS DURATION RATE)`,
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
  // Times say nothing where the machine is shared: JUDGE=correctness looks only at what must hold at any load.
  const judged = env.JUDGE === 'correctness' ? judgements.filter(({ metric }) => !metric.endsWith('_ms')) : judgements;
  return judged.every(({ passed }) => passed) ? 0 : 1;
}

process.exitCode = await run();
