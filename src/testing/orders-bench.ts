import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import type { Caller, WorkingOrder } from '../modules/orders/index.ts';
import { createIds } from '../modules/orders/ids.ts';
import type { PlaceOrder } from '../protocol/trading.ts';
import { createOrderRig, engineFill, limitOrder, NO_KEY, refOf, valueOf } from './orders.ts';
import { startTestPostgres } from './postgres.ts';

/**
 * What the command layer costs over the bare SQL function of the same writes: `orders.place` called with prepared arguments and
 * through `OrderDesk.place`, both over postgres.js with as many connections, interleaved in one run; and fills per second.
 * `node src/testing/orders-bench.ts [--seconds 2] [--rounds 5] [--callers 1,8,32]`
 */
const USERS = 2_000;
const CONNECTIONS = 10;
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    callers: { type: 'string', default: '1,8,32' },
  },
});
const [seconds, rounds] = [Number(values.seconds), Number(values.rounds)];
const LIMITS = { user: 1_000_000, market: 1_000_000 };

const server = await startTestPostgres();
const at = await server.createDatabase();
const database = await at.open({ size: CONNECTIONS });
const rig = await createOrderRig(database, { limits: LIMITS });
const unpipelined = { max_pipeline: 0 };
// A client for each connection, as the layer has them: one client that spreads its queries itself was a third slower.
const clients = Array.from({ length: CONNECTIONS }, () =>
  postgres(at.appUrl, { ...unpipelined, max: 1, fetch_types: false, onnotice: () => {} }),
);
const idle = [...clients];
const waiting: ((client: postgres.Sql) => void)[] = [];
const users: Caller[] = [];
for (let count = 0; count < USERS; count += 20) {
  const batch = Array.from({ length: 20 }, () => rig.createUser({ 'PAPER:USDT': '1000000000', 'PAPER:BTC': '1' }));
  users.push(...(await Promise.all(batch)));
}
await at.runScript('analyze');
const user = () => users[Math.floor(Math.random() * USERS)]!;
const order = (): PlaceOrder => limitOrder({ quantity: '0.1', clientOrderId: randomUUID() });

/** Sorted by time as the layer's are: random ones would cost the bare function more pages of its indexes. */
const newId = createIds({ now: () => Date.now(), monotonic: () => performance.now() });

/** What the layer makes of an order before it calls the function. */
function requestOf(caller: Caller): string {
  const key = randomUUID();
  const columns = {
    id: newId(),
    client_order_id: key,
    account: 'paper',
    venue: 'binance',
    symbol: 'BTC/USDT',
    base: 'PAPER:BTC',
    quote: 'PAPER:USDT',
    side: 'buy',
    type: 'limit',
    quantity: '0.1',
    price: '100',
    time_in_force: 'GTC',
    post_only: false,
    protection_given: false,
    stp: 'decrement',
    lot_size: '0.00001',
    simulated: true,
  };
  return JSON.stringify({
    ...caller,
    keys: [{ kind: 'order', key }],
    hash: '0'.repeat(64),
    limits: LIMITS,
    orders: [columns],
  });
}
const ways: Readonly<Record<'bare' | 'layer', () => Promise<void>>> = {
  bare: async () => {
    const client = idle.pop() ?? (await new Promise<postgres.Sql>((settle) => waiting.push(settle)));
    const call = 'select orders.place($1::text::jsonb) as answer';
    const [row] = await client.unsafe(call, [requestOf(user())], { prepare: true });
    const next = waiting.shift();
    if (next) next(client);
    else idle.push(client);
    if ((row!.answer as { status: string }).status !== 'placed') throw new Error(JSON.stringify(row));
  },
  layer: async () => {
    valueOf(await rig.orders.desk.place(user(), order(), NO_KEY));
  },
};

type Sample = Readonly<{ perSecond: number; p50: number; p99: number }>;

async function measure(callers: number, call: () => Promise<void>): Promise<Sample> {
  const latenciesMs: number[] = [];
  const beganMs = performance.now();
  const endMs = beganMs + seconds * 1_000;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (let atMs = performance.now(); atMs < endMs;) {
        await call();
        const nowMs = performance.now();
        latenciesMs.push(nowMs - atMs);
        atMs = nowMs;
      }
    }),
  );
  rig.told.length = 0;
  rig.woken.length = 0;
  const perSecond = latenciesMs.length / ((performance.now() - beganMs) / 1_000);
  const sorted = latenciesMs.toSorted((one, other) => one - other);
  return { perSecond, p50: sorted[Math.floor(sorted.length * 0.5)]!, p99: sorted[Math.floor(sorted.length * 0.99)]! };
}

function median(samples: readonly Sample[], of: (sample: Sample) => number): number {
  return samples.map(of).toSorted((one, other) => one - other)[Math.floor(samples.length / 2)]!;
}
function textOf(name: string, samples: readonly Sample[]): string {
  const [rate, p50, p99] = [
    median(samples, (s) => s.perSecond).toFixed(0),
    median(samples, (s) => s.p50).toFixed(1),
    median(samples, (s) => s.p99).toFixed(1),
  ];
  return `${name} ${rate}/s p50 ${p50} p99 ${p99} ms`;
}

for (const way of Object.values(ways)) await measure(8, way);
for (const callers of values.callers.split(',').map(Number)) {
  const samples = { bare: [] as Sample[], layer: [] as Sample[] };
  for (let round = 0; round < rounds; round++) {
    for (const name of ['bare', 'layer'] as const) samples[name].push(await measure(callers, ways[name]));
  }
  const ratio = median(samples.layer, (s) => s.perSecond) / median(samples.bare, (s) => s.perSecond);
  const [one, other] = [textOf('bare', samples.bare), textOf('layer', samples.layer)];
  console.log(`place, ${callers} callers: ${one}; ${other}; ratio ${ratio.toFixed(2)}`);
}

const working: WorkingOrder[] = [];
for (let count = 0; count < 4_000; count += 20) {
  const batch = Array.from({ length: 20 }, () =>
    rig.orders.desk.place(user(), limitOrder({ quantity: '100' }), NO_KEY),
  );
  for (const placed of await Promise.all(batch)) {
    const found = valueOf(placed).value;
    working.push({ userId: '', order: found, amendment: null, before: null, commandedAtMs: 0, memo: {} });
  }
}
let next = 0;
const fill = async (): Promise<void> => {
  const index = next++ % working.length;
  const fills = [engineFill({ quantity: '0.00001' })];
  working[index] = valueOf(await rig.orders.execution.fillAll(refOf(working[index]!), fills));
};
for (const callers of values.callers.split(',').map(Number)) {
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round++) samples.push(await measure(callers, fill));
  console.log(`fill, ${callers} callers: ${textOf('layer', samples)}`);
}
await Promise.all(clients.map((client) => client.end()));
await database.stop();
await server.stop();
