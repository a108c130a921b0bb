import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { HubRig } from './hub-rig-contract.ts';
import { RigClient, fakeTime, pass, startHub } from './hub-rig-contract.ts';

const BOOK = 'book:sandbox:BTC/USDT:25:100ms';

let rig: HubRig;
beforeEach(() => {
  fakeTime();
  rig = startHub();
});
afterEach(() => {
  rig.stop();
  vi.useRealTimers();
});

test('a method outside the list, and every abuse of a method, answers a code and calls nothing', async () => {
  const client = new RigClient(rig.hub);
  const codes: (string | undefined)[] = [];
  for (const method of [
    'nope',
    '__proto__',
    'constructor',
    'error',
    'disconnect',
    '',
    'toString',
    'x'.repeat(10_000),
  ]) {
    codes.push((await client.answer(method))?.error?.code);
  }
  expect(new Set(codes)).toEqual(new Set(['unknown_method']));
  let deep: unknown = [];
  for (let level = 0; level < 5_000; level++) deep = [deep];
  const bodies = [
    null,
    [],
    'text',
    7,
    {},
    { streams: [] },
    { streams: 'x' },
    { streams: [null] },
    { streams: [{}] },
    deep,
  ];
  bodies.push({ streams: [BOOK], more: 1 }, { streams: [{ stream: BOOK, since: { epoch: 'x', seq: -1 } }] });
  bodies.push(JSON.parse('{"streams":["x"],"__proto__":{"polluted":true}}'));
  for (const [index, params] of bodies.entries()) {
    expect((await client.answer('subscribe', params))?.error?.code, `body ${index}`).toBe('bad_request');
  }
  // Before any schema looks: code that walks values usually recurses.
  expect((await client.answer('subscribe', { streams: [deep] }))?.error).toMatchObject({
    message: 'nested deeper than 16 levels',
  });
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  await pass(3_000);
  expect(await client.answer('authenticate', { token: 'x' })).toMatchObject({ error: { code: 'unauthorized' } });
});

test('messages beyond the rate are refused with the time to wait, and go on too long and the connection is closed', async () => {
  const client = new RigClient(rig.hub);
  for (let count = 0; count < 40; count++) expect(await client.answer('ping')).toHaveProperty('result');
  expect(await client.answer('ping')).toMatchObject({
    error: { code: 'rate_limited', temporary: true, retryAfterMs: 50 },
  });
  await pass(60);
  expect(await client.answer('ping')).toHaveProperty('result');
  for (let count = 0; count < 110; count++) client.send('ping');
  expect(client.wire.closes).toEqual([{ code: 3509, reason: 'abuse' }]);
  expect(client.events('closing')).toEqual([{ code: 3509, reason: 'abuse', reconnect: false }]);
});

test('strikes are forgiven after a pause that refills the bucket', async () => {
  const client = new RigClient(rig.hub);
  for (let round = 0; round < 5; round++) {
    for (let count = 0; count < 90; count++) client.send('ping');
    await pass(2_100);
  }
  expect(client.wire.closes).toEqual([]);
});
