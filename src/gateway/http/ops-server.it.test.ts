import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createOpsServer } from './ops-server.ts';
import type { OpsServer, Readiness } from './ops-server.ts';

const READY: Readiness = { ready: true, reason: '', roles: ['feed'], bus: 'ok', venues: [] };
const log = createLog({ level: 'silent' });
let ops: OpsServer | undefined;

afterEach(() => ops?.close());

async function start(readiness: () => Readiness): Promise<string> {
  ops = createOpsServer({ readiness, metrics: createMetrics({ processMetrics: true }), log });
  return `http://127.0.0.1:${await ops.listen('127.0.0.1', 0)}`;
}

it('a process that is not ready says so to the load balancer, and is still alive', async () => {
  let ready = false;
  const url = await start(() => ({ ...READY, ready }));
  expect((await fetch(`${url}/ready`)).status).toBe(503);
  expect((await fetch(`${url}/health`)).status).toBe(200);
  ready = true;
  const answer = await fetch(`${url}/ready`);
  expect([answer.status, await answer.json()]).toEqual([200, READY]);
});

it('metrics show the lag of the event loop', async () => {
  const url = await start(() => READY);
  const answer = await fetch(`${url}/metrics`);
  expect(answer.headers.get('content-type')).toContain('text/plain');
  expect(await answer.text()).toMatch(/^nodejs_eventloop_lag_p99_seconds \d/m);
});

it('nothing else is served', async () => {
  const url = await start(() => READY);
  expect((await fetch(`${url}/v1/venues`)).status).toBe(404);
  expect((await fetch(`${url}/health`, { method: 'POST' })).status).toBe(405);
});

it('a failure while answering does not end the process', async () => {
  const url = await start(() => {
    throw new Error('broken');
  });
  expect((await fetch(`${url}/ready`)).status).toBe(500);
  expect((await fetch(`${url}/health`)).status).toBe(200);
});

it('a port that is taken is reported, not waited for', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  ops = createOpsServer({ readiness: () => READY, metrics: createMetrics({ processMetrics: false }), log });
  await expect(ops.listen('127.0.0.1', (taken.address() as AddressInfo).port)).rejects.toMatchObject({
    code: 'EADDRINUSE',
  });
  await new Promise((resolve) => taken.close(resolve));
});
