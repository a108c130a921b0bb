import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestPostgres } from '../postgres.ts';
import type { TestDatabase, TestPostgres } from '../postgres.ts';
import { openDoor } from './door.ts';
import type { Answer, Door } from './door.ts';
import { serverEnv } from './floor.ts';
import { read } from './follower.ts';
import { keepServer } from './kept-server.ts';
import type { KeptServer } from './kept-server.ts';
import { standingBreaches } from './standing-checks.ts';

// Two processes on one database that know nothing of each other, so that only the database can keep them apart.
let postgres: TestPostgres;
let at: TestDatabase;
let servers: readonly [KeptServer, KeptServer];
const folder = mkdtempSync(join(tmpdir(), 'tidewire-two-'));
let users = 0;

beforeAll(async () => {
  postgres = await startTestPostgres();
  at = await postgres.createDatabase();
  // One secret for both: they share DATA_DIR.
  const first = await keepServer('walk', serverEnv(at.adminUrl, folder));
  await first.ready();
  const second = await keepServer('walk', serverEnv(at.adminUrl, folder));
  await second.ready();
  servers = [first, second];
}, 180_000);
afterAll(async () => {
  for (const server of servers ?? []) await server.stop();
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
});

const newUser = (): Promise<Door> => openDoor(servers[0].url, `two-${(users += 1)}`, users + 1_000);
const FAR_BELOW = { account: 'paper', venue: 'binance', symbol: 'BTC/USDT', side: 'buy', type: 'limit', price: '80' };

/** The same moment, by turns at one server and at the other. */
function atOnce(count: number, call: (server: string, index: number) => Promise<Answer>): Promise<Answer[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => call(servers[index % 2]!.url, index)));
}

function tallied(answers: readonly Answer[]): Record<string, number> {
  const tally: Record<string, number> = {};
  for (const answer of answers) {
    const what = answer === null ? 'no answer' : answer.status < 300 ? 'ok' : String(answer.body.code);
    tally[what] = (tally[what] ?? 0) + 1;
  }
  return tally;
}

async function expectSoundNow(): Promise<void> {
  expect(await standingBreaches(await at.open({ size: 1 }))).toEqual([]);
}

it.each([20, 100])('%i orders at once on money for three: three are taken', { timeout: 180_000 }, async (count) => {
  const door = await newUser();
  const answers = await atOnce(count, (server, index) =>
    door.at(server).call('POST', '/v1/orders', { body: { ...FAR_BELOW, quantity: '400' }, key: `k${index}` }),
  );
  expect(tallied(answers)).toEqual({ ok: 3, insufficient_funds: count - 3 });
  const { balances } = await read(door, '/v1/balances');
  expect(balances).toContainEqual({ asset: 'PAPER:USDT', total: '100000', available: '4000', held: '96000' });
  await expectSoundNow();
});

it.each([20, 100])('one key sent %i times to both servers is one order', { timeout: 180_000 }, async (count) => {
  const door = await newUser();
  const body = { ...FAR_BELOW, quantity: '1' };
  const key = randomUUID();
  const answers = await atOnce(count, (server) => door.at(server).call('POST', '/v1/orders', { body, key }));
  expect(tallied(answers)).toEqual({ ok: count });
  expect(answers.filter((answer) => answer?.status === 201)).toHaveLength(1);
  expect(new Set(answers.map((answer) => answer?.body.id)).size).toBe(1);
  const other = await door.at(servers[1].url).call('POST', '/v1/orders', { body: { ...body, quantity: '2' }, key });
  expect(other).toMatchObject({ status: 422, body: { code: 'key_reused' } });
  const { orders } = await read(door, '/v1/orders');
  expect(orders).toHaveLength(1);
  await expectSoundNow();
});

it.each([20, 100])('%i cancellations of one order give its money back once', { timeout: 180_000 }, async (count) => {
  const door = await newUser();
  const placed = await door.call('POST', '/v1/orders', { body: { ...FAR_BELOW, quantity: '100' } });
  const path = `/v1/orders/${String(placed?.body.id)}`;
  const answers = await atOnce(count, (server) => door.at(server).call('DELETE', path));
  const { ok = 0, order_closed = 0, ...rest } = tallied(answers);
  expect(rest).toEqual({});
  expect(ok + order_closed).toBe(count);
  expect(ok).toBeGreaterThan(0);
  await expect.poll(async () => (await read(door, path)).status, { timeout: 60_000 }).toBe('canceled');
  const { balances } = await read(door, '/v1/balances');
  expect(balances).toContainEqual({ asset: 'PAPER:USDT', total: '100000', available: '100000', held: '0' });
  await expectSoundNow();
});

it.each([20, 100])(
  'one grant of funds asked for %i times with one key is given once',
  { timeout: 180_000 },
  async (count) => {
    const door = await newUser();
    const asked = { body: { asset: 'USDT', amount: '5' }, key: randomUUID() };
    const answers = await atOnce(count, (server) => door.at(server).call('POST', '/v1/paper/funds', asked));
    expect(tallied(answers)).toEqual({ ok: count });
    const { balances } = await read(door, '/v1/balances');
    expect(balances).toContainEqual({ asset: 'PAPER:USDT', total: '100005', available: '100005', held: '0' });
    await expectSoundNow();
  },
);

it('cancellations that meet fills leave each unit where one of them put it', { timeout: 180_000 }, async () => {
  const door = await newUser();
  const body = { ...FAR_BELOW, type: 'limit', price: '110', quantity: '2' };
  const placed = await atOnce(30, (server) => door.at(server).call('POST', '/v1/orders', { body }));
  expect(tallied(placed)).toEqual({ ok: 30 });
  const ids = placed.map((answer) => String(answer?.body.id));
  const answers = await atOnce(60, (server, index) => door.at(server).call('DELETE', `/v1/orders/${ids[index % 30]}`));
  expect(Object.keys(tallied(answers)).filter((what) => what !== 'ok' && what !== 'order_closed')).toEqual([]);
  const open = async () => (await read(door, '/v1/orders?status=open&limit=100')).orders as unknown[];
  await expect.poll(async () => (await open()).length, { timeout: 60_000 }).toBe(0);
  const { totals } = await read(door, '/v1/holds');
  expect((totals as { held: string }[]).every(({ held }) => held === '0')).toBe(true);
  await expectSoundNow();
});
