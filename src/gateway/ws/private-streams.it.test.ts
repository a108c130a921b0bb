import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../kernel/random.ts';
import type { PrivateRig } from './private-rig-contract.ts';
import { PAPER_USDT, PrivateClient, emptyPortfolio, startPrivateRig } from './private-rig-contract.ts';
import { until } from './raw-client-contract.ts';

const RETURNS = Number(process.env.PRIVATE_RETURNS ?? 1_000);
const SEED = 20_261_121;

let rig: PrivateRig;
beforeAll(async () => {
  rig = await startPrivateRig({ heartbeatMs: 200, closeAgeMs: 4_000 });
});
afterAll(() => rig.stop());

async function totalOf(userId: string): Promise<string | undefined> {
  const [balance] = await rig.ledger.balances(userId);
  return balance && `${balance.posted / 100n}`;
}

async function head(userId: string, stream: 'orders' | 'portfolio' | 'notifications'): Promise<number> {
  return (await rig.userLog.streamSince(userId, stream, 0, 1)).head;
}

describe('a private stream', () => {
  it("is nobody else's: strangers and keys without the scope are refused, other users see nothing of it", async () => {
    const stranger = new PrivateClient(rig.hub, randomUUID());
    stranger.connection.principal = null;
    expect(await stranger.subscribeAs('orders')).toMatchObject([{ error: { code: 'unauthorized' } }]);
    const trader = new PrivateClient(rig.hub, randomUUID(), ['trade']);
    expect(await trader.subscribeAs('orders', 'valuation')).toMatchObject([
      { error: { code: 'forbidden' } },
      { error: { code: 'forbidden' } },
    ]);
    const [ada, bob] = [new PrivateClient(rig.hub, randomUUID()), new PrivateClient(rig.hub, randomUUID())];
    await Promise.all([ada, bob].map((client) => client.subscribe('portfolio', 'orders', 'notifications')));
    await rig.order(ada.userId, 'o-ada', 'accepted', 'n-ada');
    await rig.credit(ada.userId, 500n);
    await rig.credit(bob.userId, 100n);
    await Promise.all([ada.reaches('portfolio', 1), bob.reaches('portfolio', 1), ada.reaches('notifications', 1)]);
    expect([...ada.balances]).toEqual([[PAPER_USDT, '5']]);
    expect([...bob.balances]).toEqual([[PAPER_USDT, '1']]);
    expect([bob.orders.size, bob.notes]).toEqual([0, []]);
    expect([...ada.problems, ...bob.problems]).toEqual([]);
  });

  it('loses nothing between its snapshot and its first update, whatever is written meanwhile', async () => {
    for (let round = 0; round < 20; round++) {
      const client = new PrivateClient(rig.hub, randomUUID());
      const writing = Promise.all(Array.from({ length: 8 }, () => rig.credit(client.userId, 100n)));
      const [result] = await client.subscribe('portfolio');
      expect(result).toMatchObject({ recovered: false, epoch: rig.userLog.epoch, state: { status: 'live' } });
      await writing;
      await client.reaches('portfolio', 8);
      expect(client.problems).toEqual([]);
      expect(client.keep('portfolio').pushes[0]).toMatch(/^snapshot/);
      expect(client.balances.get(PAPER_USDT)).toBe('8');
      client.cut();
    }
  });

  it('brings everything that was missed, page after page, before anything live', async () => {
    const client = new PrivateClient(rig.hub, randomUUID());
    await rig.order(client.userId, 'first', 'accepted');
    await client.subscribe('orders');
    await client.reaches('orders', 1);
    client.cut();
    for (let count = 0; count < 250; count++) await rig.order(client.userId, `o-${count % 7}`, 'accepted');
    client.connect();
    const [result] = await client.subscribe('orders');
    expect(result).toMatchObject({ recovered: true, seq: 251 });
    await rig.order(client.userId, 'last', 'accepted');
    await client.reaches('orders', 252);
    expect(client.problems).toEqual([]);
    expect(client.keep('orders').pushes).toEqual([
      'snapshot 1',
      ...Array.from({ length: 251 }, (_, index) => `update ${index + 2}`),
    ]);
    client.cut();
  });

  it('starts anew for a client from another history, and for one that is ahead of it', async () => {
    const userId = randomUUID();
    await rig.credit(userId, 300n);
    const { epoch } = rig.userLog;
    for (const since of [
      { epoch: 'another', seq: 1 },
      { epoch, seq: 2 },
    ]) {
      const client = new PrivateClient(rig.hub, userId);
      const [result] = await client.subscribeAs({ stream: 'portfolio', since });
      expect(result).toMatchObject({ recovered: false, epoch, seq: 1 });
      await until(() => client.balances.size === 1, 'the snapshot');
      expect(client.keep('portfolio').pushes).toEqual(['snapshot 1']);
      client.cut();
    }
  });

  it('of notifications begins with the last hundred, and says what came before', async () => {
    const userId = randomUUID();
    for (let count = 0; count < 130; count++) await rig.order(userId, 'o', 'accepted', `n-${count}`);
    const fresh = new PrivateClient(rig.hub, userId);
    expect(await fresh.subscribe('notifications')).toMatchObject([{ recovered: false, seq: 30 }]);
    await fresh.reaches('notifications', 130);
    expect(fresh.notes).toEqual(Array.from({ length: 100 }, (_, index) => `n-${index + 30}`));
    expect(fresh.keep('notifications').gaps).toMatchObject([{ from: 1, to: 30 }]);
    const foreign = new PrivateClient(rig.hub, userId);
    await foreign.subscribeAs({ stream: 'notifications', since: { epoch: 'another', seq: 7 } });
    await foreign.reaches('notifications', 130);
    expect(foreign.keep('notifications').gaps).toMatchObject([{ from: 0, to: 30, reason: 'upstream' }]);
    expect([...fresh.problems, ...foreign.problems]).toEqual([]);
  });

  it('is listed, told in heartbeats while it is quiet, left and taken up again', async () => {
    const client = new PrivateClient(rig.hub, randomUUID());
    await rig.credit(client.userId, 100n);
    await client.subscribe('portfolio', 'orders');
    await until(
      () =>
        client.wire.log.some(
          (entry) =>
            entry.type === 'event' &&
            entry.name === 'heartbeat' &&
            JSON.stringify(entry.data).includes(`"portfolio":{"epoch":"${rig.userLog.epoch}","seq":1}`),
        ),
      'a heartbeat with the position',
    );
    expect((await client.ask('list')).result).toEqual([
      { stream: 'portfolio', epoch: rig.userLog.epoch, seq: 1 },
      { stream: 'orders', epoch: rig.userLog.epoch, seq: 0 },
    ]);
    expect((await client.ask('unsubscribe', { streams: ['portfolio', 'portfolio'] })).result).toEqual([
      { stream: 'portfolio', left: true },
      { stream: 'portfolio', left: false },
    ]);
    await rig.credit(client.userId, 100n);
    await rig.order(client.userId, 'o', 'accepted');
    await client.reaches('orders', 1);
    expect(client.positionOf('portfolio')).toBe(1);
    expect(await client.subscribe('portfolio', 'orders')).toMatchObject([
      { recovered: true, seq: 2 },
      { recovered: true, seq: 1 },
    ]);
    await client.reaches('portfolio', 2);
    // Asking again for what one has changes nothing.
    expect(await client.subscribeAs('portfolio')).toMatchObject([{ recovered: true, seq: 2 }]);
    expect(client.problems).toEqual([]);
    client.cut();
  });
});

describe('a client that reads too slowly', () => {
  it('gets every private event in the end, and holds little memory meanwhile', async () => {
    const client = new PrivateClient(rig.hub, randomUUID());
    await client.subscribe('portfolio', 'orders');
    client.wire.stall();
    const release = setInterval(() => client.wire.release(20), 5);
    let mostHeld = 0;
    for (let count = 0; count < 100; count++) {
      await Promise.all([
        ...Array.from({ length: 6 }, () => rig.credit(client.userId, 100n)),
        rig.order(client.userId, `o-${count}`, 'accepted'),
      ]);
      mostHeld = Math.max(mostHeld, client.connection.delivery.backlog(0).frames);
    }
    await client.reaches('portfolio', 600);
    await client.reaches('orders', 100);
    clearInterval(release);
    expect(client.problems).toEqual([]);
    expect(mostHeld).toBeLessThanOrEqual(200);
    expect(client.balances.get(PAPER_USDT)).toBe('600');
    client.cut();
  });

  it('and not at all is closed, and resumes where it was', async () => {
    const client = new PrivateClient(rig.hub, randomUUID());
    await client.subscribe('portfolio');
    client.wire.stall();
    for (let count = 0; count < 300; count++) await rig.credit(client.userId, 100n);
    expect(client.connection.delivery.backlog(0).frames).toBeLessThanOrEqual(200);
    await until(() => client.wire.closes.length > 0, 'the close');
    expect(client.wire.closes[0]).toMatchObject({ code: 3008 });
    client.cut();
    client.connect();
    await client.subscribe('portfolio');
    await client.reaches('portfolio', 300);
    expect(client.problems).toEqual([]);
    client.cut();
  });
});

it('the valuation tells what has changed, and one snapshot for all that a slow client skipped', async () => {
  const client = new PrivateClient(rig.hub, randomUUID());
  rig.value(emptyPortfolio('1'));
  expect(await client.subscribe('valuation')).toMatchObject([{ recovered: false, seq: 1 }]);
  await until(() => client.keep('valuation').pushes.length === 1, 'the snapshot');
  rig.value(emptyPortfolio('2'));
  await client.reaches('valuation', 2);
  client.wire.stall();
  for (let count = 0; count < 140; count++) client.connection.event('draining', { afterMs: count });
  rig.value(emptyPortfolio('3'));
  rig.value(emptyPortfolio('4'));
  client.wire.resume();
  await client.reaches('valuation', 4);
  expect(client.keep('valuation').pushes).toEqual(['snapshot 1', 'update 2', 'snapshot 4']);
  expect(client.wire.log.at(-1)).toMatchObject({ envelope: { conflated: { from: 3, to: 4 }, data: { equity: '4' } } });
  expect(client.problems).toEqual([]);
  client.cut();
});

it(
  `${RETURNS} returns after cuts at any moment end with exactly what the ledger says, by resume alone`,
  { timeout: 300_000 },
  async () => {
    const random = seededRandom(SEED);
    const upTo = (limit: number): number => Math.floor(random() * limit);
    const userId = randomUUID();
    const streams = ['portfolio', 'orders', 'notifications'];
    const client = new PrivateClient(rig.hub, userId);
    const steps = new Map<string, string>();
    let writing: Promise<unknown>[] = [];
    const write = (): void => {
      const order = `o-${upTo(20)}`;
      if (random() < 0.6) writing.push(rig.credit(userId, BigInt(upTo(500) + 1)));
      else {
        const status = ['accepted', 'partially_filled', 'canceled'][upTo(3)]!;
        // One after the other, so that the last is known.
        const before = Promise.all(writing);
        writing.push(before.then(() => rig.order(userId, order, status, `n-${upTo(1e9)}`)));
        steps.set(order, status);
      }
    };
    await client.subscribe(...streams);
    for (let count = 0; count < RETURNS; count++) {
      for (let each = upTo(3); each > 0; each--) write();
      if (random() < 0.5) await new Promise((resolve) => setImmediate(resolve));
      if (random() < 0.3) client.wire.stall();
      if (random() < 0.3) await Promise.all(writing);
      client.cut();
      for (let each = upTo(random() < 0.02 ? 150 : 3); each > 0; each--) write();
      client.connect();
      const subscribed = client.subscribe(...streams);
      // Some cuts come before the reply does.
      if (random() < 0.2) subscribed.catch(() => {});
      else await subscribed;
      if (count % 20 === 0) writing = [Promise.all(writing)];
    }
    await Promise.all(writing);
    client.cut();
    client.connect();
    await client.subscribe(...streams);
    for (const stream of ['portfolio', 'orders', 'notifications'] as const) {
      await client.reaches(stream, await head(userId, stream));
    }
    expect(client.problems).toEqual([]);
    expect(client.balances.get(PAPER_USDT)?.split('.')[0]).toBe(await totalOf(userId));
    expect(Object.fromEntries(client.orders)).toEqual(Object.fromEntries(steps));
    expect(client.notes).toHaveLength(await head(userId, 'notifications'));
    expect(client.keep('notifications').gaps).toEqual([]);
  },
);
