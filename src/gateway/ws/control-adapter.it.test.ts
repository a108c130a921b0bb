import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { io } from 'socket.io-client';
import { createLog } from '../../platform/log.ts';
import { clientAddressBehind } from './client-address.ts';
import { attachSocketIoDoor } from './door-socketio.ts';
import { startHub } from './hub-rig-contract.ts';
import { until } from './raw-client-contract.ts';
import { UpgradeRouter } from './upgrade-router.ts';

let redisProcess: ChildProcess | undefined;
let redisPort = 0;
const clients: Redis[] = [];

beforeAll(async () => {
  redisPort = await freePort();
  redisProcess = spawn('redis-server', [
    '--port',
    String(redisPort),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
  ]);
  const missing = await new Promise<boolean>((resolve) => {
    redisProcess!.once('error', () => resolve(true));
    redisProcess!.stdout!.on('data', (text: Buffer) => text.includes('Ready to accept') && resolve(false));
  });
  if (missing) redisProcess = undefined;
});
afterAll(async () => {
  for (const client of clients) client.disconnect();
  redisProcess?.kill();
});

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

function redis(): Redis {
  const client = new Redis({ port: redisPort, host: '127.0.0.1' });
  clients.push(client);
  return client;
}

async function gateway(): Promise<{
  port: number;
  door: ReturnType<typeof attachSocketIoDoor>;
  end: () => Promise<void>;
}> {
  const rig = startHub();
  const server = createHttpServer();
  const router = new UpgradeRouter({
    server,
    hub: rig.hub,
    allowedOrigins: [],
    clientAddress: clientAddressBehind([]),
  });
  const control = { publisher: redis(), subscriber: redis() };
  const door = attachSocketIoDoor({ router, hub: rig.hub, log: createLog({ level: 'silent' }), control });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const end = async (): Promise<void> => {
    rig.stop();
    await door.close();
    router.close();
    await new Promise((resolve) => server.close(resolve));
  };
  return { port: (server.address() as AddressInfo).port, door, end };
}

test('a word to one session reaches it at whichever gateway it is, and garbage on the channel ends nothing', async (context) => {
  if (!redisProcess) return context.skip('redis-server is not installed');
  const [here, there] = [await gateway(), await gateway()];
  const client = io(`http://127.0.0.1:${there.port}`, { transports: ['websocket'], reconnection: false });
  const announcements: unknown[] = [];
  client.on('announcement', (value) => announcements.push(value));
  await until(() => client.connected, 'the connection');
  const forger = redis();
  const channel = 'tidewire:control#/#';
  const subscribers = async (): Promise<number> =>
    Number(((await forger.call('PUBSUB', 'SHARDNUMSUB', channel)) as unknown[])[1]);
  while ((await subscribers()) < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  const forged: (string | Buffer)[] = [
    '',
    '{',
    '{}',
    'null',
    '[]',
    '{"type":3}',
    '{"uid":"x","type":3,"nsp":"/"}',
    Buffer.from([0xc1, 0xff]),
  ];
  forged.push(
    '{"uid":"x","nsp":"/","type":3,"data":{"opts":null,"packet":null}}',
    '{"uid":"x","nsp":"/","type":6,"data":{}}',
  );
  for (const payload of forged) await forger.spublish(channel, payload);
  here.door.io.emit('announcement', { text: 'maintenance at noon' });
  await until(() => announcements.length === 1, 'the announcement');
  expect(announcements).toEqual([{ text: 'maintenance at noon' }]);
  here.door.io.in(client.id!).disconnectSockets(true);
  await until(() => !client.connected, 'the end of the session');
  await Promise.all([here.end(), there.end()]);
});
