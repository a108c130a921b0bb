// npm run bench:orders. What an order costs on its way to being durable: the bare SQL function, the command layer, HTTP and
// the sockets, interleaved in one run against one Postgres; then fills, and how soon the user's own stream tells.
import { setTimeout as sleep } from 'node:timers/promises';
import { medianOf } from './lib/callers.ts';
import type { Load, PassFigures } from './lib/callers.ts';
import { describeConditions, inMs } from './lib/conditions.ts';
import { childrenMs, mainThreadMs } from './lib/cpu-time.ts';
import type { DoorName } from './lib/order-doors.ts';
import { clearOrders, measurePushes, placeThrough, wishedOrders } from './lib/order-passes.ts';
import type { OrderServer } from './lib/order-passes.ts';
import { startOrderRig } from './lib/order-rig.ts';
import type { OrderRig } from './lib/order-rig.ts';
import { startServer } from './lib/server-process.ts';
import { readNumber } from './lib/settings.ts';
import { registerTraders } from './lib/traders.ts';

const { env } = process;
const rounds = readNumber('ROUNDS', env.ROUNDS, 5);
const seconds = readNumber('DURATION', env.DURATION, 1.5);
const callerCounts = (env.CALLERS || '1,8,32,128').split(',').map((text) => readNumber('CALLERS', text, 32));
/** As many as callers, so that each of 128 is a user of its own. */
const TRADERS = 128;
/** Where the budgets apply. */
const JUDGED_CALLERS = 32;
const RATIO_BUDGETS = { layer: 0.8, http: 0.35, ws: 0.35, socketio: 0.35 } as const;
const HALF_LOAD_P99_BUDGET_MS = 50;
const HALF_LOAD_SECONDS = 4;
/** Until the engine has taken what it was given. */
const FILLED_LIMIT_MS = 60_000;

const WAYS = ['bare', 'layer', 'http', 'ws', 'socketio'] as const;
type Way = (typeof WAYS)[number];
type Samples = Record<Way, PassFigures[]>;

async function pass(way: Way, load: Load, rig: OrderRig, server: OrderServer): Promise<PassFigures> {
  if (way === 'bare' || way === 'layer') return rig.place(way, load);
  const wishes = await wishedOrders(server.baseUrl, 'limit');
  const figures = await placeThrough(way, server, load, wishes);
  await clearOrders(server);
  return figures;
}

/** Throws when anything failed: figures of a run with refusals are figures of refusing. */
function checked(way: string, figures: PassFigures): PassFigures {
  if (figures.failures > 0) throw new Error(`${way}: ${figures.failures} failures, first: ${figures.firstFailure}`);
  return figures;
}

/** Markets that open, plans that are made and code that is compiled only once. */
async function warmUp(rig: OrderRig, server: OrderServer): Promise<void> {
  for (const way of WAYS) await pass(way, { callers: JUDGED_CALLERS, seconds }, rig, server);
}

async function placeAtAll(rig: OrderRig, server: OrderServer): Promise<Map<number, Samples>> {
  const all = new Map<number, Samples>();
  for (const callers of callerCounts) {
    const samples: Samples = { bare: [], layer: [], http: [], ws: [], socketio: [] };
    for (let round = 0; round < rounds; round++) {
      for (const way of WAYS) samples[way].push(checked(way, await pass(way, { callers, seconds }, rig, server)));
    }
    all.set(callers, samples);
    for (const way of WAYS) console.log(`placing, ${callers} callers, ${way.padEnd(8)}: ${describe(samples, way)}`);
  }
  return all;
}

function describe(samples: Samples, way: Way): string {
  const [rate, p50, p99] = [rateOf(samples[way]), ...quantilesOf(samples[way])];
  return `${rate.toFixed(0)}/s, p50 ${inMs(p50)} p99 ${inMs(p99)} ms, x${ratioOf(samples, way).toFixed(2)} of bare, x${cpuRatioOf(samples, way).toFixed(2)} by CPU (ms each: ${describeCpu(samples[way])})`;
}

/** The same by CPU time: what two free cores would come to. Neighbours move it far less than they move rates. */
function cpuRatioOf(samples: Samples, way: Way): number {
  return medianOf(samples[way].map((each, round) => cpuOf(samples.bare[round]!) / cpuOf(each)));
}

function cpuOf({ cpuMs }: PassFigures): number {
  return cpuMs === null ? NaN : Object.values(cpuMs).reduce((sum, each) => sum + each, 0);
}

function describeCpu(passes: readonly PassFigures[]): string {
  const names = Object.keys(passes[0]?.cpuMs ?? {});
  return names
    .map((name) => `${name} ${medianOf(passes.map(({ cpuMs }) => cpuMs?.[name] ?? NaN)).toFixed(2)}`)
    .join(', ');
}

function rateOf(passes: readonly PassFigures[]): number {
  return medianOf(passes.map(({ perSecond }) => perSecond));
}

function quantilesOf(passes: readonly PassFigures[]): [number, number] {
  return [medianOf(passes.map(({ p50 }) => p50)), medianOf(passes.map(({ p99 }) => p99))];
}

/** The median over the rounds of each round's own ratio: a machine that changes its pace changes both sides of one round. */
function ratioOf(samples: Samples, way: Way): number {
  return medianOf(samples[way].map(({ perSecond }, round) => perSecond / samples.bare[round]!.perSecond));
}

/** Half of what 32 callers reach just before, offered at fixed times: a shared machine is another one minutes later. */
async function atHalfLoad(rig: OrderRig, server: OrderServer): Promise<Map<Way, PassFigures>> {
  const found = new Map<Way, PassFigures>();
  for (const way of WAYS) {
    const full = checked(way, await pass(way, { callers: JUDGED_CALLERS, seconds }, rig, server));
    const offered = Math.max(1, Math.floor(full.perSecond / 2));
    const load = { callers: JUDGED_CALLERS, seconds: HALF_LOAD_SECONDS, offered };
    const figures = checked(way, await pass(way, load, rig, server));
    found.set(way, figures);
    console.log(
      `half load, ${way.padEnd(8)}: offered ${offered}/s, done ${figures.perSecond.toFixed(0)}/s, p50 ${inMs(figures.p50)} p99 ${inMs(figures.p99)} ms`,
    );
  }
  return found;
}

async function fills(rig: OrderRig, server: OrderServer): Promise<void> {
  const samples: Record<'bare' | 'layer', PassFigures[]> = { bare: [], layer: [] };
  const load = { callers: JUDGED_CALLERS, seconds };
  for (let round = 0; round < rounds; round++) {
    for (const way of ['bare', 'layer'] as const) samples[way].push(checked(way, await rig.fill(way, load)));
  }
  for (const way of ['bare', 'layer'] as const) {
    const [p50, p99] = quantilesOf(samples[way]);
    console.log(`fills, 32 orders, ${way}: ${rateOf(samples[way]).toFixed(0)}/s, p50 ${inMs(p50)} p99 ${inMs(p99)} ms`);
  }
  const before = await server.census();
  const beganMs = performance.now();
  const wishes = await wishedOrders(server.baseUrl, 'market');
  const placed = checked('market orders', await placeThrough('ws', server, load, wishes));
  let after = await server.census();
  while (after.open > 0 && performance.now() < beganMs + FILLED_LIMIT_MS) {
    await sleep(100);
    after = await server.census();
  }
  const took = (performance.now() - beganMs) / 1_000;
  const made = after.fills - before.fills;
  console.log(
    `paper engine: market orders placed at ${placed.perSecond.toFixed(0)}/s for ${seconds} s; ${made} fills in ${took.toFixed(1)} s (${(made / took).toFixed(0)}/s), ${after.open} orders still open`,
  );
  await clearOrders(server);
}

async function pushes(samples: Samples, server: OrderServer): Promise<void> {
  for (const [name, load] of [
    ['one caller', { callers: 1, seconds: HALF_LOAD_SECONDS }],
    ['half load', { callers: JUDGED_CALLERS, seconds: HALF_LOAD_SECONDS, offered: rateOf(samples.ws) / 2 }],
  ] as const) {
    const found = await measurePushes(server, load, await wishedOrders(server.baseUrl, 'limit'));
    const [p50, p99] = [found.afterAnswer.quantile(0.5), found.afterAnswer.quantile(0.99)];
    const early = ((100 * found.beforeAnswer) / Math.max(1, found.pushes)).toFixed(0);
    console.log(
      `answer to push on \`orders\`, ${name}: p50 ${inMs(p50)} p99 ${inMs(p99)} ms, ${early} % before the answer, n ${found.pushes}, missing ${found.missing}`,
    );
    await clearOrders(server);
    if (found.missing > 0) throw new Error(`${found.missing} placed orders were never told`);
  }
}

function judge(samples: Samples, half: ReadonlyMap<Way, PassFigures>): boolean {
  let passed = true;
  const say = (holds: boolean, text: string): void => {
    passed &&= holds;
    console.log(`${holds ? 'ok  ' : 'MISS'} ${text}`);
  };
  for (const [way, budget] of Object.entries(RATIO_BUDGETS) as [DoorName | 'layer', number][]) {
    const ratio = ratioOf(samples, way);
    const byCpu = cpuRatioOf(samples, way).toFixed(2);
    say(
      ratio >= budget,
      `${way} / bare SQL at ${JUDGED_CALLERS} callers: ${ratio.toFixed(2)}, by CPU ${byCpu} (budget >= ${budget})`,
    );
  }
  const bareP99 = half.get('bare')?.p99 ?? NaN;
  for (const [way, { p99 }] of half) {
    if (way === 'bare') continue;
    say(
      p99 < HALF_LOAD_P99_BUDGET_MS,
      `${way} p99 at half load: ${inMs(p99)} ms (budget < ${HALF_LOAD_P99_BUDGET_MS}; bare SQL ${inMs(bareP99)} ms)`,
    );
  }
  return passed;
}

async function run(): Promise<number> {
  const rig = await startOrderRig();
  try {
    const child = await startServer({ env: { DATABASE_URL: rig.databaseUrl } });
    try {
      console.log(`${describeConditions()}; ${rig.postgres}, synchronous_commit on, 10 connections each`);
      const traders = await registerTraders(child.baseUrl, TRADERS);
      const meter = (): Record<string, number | null> => ({
        postgres: childrenMs(rig.postmasterPid),
        process: mainThreadMs(child.pid),
        client: mainThreadMs(process.pid),
      });
      const server = { baseUrl: child.baseUrl, traders, meter, census: () => rig.census() };
      await warmUp(rig, server);
      const samples = (await placeAtAll(rig, server)).get(JUDGED_CALLERS);
      if (samples === undefined) return 0;
      const half = await atHalfLoad(rig, server);
      await fills(rig, server);
      await pushes(samples, server);
      return judge(samples, half) ? 0 : 1;
    } finally {
      await child.stop();
    }
  } finally {
    await rig.stop();
  }
}

process.exitCode = await run();
