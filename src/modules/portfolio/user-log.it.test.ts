import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { seededRandom } from '../../kernel/random.ts';
import type { Random } from '../../kernel/random.ts';
import { createMemorySignals } from '../../platform/signals-memory.ts';
import type { Signals } from '../../platform/signals.ts';
import { PortfolioSnapshotData, SyncEventSchema } from '../../protocol/trading.ts';
import type { SyncEvent } from '../../protocol/trading.ts';
import { LogClient } from '../../testing/log-client.ts';
import {
  BTC,
  type TEST_ASSETS,
  USDT,
  createFundedUser,
  createTestLedger,
  done,
  expectSound,
  origin,
} from '../../testing/ledger.ts';
import type { TestLedger } from '../../testing/ledger.ts';
import { startTestPostgres, surroundings } from '../../testing/postgres.ts';
import type { TestDatabase, TestPostgres } from '../../testing/postgres.ts';
import { openGroundOrders, prepareGround, stepOrder, writeFills } from '../../testing/trading-ground.ts';
import { createLedger } from '../ledger/index.ts';
import type { Ledger } from '../ledger/index.ts';
import { createUserLog, recomputePositions, tellUserEvents } from './index.ts';
import type { UserLog } from './index.ts';

/** `USER_LOG_RUNS=10000` for more. */
const RUNS = Number(process.env.USER_LOG_RUNS ?? 1_000);
const RUNS_AT_ONCE = 24;
const WAIT = { timeout: 20_000, interval: 10 };

let server: TestPostgres;
let at: TestDatabase;
let under: TestLedger;
const toStop: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  server = await startTestPostgres();
  at = await server.createDatabase();
  under = await createTestLedger(await at.open());
  await prepareGround(at);
});
afterEach(async () => {
  await Promise.all(toStop.splice(0).map((each) => each.stop()));
});
afterAll(async () => {
  await expectSound(under.database);
  await server.stop();
});

/** One process: signals of its own unless given, a ledger that tells, a log. */
async function startNode(given?: Signals) {
  const around = surroundings();
  const signals = given ?? createMemorySignals(around);
  const tell = tellUserEvents(signals);
  const ledger = createLedger({ database: under.database, tell });
  const log = await createUserLog({
    ...around,
    database: under.database,
    ledger,
    signals,
    openOrders: openGroundOrders,
  });
  toStop.push(log, signals);
  return { ...around, signals, tell, ledger, log };
}

function collect(log: UserLog, userId: string, afterSeq = 0) {
  const events: SyncEvent[] = [];
  const stop = log.follow(userId, afterSeq, (news) => events.push(...news));
  return { events, stop };
}

const seqsOf = (events: readonly SyncEvent[]) => events.map(({ seq }) => seq);
const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

async function credit(ledger: Ledger, owner: string, asset: keyof typeof TEST_ASSETS = USDT): Promise<void> {
  done(await ledger.credit({ ...origin(), owner, asset, amount: 10n, from: { house: 'equity' } }));
}

describe('reading the log', () => {
  it('answers events in the words of the protocol, amounts in whole units', async () => {
    const { log } = await startNode();
    const userId = await createFundedUser(under.ledger, { [USDT]: 12_345n });
    await stepOrder(under.database, userId, { order: randomUUID(), status: 'accepted', note: 'n1' });
    await writeFills(under.database, [
      {
        userId,
        base: BTC,
        quote: USDT,
        side: 'buy',
        price: '2',
        quantity: '1',
        quoteUnits: 200n,
        feeUnits: 0n,
        flatFeeUnits: 0n,
        tsMs: 1,
      },
    ]);
    const { events, head } = await log.since(userId, 0, 100);
    expect(head).toBe(4);
    expect(events.map(({ seq, stream, streamSeq, data }) => [seq, stream, streamSeq, data.type])).toEqual([
      [1, 'portfolio', 1, 'balance'],
      [2, 'orders', 1, 'order'],
      [3, 'notifications', 1, 'notification'],
      [4, 'portfolio', 2, 'position'],
    ]);
    // The ground's orders are too small for the schema.
    for (const event of events.filter(({ stream }) => stream !== 'orders')) {
      expect(SyncEventSchema.parse(event)).toEqual(event);
    }
    expect(events[0]!.data).toMatchObject({
      balance: { asset: USDT, total: '123.45', available: '123.45', held: '0', version: 1, cause: { kind: 'credit' } },
    });
    const snapshot = await log.snapshot(userId, 'portfolio');
    expect(snapshot).toMatchObject({ streamSeq: 2, logSeq: 4 });
    expect(PortfolioSnapshotData.parse(snapshot.data)).toEqual(snapshot.data);
  });

  it('pages through a stream by its own numbers, and knows where it ends', async () => {
    const { log } = await startNode();
    const userId = randomUUID();
    for (let count = 1; count <= 5; count++) {
      await credit(under.ledger, userId);
      await stepOrder(under.database, userId, { order: `${userId} ${count}`, status: 'accepted' });
    }
    const first = await log.streamSince(userId, 'orders', 0, 2);
    expect([first.events.map(({ streamSeq, seq }) => [streamSeq, seq]), first.head]).toEqual([
      [
        [1, 2],
        [2, 4],
      ],
      5,
    ]);
    const rest = await log.streamSince(userId, 'orders', 2, 100);
    expect(rest.events.map(({ streamSeq }) => streamSeq)).toEqual([3, 4, 5]);
    expect(await log.streamSince(userId, 'notifications', 0, 100)).toEqual({ events: [], head: 0 });
    expect(await log.since(randomUUID(), 0, 100)).toEqual({ events: [], head: 0 });
  });

  it('has one epoch for all processes, and another one in another database', async () => {
    const one = await startNode();
    const two = await startNode();
    expect(one.log.epoch).toMatch(/^[0-9a-f]{32}$/);
    expect(two.log.epoch).toBe(one.log.epoch);
  });

  it('takes the state and its position from one instant, however much is written meanwhile', async () => {
    const { log, ledger } = await startNode();
    const userId = await createFundedUser(ledger, { [USDT]: 1_000n });
    let writing = true;
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let count = 0; writing; count++) {
        await credit(ledger, userId);
        await stepOrder(under.database, userId, { order: `${userId} ${writer} ${count}`, status: 'accepted' });
      }
    });
    for (let round = 0; round < 60; round++) {
      const [portfolio, orders] = [await log.snapshot(userId, 'portfolio'), await log.snapshot(userId, 'orders')];
      // Each event of the stream credits ten units or opens an order, so the position says what the state must be.
      const { balances } = portfolio.data as { balances: { total: string }[] };
      expect(balances[0]!.total).toBe(String((1_000 + 10 * (portfolio.streamSeq - 1)) / 100));
      expect((orders.data as { orders: unknown[] }).orders).toHaveLength(orders.streamSeq);
    }
    writing = false;
    await Promise.all(writers);
  });
});

describe('following', () => {
  it('brings every event once and in order to each who follows, from where each wants it', async () => {
    const { log, ledger } = await startNode();
    const userId = randomUUID();
    for (let count = 0; count < 5; count++) await credit(ledger, userId);
    const all = collect(log, userId);
    const late = collect(log, userId, 3);
    const ahead = collect(log, userId, 8);
    await vi.waitFor(() => expect(seqsOf(all.events)).toEqual(upTo(5)), WAIT);
    expect(seqsOf(late.events)).toEqual([4, 5]);
    await Promise.all(Array.from({ length: 20 }, () => credit(ledger, userId)));
    const old = collect(log, userId, 0);
    for (const each of [all, old]) await vi.waitFor(() => expect(seqsOf(each.events)).toEqual(upTo(25)), WAIT);
    await vi.waitFor(() => expect(seqsOf(late.events)).toEqual(upTo(25, 4)), WAIT);
    await vi.waitFor(() => expect(seqsOf(ahead.events)).toEqual(upTo(25, 9)), WAIT);
    all.stop();
    await credit(ledger, userId);
    await vi.waitFor(() => expect(seqsOf(late.events)).toEqual(upTo(26, 4)), WAIT);
    expect(all.events).toHaveLength(25);
  });

  it('tells at once what was there before and what is hinted at, and leaves nothing of it to the sweep', async () => {
    const { log, ledger, metrics } = await startNode();
    const userId = await createFundedUser(ledger, { [USDT]: 5n });
    const { events } = collect(log, userId);
    await vi.waitFor(() => expect(seqsOf(events)).toEqual([1]), { ...WAIT, interval: 1 });
    await credit(ledger, userId);
    await vi.waitFor(() => expect(seqsOf(events)).toEqual([1, 2]), { ...WAIT, interval: 1 });
    expect(await metrics.render()).toContain('user_log_swept_total 0');
  });

  it('catches up over many pages, for many users at once, with everybody writing', async () => {
    const { log, ledger } = await startNode();
    const [long, ...others] = await Promise.all(
      Array.from({ length: 300 }, () => createFundedUser(ledger, { [USDT]: 5n })),
    );
    for (let from = 0; from < 350; from += 50) {
      await Promise.all(Array.from({ length: 50 }, () => credit(ledger, long!)));
    }
    const followed = [long!, ...others].map((userId) => collect(log, userId));
    await Promise.all(others.slice(0, 100).map((userId) => credit(ledger, userId)));
    await vi.waitFor(() => expect(seqsOf(followed[0]!.events)).toEqual(upTo(351)), WAIT);
    for (const [index, { events }] of followed.slice(1).entries()) {
      await vi.waitFor(() => expect(seqsOf(events)).toEqual(upTo(index < 100 ? 2 : 1)), WAIT);
    }
  });

  it('finds what a process wrote that died before it could tell', async () => {
    const { log, metrics } = await startNode();
    // A ledger of a process whose `tell` never comes.
    const silent = createLedger({ database: under.database, tell: () => {} });
    const userId = await createFundedUser(silent, { [USDT]: 5n });
    const { events } = collect(log, userId, 1);
    for (let count = 2; count <= 4; count++) {
      await credit(silent, userId);
      await vi.waitFor(() => expect(seqsOf(events)).toEqual(upTo(count, 2)), WAIT);
    }
    expect(await metrics.render()).toMatch(/user_log_swept_total [1-9]/);
  });

  it('goes on for others past a listener that throws, and tells nothing to one who left in between', async () => {
    const { log, ledger, metrics } = await startNode();
    const userId = randomUUID();
    log.follow(userId, 0, () => {
      throw new Error('listener');
    });
    const leaving: { stop?: () => void } = {};
    log.follow(userId, 0, () => leaving.stop?.());
    const gone = collect(log, userId);
    leaving.stop = gone.stop;
    const { events } = collect(log, userId);
    await credit(ledger, userId);
    await credit(ledger, userId);
    await vi.waitFor(() => expect(seqsOf(events)).toEqual([1, 2]), WAIT);
    expect(gone.events).toEqual([]);
    expect(await metrics.render()).toMatch(/user_log_faults_total\{what="listener"\} [1-9]/);
  });

  it('says so, and tells nothing, when the log itself is damaged', async () => {
    const copy = await server.createDatabase();
    const ledger = createLedger({ database: await copy.open(), tell: () => {} });
    await ledger.defineAsset({ code: USDT, scale: 2 });
    const userId = randomUUID();
    for (let count = 0; count < 3; count++) await credit(ledger, userId);
    await copy.runScript(
      `alter table ledger.user_events disable trigger all; delete from ledger.user_events where seq = 2`,
    );
    const around = surroundings();
    const database = await copy.open();
    const signals = createMemorySignals(around);
    const log = await createUserLog({ ...around, database, ledger, signals, openOrders: async () => [] });
    toStop.push(log);
    const { events } = collect(log, userId, 1);
    const whole = collect(log, userId, 2);
    await vi.waitFor(() => expect(seqsOf(whole.events)).toEqual([3]), WAIT);
    await vi.waitFor(
      async () => expect(await around.metrics.render()).toMatch(/faults_total\{what="gap"\} [1-9]/),
      WAIT,
    );
    expect(events).toEqual([]);
  });

  it('outlives a database that is away for a while', async () => {
    const { log, ledger } = await startNode();
    const userId = await createFundedUser(ledger, { [USDT]: 5n });
    const { events } = collect(log, userId);
    await vi.waitFor(() => expect(seqsOf(events)).toEqual([1]), WAIT);
    await server.server().stop('immediate');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await server.restart();
    await credit(ledger, userId);
    await vi.waitFor(() => expect(seqsOf(events)).toEqual([1, 2]), WAIT);
  });

  it('leaves no timer and no subscription behind', async () => {
    const { log, ledger, metrics } = await startNode();
    const userId = await createFundedUser(ledger, { [USDT]: 5n });
    const one = collect(log, userId);
    await vi.waitFor(() => expect(one.events).toHaveLength(1), WAIT);
    one.stop();
    expect(await metrics.render()).toContain('user_log_followed{state="all"} 0');
    await log.stop();
    expect(log.follow(userId, 0, () => expect.unreachable())).toBeTypeOf('function');
  });
});

describe('a client that is away again and again', () => {
  it(
    `ends with exactly the state that the queries report, by resume alone, in ${RUNS} seeded runs`,
    { timeout: 600_000 },
    async () => {
      // Half of the writers' news are never told: their process died right after its commit.
      const { log, tell } = await startNode();
      const flaky = createLedger({
        database: under.database,
        tell: (events) => (events[0]!.seq % 2 === 0 ? tell(events) : undefined),
      });
      let next = 0;
      const workers = Array.from({ length: RUNS_AT_ONCE }, async () => {
        for (let seed = next++; seed < RUNS; seed = next++) await runClient(seed, log, flaky);
      });
      await Promise.all(workers);
      expect(await recomputePositions(under.database)).toEqual([]);
    },
  );
});

async function runClient(seed: number, log: UserLog, ledger: Ledger): Promise<void> {
  const random = seededRandom(seed);
  const userId = randomUUID();
  const client = new LogClient(log, userId, random);
  const steps = 6 + Math.floor(random() * 12);
  for (let step = 0; step < steps; step++) {
    // Being away takes as long as the steps that it misses.
    if (random() < 0.3) client.disconnect();
    else if (!client.connected && random() < 0.5) await client.connect();
    // Sometimes the client resumes in the very moment of a write.
    const write = doSomething(random, userId, ledger);
    if (!client.connected && random() < 0.3) await client.connect();
    await write;
  }
  if (!client.connected) await client.connect();
  const portfolio = await log.snapshot(userId, 'portfolio');
  const orders = await log.snapshot(userId, 'orders');
  const { head: notified } = await log.streamSince(userId, 'notifications', 0, 1);
  const { state } = client;
  await vi.waitFor(
    () =>
      expect(state.at).toEqual({ orders: orders.streamSeq, portfolio: portfolio.streamSeq, notifications: notified }),
    WAIT,
  );
  expect(state.violations, `seed ${seed}`).toEqual([]);
  const shown = portfolio.data as { balances: { asset: string }[]; positions: { base: string }[] };
  expect([...state.balances.values()].toSorted(byText), `seed ${seed}`).toEqual(shown.balances.toSorted(byText));
  expect([...state.positions.values()].toSorted(byText), `seed ${seed}`).toEqual(shown.positions.toSorted(byText));
  expect([...state.orders.values()].toSorted(byText), `seed ${seed}`).toEqual(
    (orders.data as { orders: unknown[] }).orders.toSorted(byText),
  );
  expect(state.notifications).toHaveLength(notified);
  client.disconnect();
}

const byText = (one: unknown, other: unknown) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1);

async function doSomething(random: Random, userId: string, ledger: Ledger): Promise<void> {
  const dice = random();
  const asset = random() < 0.5 ? USDT : BTC;
  if (dice < 0.4) return credit(ledger, userId, asset);
  if (dice < 0.7) {
    const order = `${userId} ${Math.floor(random() * 4)}`;
    const status = random() < 0.3 ? 'filled' : 'accepted';
    return stepOrder(under.database, userId, { order, status, ...(random() < 0.5 ? { note: randomUUID() } : {}) });
  }
  const side = random() < 0.6 ? 'buy' : 'sell';
  const fill = { userId, quote: USDT, side, price: '3', quantity: '0.7', quoteUnits: 210n, feeUnits: 1n } as const;
  await writeFills(under.database, [{ ...fill, base: asset === BTC ? BTC : 'PAPER:ETH', flatFeeUnits: 0n, tsMs: 1 }]);
}
