import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { Database } from '../../../platform/postgres.ts';
import { silentLog, startTestPostgres, surroundings } from '../../../testing/postgres.ts';
import type { TestDatabase, TestPostgres } from '../../../testing/postgres.ts';
import { createMarketLeases } from './market-leases.ts';
import type { MarketLeases } from './market-leases.ts';
import type { MarketName } from './market-runner.ts';

const BTC = { venue: 'alpha', symbol: 'BTC/USDT' };
const ETH = { venue: 'alpha', symbol: 'ETH/USDT' };

let server: TestPostgres;
let at: TestDatabase;
let database: Database;
const opened: MarketLeases[] = [];

beforeAll(async () => {
  server = await startTestPostgres();
  at = await server.createDatabase();
  database = await at.open();
});
afterEach(async () => {
  for (const leases of opened.splice(0)) await leases.stop();
  await at.runScript(`set tidewire.orders = 'test'; delete from orders.paper_leases`);
});
afterAll(() => server.stop());

function owner(): { leases: MarketLeases; lost: MarketName[] } {
  const lost: MarketName[] = [];
  const { clock } = surroundings();
  const leases = createMarketLeases({ database, clock, log: silentLog, onLost: (market) => void lost.push(market) });
  opened.push(leases);
  return { leases, lost };
}

it('a market has one owner, until it is released', async () => {
  const [one, two] = [owner(), owner()];
  expect(await one.leases.take(BTC)).toBe(true);
  expect(await one.leases.take(BTC)).toBe(true);
  expect(await two.leases.take(BTC)).toBe(false);
  expect(await two.leases.take(ETH)).toBe(true);
  expect([one, two].map(({ leases }) => leases.holds(BTC))).toEqual([true, false]);
  await two.leases.release(BTC);
  expect(await two.leases.take(BTC)).toBe(false);
  await one.leases.release(BTC);
  expect(one.leases.holds(BTC)).toBe(false);
  expect(await two.leases.take(BTC)).toBe(true);
});

it('twenty who ask at once for one market: one has it', async () => {
  const owners = Array.from({ length: 20 }, owner);
  const taken = await Promise.all(owners.map(({ leases }) => leases.take(BTC)));
  expect(taken.filter(Boolean)).toHaveLength(1);
});

it('what expired goes to the next, and the former owner is told; what nobody took is kept', async () => {
  const [one, two] = [owner(), owner()];
  await one.leases.take(BTC);
  await one.leases.take(ETH);
  await at.runScript(
    `set tidewire.orders = 'test'; update orders.paper_leases set expires_at = now() - interval '1 second'`,
  );
  expect(await two.leases.take(BTC)).toBe(true);
  await expect.poll(() => one.lost, { timeout: 10_000 }).toEqual([BTC]);
  expect(one.leases.holds(BTC)).toBe(false);
  expect(one.leases.holds(ETH)).toBe(true);
  expect(await two.leases.take(ETH)).toBe(false);
});

it('leases are written through their functions only', async () => {
  await expect(at.admin`delete from orders.paper_leases`).rejects.toThrow(/outside its transaction/);
  await expect(
    database.read('test.write', (queries) => queries.execute(`insert into orders.paper_leases values ('a', 'b')`)),
  ).rejects.toThrow();
});
