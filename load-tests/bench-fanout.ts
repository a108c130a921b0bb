// npm run bench:fanout. Our gateway, with and without its native writer, against stock Socket.IO, plain `ws` and a bare C write
// loop: updates per second of server processor time, latency at half of each one's maximum, memory per connection.
import { setTimeout as sleep } from 'node:timers/promises';
import { resolve } from 'node:path';
import { seededRandom } from '../src/kernel/random.ts';
import { describeConditions } from './lib/conditions.ts';
import { Stand } from './lib/fanout/contestant.ts';
import type { Contestant, Received, Scenario } from './lib/fanout/contestant.ts';
import { compiled } from './lib/fanout/programs.ts';
import { readNumber } from './lib/settings.ts';

const PASSES = readNumber('PASSES', process.env.PASSES, 5);
const SECONDS = readNumber('SECONDS', process.env.SECONDS, 1);
const SUBSCRIBERS = (process.env.SUBSCRIBERS || '100,1000,5000').split(',').map(Number);
const SCENARIOS = (process.env.SCENARIOS || 'single,same,random').split(',');
/** Of the servers' names, besides stock Socket.IO: more passes of fewer. */
const SERVERS_WANTED = new RegExp(process.env.SERVERS || '.');
const LATENCY_SECONDS = 2;
const MESSAGE_BYTES = 200;
/** The windows of the scenarios with many streams. */
const WINDOW_MS = 50;
/** A round is a window: every stream once, in so many turns of the event loop. */
const TURNS = 10;
const SETTLE_MS = 300;

const SERVERS = resolve(import.meta.dirname, '../src/testing');
const SOCKETIO_PATH = '/socket.io/?EIO=4&transport=websocket';

type Result = { cpuRates: number[]; halves: Received[]; frames: number; updates: number; bytes: number };

function gateway({ streams, turnsPerRound }: Scenario, native: boolean): readonly string[] {
  const values = [streams, turnsPerRound, MESSAGE_BYTES, native ? 1 : 0, WINDOW_MS];
  return [process.execPath, `${SERVERS}/fanout-gateway.ts`, ...values.map(String)];
}

function reference(kind: 'socketio' | 'ws', { streams, turnsPerRound }: Scenario): readonly string[] {
  return [
    process.execPath,
    `${SERVERS}/fanout-reference.ts`,
    kind,
    ...[streams, turnsPerRound, MESSAGE_BYTES].map(String),
  ];
}

function singleStream(scenario: Scenario): Contestant[] {
  const loop = [compiled('write-loop'), String(scenario.subscribers), String(MESSAGE_BYTES)];
  const ofLoop = (call: 'write' | 'send'): Contestant => ({
    name: `C ${call}() loop`,
    command: [...loop, call],
    path: '/ws',
  });
  return [
    { name: 'stock Socket.IO, io.to().emit', command: reference('socketio', scenario), path: SOCKETIO_PATH },
    ofLoop('write'),
    ofLoop('send'),
    { name: 'plain ws, send in a loop', command: reference('ws', scenario), path: '/ws' },
    { name: 'gateway, Socket.IO', command: gateway(scenario, false), path: SOCKETIO_PATH },
    { name: 'gateway, Socket.IO, native', command: gateway(scenario, true), path: SOCKETIO_PATH },
    { name: 'gateway, /ws', command: gateway(scenario, false), path: '/ws' },
    { name: 'gateway, /ws, native', command: gateway(scenario, true), path: '/ws' },
  ];
}

function manyStreams(scenario: Scenario): Contestant[] {
  const ours = [false, true].flatMap((native): Contestant[] => {
    const command = gateway(scenario, native);
    const suffix = native ? ', native' : '';
    return [
      { path: SOCKETIO_PATH, name: `gateway, gathered writes${suffix}`, command },
      { path: SOCKETIO_PATH, name: `gateway, batch envelope${suffix}`, command, batchMs: WINDOW_MS },
    ];
  });
  const stock = reference('socketio', scenario);
  return [{ name: 'stock Socket.IO, one emit per update', command: stock, path: SOCKETIO_PATH }, ...ours];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const thousands = (rate: number): string => (rate / 1_000).toFixed(rate < 100_000 ? 1 : 0);
const ms = (value: number): string => value.toFixed(value < 10 ? 2 : 1);

function print(stands: readonly Stand[], results: ReadonlyMap<Stand, Result>, yardstick: string): void {
  const rate = (name: string): number => {
    const stand = stands.find(({ contestant }) => contestant.name === name);
    return stand === undefined ? Number.NaN : median(results.get(stand)!.cpuRates);
  };
  const stock = median(results.get(stands[0]!)!.cpuRates);
  const base = rate(yardstick);
  console.log(
    `| server | k updates/s/core (min-max) | x stock | x ${yardstick} | updates/frame | bytes/update | p50 / p99 / p99.9 ms at half load | RSS KB/connection |\n|---|---|---|---|---|---|---|---|`,
  );
  for (const stand of stands) {
    const result = results.get(stand)!;
    const own = median(result.cpuRates);
    const range = `${thousands(Math.min(...result.cpuRates))}-${thousands(Math.max(...result.cpuRates))}`;
    const latency = (pick: (half: Received) => number): string =>
      result.halves.length === 0 ? '-' : ms(median(result.halves.map(pick)));
    const rss = stand.rssPerConnection === null ? '-' : (stand.rssPerConnection / 1_024).toFixed(1);
    console.log(
      `| ${stand.contestant.name} | ${thousands(own)} (${range}) | ${(own / stock).toFixed(2)} | ${Number.isNaN(base) ? '-' : (own / base).toFixed(2)} | ${(result.updates / result.frames).toFixed(1)} | ${(result.bytes / result.updates).toFixed(0)} | ${latency(({ p50 }) => p50)} / ${latency(({ p99 }) => p99)} / ${latency(({ p999 }) => p999)} | ${rss} |`,
    );
  }
}

async function run(
  title: string,
  scenario: Scenario,
  contestants: readonly Contestant[],
  yardstick: string,
): Promise<void> {
  console.log(`\n### ${title}\n`);
  const stands: Stand[] = [];
  try {
    const wanted = contestants.filter(({ name }, index) => index === 0 || SERVERS_WANTED.test(name));
    for (const contestant of wanted) stands.push(await Stand.open(contestant, scenario, seededRandom(1)));
    const results = new Map<Stand, Result>();
    for (const stand of stands) results.set(stand, { cpuRates: [], halves: [], frames: 0, updates: 0, bytes: 0 });
    // Interleaved, so that a machine that changes its pace does so to all.
    for (let pass = 0; pass < PASSES; pass++) {
      for (const stand of stands) {
        const result = results.get(stand)!;
        let measured = await stand.pass(SECONDS);
        // The machine gave it no time for one whole round: that says nothing of the server.
        if (measured.measured === 0) measured = await stand.pass(SECONDS);
        if (measured.measured > 0) result.cpuRates.push(stand.rateOf(measured));
        result.frames += measured.frames;
        result.updates += measured.updates;
        result.bytes += measured.bytes;
        await sleep(SETTLE_MS);
      }
    }
    const perRound = scenario.subscribers * scenario.perSubscriber;
    for (let pass = 0; pass < PASSES && scenario.perSubscriber === 1; pass++) {
      for (const stand of stands) {
        const result = results.get(stand)!;
        const half = median(result.cpuRates) / perRound / 2;
        result.halves.push(await stand.pass(LATENCY_SECONDS, half));
        await sleep(SETTLE_MS);
      }
    }
    print(stands, results, yardstick);
  } finally {
    for (const stand of stands) stand.close();
  }
}

console.log(describeConditions());
console.log(
  `${MESSAGE_BYTES}-byte messages; medians of ${PASSES} interleaved passes of ${SECONDS} s; server on one core, receivers on the other; updates per second of server processor time`,
);
for (const subscribers of SCENARIOS.includes('single') ? SUBSCRIBERS : []) {
  const scenario = { subscribers, streams: 1, perSubscriber: 1, choice: 'same', turnsPerRound: 1 } as const;
  await run(`One stream, ${subscribers} subscribers`, scenario, singleStream(scenario), 'C write() loop');
}
for (const choice of ['same', 'random'] as const) {
  if (!SCENARIOS.includes(choice)) continue;
  const streams = choice === 'same' ? 50 : 500;
  const scenario = { subscribers: 1_000, streams, perSubscriber: 50, choice, turnsPerRound: TURNS } as const;
  const title = choice === 'same' ? 'the same 50 streams' : 'each its own 50 of 500 streams';
  await run(
    `1,000 subscribers, ${title}, ${WINDOW_MS} ms windows`,
    scenario,
    manyStreams(scenario),
    'gateway, gathered writes',
  );
}
