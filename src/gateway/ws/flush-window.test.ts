import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { AT_ONCE } from './egress.ts';
import { endOfWindow, windowOf } from './flush-window.ts';
import type { HubRig } from './hub-rig-contract.ts';
import { RigClient, fakeTime, pass, settle, startHub } from './hub-rig-contract.ts';

const SYMBOLS = Array.from({ length: 12 }, (_, index) => `W${index}/USDT`);
const NAMES = SYMBOLS.map((symbol) => `ticker:sandbox:${symbol}`);
/** Past the ticks at which the hub looks at its pace. */
const FINDING_PACE_MS = 1_100;
const ROUND_MS = 10;

let rig: HubRig | undefined;
beforeEach(fakeTime);
afterEach(() => {
  rig?.stop();
  rig = undefined;
  vi.useRealTimers();
});

test('no message waits longer than its stream pauses anyway, nor longer than is allowed', () => {
  expect([0.5, 1, 10, 20, 30, 60, 150, 900].map((rate) => windowOf(rate, 50))).toEqual([0, 0, 50, 50, 25, 10, 5, 5]);
  expect([10, 60].map((rate) => windowOf(rate, 20))).toEqual([10, 10]);
  expect([10, 60].map((rate) => windowOf(rate, 0))).toEqual([0, 0]);
  expect([0, 10, 49.9, 50].map((nowMs) => endOfWindow(nowMs, 50))).toEqual([50, 50, 50, 100]);
  expect(endOfWindow(10, 0)).toBe(AT_ONCE);
});

async function clientsOf(count: number): Promise<RigClient[]> {
  rig = startHub({ symbols: SYMBOLS });
  for (const name of NAMES) rig.market.begin(name);
  const clients = Array.from({ length: count }, () => new RigClient(rig!.hub));
  for (const client of clients) client.subscribe(...NAMES);
  await settle();
  return clients;
}

/** A round publishes every stream once, each in a turn of its own. */
async function publish(rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const name of NAMES) {
      rig!.market.update(name, { round });
      await settle();
    }
    await pass(ROUND_MS);
  }
}

test('while the hub is busy several messages leave in one write; all come, in order, and none is late by more than its window', async () => {
  const clients = await clientsOf(40);
  await publish(FINDING_PACE_MS / ROUND_MS);
  const written = vi.spyOn(clients[0]!.wire, 'write');
  const seqs = (): number[] => NAMES.map((name) => clients[0]!.stream(name).position!.seq);
  const before = seqs();
  await publish(20);
  expect(written.mock.calls.length).toBeLessThan(30);
  await pass(ROUND_MS);
  expect(seqs()).toEqual(before.map((seq) => seq + 20));
  expect(clients.flatMap(({ problems }) => problems)).toEqual([]);
});

test('a reply does not wait for a window, and takes along what waits before it', async () => {
  const clients = await clientsOf(40);
  await publish(FINDING_PACE_MS / ROUND_MS);
  const client = clients[0]!;
  for (const name of NAMES) rig!.market.update(name, { last: 'now' });
  expect(await client.answer('ping')).toHaveProperty('result');
  for (const name of NAMES) expect(client.stream(name).position).toMatchObject({ seq: rig!.market.line(name).seq });
  expect(client.log.at(-1)).toMatchObject({ type: 'reply' });
});

test('a hub that has time sends every message at the end of its turn', async () => {
  const [client] = await clientsOf(1);
  await publish(FINDING_PACE_MS / ROUND_MS);
  rig!.market.update(NAMES[0]!, { last: 'now' });
  await settle();
  expect(client!.stream(NAMES[0]!).position).toMatchObject({ seq: rig!.market.line(NAMES[0]!).seq });
});
