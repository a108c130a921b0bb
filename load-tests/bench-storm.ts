// npm run bench:storm. Thousands of clients lose their connections in one moment and come back: how long until each has a proved book.
import { setTimeout as sleep } from 'node:timers/promises';
import { describeConditions, inMs } from './lib/conditions.ts';
import { sumOf } from './lib/prometheus.ts';
import { startServer } from './lib/server-process.ts';
import { readNumber } from './lib/settings.ts';
import { startStormClients } from './lib/storm-clients.ts';

const users = readNumber('VUS', process.env.VUS, 5_000);
const rounds = readNumber('ROUNDS', process.env.ROUNDS, 3);
const STREAMS = ['BTC/USDT', 'ETH/USDT', 'SOL/USDT', 'XRP/USDT'].map((symbol) => `book:binance:${symbol}:10:1s`);
const BACK_BUDGET_MS = 15_000;
const LAG_BUDGET_MS = 500;
const SETTLE_MS = 3_000;

type Round = Readonly<{ p50: number; last: number; lagMs: number; failures: readonly string[] }>;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

async function run(): Promise<number> {
  console.log(describeConditions());
  const server = await startServer();
  try {
    const clients = await startStormClients(server.baseUrl, { count: users, streams: STREAMS });
    const all: Round[] = [];
    for (let round = 1; round <= rounds; round++) {
      await sleep(SETTLE_MS);
      // A reading of the lag starts it anew: the next one covers the storm alone.
      const before = await server.metrics();
      const { back, missing, attempts, refused, broken, wrong, silentGaps } = await clients.cut();
      const after = await server.metrics();
      const sorted = back.toSorted((a, b) => a - b);
      const [p50 = Infinity, last = Infinity] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
      const lagMs = sumOf(after, 'nodejs_eventloop_lag_p99_seconds') * 1_000;
      const told = sumOf(after, 'gateway_refused_total') - sumOf(before, 'gateway_refused_total');
      const rss = sumOf(after, 'process_resident_memory_bytes') / 2 ** 20;
      console.log(
        `round ${round}: ${back.length} of ${users} back with proved books, half after ${inMs(p50)} ms, the last after ${inMs(last)} ms; ` +
          `${attempts} handshakes tried, ${refused} told to come later (${told} by the server's count), ${broken} ended otherwise; lag p99 ${inMs(lagMs)} ms, RSS ${rss.toFixed(0)} MiB`,
      );
      const failures = [
        ...(missing > 0 ? [`${missing} are not back`] : []),
        ...(told === refused ? [] : [`${told} refusals were sent and ${refused} came`]),
        ...(wrong > 0 ? [`${wrong} wrong books or refusals`] : []),
        ...(silentGaps > 0 ? [`${silentGaps} silent gaps`] : []),
      ];
      all.push({ p50, last, lagMs, failures });
    }
    await clients.stop();
    const last = median(all.map((each) => each.last));
    const lagMs = median(all.map((each) => each.lagMs));
    const failures = all.flatMap((each) => each.failures);
    console.log(
      `median of ${rounds}: the last is back after ${inMs(last)} ms (budget ${BACK_BUDGET_MS}), lag p99 ${inMs(lagMs)} ms (budget ${LAG_BUDGET_MS}); ` +
        (failures.length === 0 ? 'nothing wrong' : failures.join(', ')),
    );
    return last <= BACK_BUDGET_MS && lagMs < LAG_BUDGET_MS && failures.length === 0 ? 0 : 1;
  } finally {
    await server.stop();
  }
}

process.exitCode = await run();
