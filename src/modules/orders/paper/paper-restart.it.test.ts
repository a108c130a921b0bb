import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../../../kernel/random.ts';
import { DatabaseFailure } from '../../../platform/postgres.ts';
import { expectOrdersSound, limitOrder, marketOrder } from '../../../testing/orders.ts';
import { PaperStage } from '../../../testing/paper-stage.ts';
import { startTestPostgres } from '../../../testing/postgres.ts';
import type { TestDatabase, TestPostgres } from '../../../testing/postgres.ts';
import type { Caller, ExecutionDesk } from '../index.ts';
import { exactly } from './fixed-point.ts';

const KILLS = 50;
const STEPS = ['accept', 'fill', 'fillAll', 'trigger', 'amend', 'finish', 'prevent', 'wait', 'remember'] as const;

let server: TestPostgres;
let at: TestDatabase;
let stage: PaperStage;

beforeAll(async () => {
  server = await startTestPostgres();
  at = await server.createDatabase();
  stage = await PaperStage.open(await at.open());
});
afterAll(async () => {
  await stage.stop();
  await server.stop();
});

/**
 * The desk as a process sees it that dies at a random moment: from `kill` on a statement is not sent, or is sent and its answer
 * never comes. `bury` lets what hangs go, long after.
 */
function mortal(desk: ExecutionDesk) {
  let dead = false;
  const grave = Promise.withResolvers<never>();
  grave.promise.catch(() => {});
  const dying = { ...desk } as Record<string, unknown>;
  for (const name of STEPS) {
    dying[name] = async (...words: unknown[]) => {
      if (dead) return grave.promise;
      const answer = await (desk[name] as (...given: unknown[]) => Promise<unknown>)(...words);
      return dead ? grave.promise : answer;
    };
  }
  return {
    execution: dying as unknown as ExecutionDesk,
    kill: () => {
      dead = true;
    },
    bury: () => grave.reject(new DatabaseFailure('unavailable', 'the process was gone', null)),
  };
}

it(`${KILLS} deaths in the middle of trading fill nothing twice and forget nothing`, async () => {
  const random = seededRandom(5);
  const users = await Promise.all(Array.from({ length: 4 }, () => stage.rig.createUser()));
  const sizes = new Map<string, string>();
  const stopPump = pump(random, users, sizes);
  const dead: ReturnType<typeof mortal>[] = [];
  const buried: Promise<void>[] = [];
  for (let round = 0; round < KILLS; round++) {
    const life = mortal(stage.rig.orders.execution);
    const engine = await stage.startEngine({ execution: life.execution, seed: round });
    await pause(100 + random() * 150);
    if (round % 5 === 4) {
      await stage.stopEngine(engine);
      continue;
    }
    life.kill();
    dead.push(life);
    await expireLeases();
    buried.push(Promise.resolve().then(() => stage.stopEngine(engine)));
  }
  await stopPump();
  await stage.startEngine();
  for (const user of users) await stage.rig.orders.desk.cancelAll(user, {});
  const open = () => at.admin`select count(*)::int as count from orders.orders where not ended`;
  await expect.poll(async () => (await open())[0]!.count, { timeout: 30_000 }).toBe(0);
  for (const life of dead) life.bury();
  await Promise.all(buried);
  await expectFillsProved(sizes);
  await expectOrdersSound(stage.rig.database);
}, 180_000);

/** Orders, books and trades without a pause. Answers how to stop them; `sizes` gets every public trade's. */
function pump(random: () => number, users: readonly Caller[], sizes: Map<string, string>) {
  let stopped = false;
  const market = async () => {
    while (!stopped) {
      const middle = 100 + Math.floor(random() * 8) / 2;
      const levels = (direction: 1 | -1) =>
        Array.from({ length: 5 }, (_, step) => [middle + direction * (step + 1) * 0.5, 0.2 + step] as const);
      stage.setBook(levels(-1), levels(1));
      const size = (0.1 + random()).toFixed(3);
      const price = (middle + (random() - 0.5) * 4).toFixed(2);
      sizes.set(stage.trade(price, size, random() < 0.5 ? 'buy' : 'sell'), size);
      await pause(15);
    }
  };
  const trading = async (user: Caller) => {
    while (!stopped) {
      const side = random() < 0.5 ? 'buy' : 'sell';
      const price = (100 + (random() - 0.5) * 6).toFixed(2);
      const quantity = (0.05 + random() * 0.4).toFixed(3);
      const order = random() < 0.3 ? marketOrder({ side, quantity }) : limitOrder({ side, quantity, price });
      const placed = await stage.rig.orders.desk.place(user, order, { idempotencyKey: null });
      if (placed.ok && random() < 0.2) await stage.rig.orders.desk.cancel(user, placed.value.value.id);
      await pause(40);
    }
  };
  const running = Promise.all([market(), ...users.map(trading)]);
  return async () => {
    stopped = true;
    await running;
  };
}

/** What ten seconds of silence would do. */
async function expireLeases(): Promise<void> {
  await at.runScript(
    `set tidewire.orders = 'test'; update orders.paper_leases set expires_at = now() - interval '1 second'`,
  );
}

async function expectFillsProved(sizes: ReadonlyMap<string, string>): Promise<void> {
  const byTrade = await at.admin`
    select market ->> 'tradeId' as trade, sum(quantity)::text as filled from orders.fills
    where market ->> 'tradeId' is not null group by 1`;
  expect(byTrade.length).toBeGreaterThan(5);
  for (const { trade, filled } of byTrade) {
    expect(exactly(String(filled)) <= exactly(sizes.get(String(trade))!), String(trade)).toBe(true);
  }
  const [totals] = await at.admin`
    select count(*)::int as fills, count(distinct trade_id)::int as names, count(distinct order_id)::int as orders
    from orders.fills`;
  expect(totals!.names).toBe(totals!.fills);
  expect(totals!.orders).toBeGreaterThan(50);
  const [over] = await at.admin`
    select count(*)::int as count from orders.orders o where quantity < (
      select coalesce(sum(quantity), 0) from orders.fills f where f.order_id = o.id)`;
  expect(over!.count).toBe(0);
}
