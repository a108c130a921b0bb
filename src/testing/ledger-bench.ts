import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { createLedger } from '../modules/ledger/index.ts';
import type { CommandOrigin, Ledger, LedgerCommand } from '../modules/ledger/index.ts';
import { encodeCommand } from '../modules/ledger/store.ts';
import { decideTrade } from '../modules/ledger/rules.ts';
import { BTC, USDT } from './ledger.ts';
import { startTestPostgres } from './postgres.ts';

/**
 * What the command layer costs over the bare SQL function of the same writes: both through postgres.js with as many connections,
 * interleaved in one run. `node src/testing/ledger-bench.ts [--seconds 2] [--rounds 5]`
 */
const USERS = 1_000;
const CONNECTIONS = 10;
const CALLERS = [1, 8, 32] as const;

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '2' }, rounds: { type: 'string', default: '5' } },
});
const [seconds, rounds] = [Number(values.seconds), Number(values.rounds)];

const server = await startTestPostgres();
const at = await server.createDatabase();
const database = await at.open({ size: CONNECTIONS });
const ledger: Ledger = createLedger({ database, tell: () => {} });
const unpipelined = { max_pipeline: 0 };
const bare = postgres(at.appUrl, { ...unpipelined, max: CONNECTIONS, fetch_types: false, onnotice: () => {} });

const users = Array.from(
  { length: USERS },
  (_, index) => `00000000-0000-7000-8000-${index.toString(16).padStart(12, '0')}`,
);
let count = 0;
const origin = (): CommandOrigin => ({ key: { scope: 'bench', key: `${(count += 1)}` }, actor: 'bench' });
const user = () => users[Math.floor(Math.random() * USERS)]!;

for (const [code, scale] of [
  [USDT, 2],
  [BTC, 8],
] as const)
  await ledger.defineAsset({ code, scale });
for (const owner of users) {
  for (const asset of [USDT, BTC]) {
    await ledger.credit({ ...origin(), owner, asset, amount: 10n ** 15n, from: { house: 'equity' } });
  }
}
await at.runScript('analyze');

const holdOf = (): LedgerCommand => {
  const begin = origin();
  const request = { owner: user(), asset: USDT, amount: 5n, reason: { purpose: 'order', reference: begin.key.key } };
  return { ...begin, kind: 'hold', holds: [request] };
};
const tradeOf = (): LedgerCommand => {
  const trade = decideTrade({
    base: { asset: BTC, amount: 5_000n },
    quote: { asset: USDT, paid: 500n, received: 500n },
    buyer: { party: { owner: user() }, fee: { asset: BTC, amount: 5n } },
    seller: { party: { house: 'clearing' }, fee: { asset: USDT, amount: 1n } },
  });
  if (!trade.ok) throw new Error(trade.message);
  return { ...origin(), kind: 'trade', ...trade.value };
};
const writes = { 'hold (1 hold)': holdOf, 'trade (4 legs, fees deferred)': tradeOf };
const ways = {
  bare: async (command: LedgerCommand) => {
    const [row] = await bare.unsafe('select ledger.post($1::text::jsonb) as answer', [encodeCommand(command)], {
      prepare: true,
    });
    if ((row!.answer as { status: string }).status !== 'posted') throw new Error(JSON.stringify(row));
  },
  layer: async (command: LedgerCommand) => {
    const outcome = await ledger.post(command);
    if (!outcome.ok) throw new Error(outcome.message);
  },
};

async function measure(callers: number, make: () => LedgerCommand, call: (command: LedgerCommand) => Promise<void>) {
  const latenciesMs: number[] = [];
  const beganMs = performance.now();
  const endMs = beganMs + seconds * 1_000;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (let atMs = performance.now(); atMs < endMs;) {
        await call(make());
        const nowMs = performance.now();
        latenciesMs.push(nowMs - atMs);
        atMs = nowMs;
      }
    }),
  );
  const perSecond = latenciesMs.length / ((performance.now() - beganMs) / 1_000);
  const sorted = latenciesMs.toSorted((one, other) => one - other);
  return { perSecond, p50: sorted[Math.floor(sorted.length * 0.5)]!, p99: sorted[Math.floor(sorted.length * 0.99)]! };
}

type Sample = Awaited<ReturnType<typeof measure>>;
const median = (samples: readonly Sample[], of: (sample: Sample) => number) =>
  samples.map(of).toSorted((one, other) => one - other)[Math.floor(samples.length / 2)]!;

for (const [name, make] of Object.entries(writes)) {
  for (const callers of CALLERS) {
    const samples = { bare: [] as Sample[], layer: [] as Sample[] };
    for (let round = 0; round < rounds; round++) {
      for (const way of ['bare', 'layer'] as const) samples[way].push(await measure(callers, make, ways[way]));
    }
    const line = (['bare', 'layer'] as const).map((way) => {
      const [rate, p50, p99] = [
        median(samples[way], (s) => s.perSecond),
        median(samples[way], (s) => s.p50),
        median(samples[way], (s) => s.p99),
      ];
      return `${way} ${rate.toFixed(0)}/s p50 ${p50.toFixed(1)} p99 ${p99.toFixed(1)} ms`;
    });
    const ratio = median(samples.layer, (s) => s.perSecond) / median(samples.bare, (s) => s.perSecond);
    console.log(`${name}, ${callers} callers: ${line.join('; ')}; ratio ${ratio.toFixed(2)}`);
  }
}
await database.stop();
await bare.end();
await server.stop();
