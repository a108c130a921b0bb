import { spawn } from 'node:child_process';
import { afterEach, expect, test } from 'vitest';
import { io } from 'socket.io-client';
import type { Socket } from 'socket.io-client';
import type { Envelope } from '../../protocol/messages.ts';
import { until } from './raw-client-contract.ts';
import type { ServerRig } from './server-rig-contract.ts';
import { startServer } from './server-rig-contract.ts';

const BOOK = 'book:sandbox:BTC/USDT:25:100ms';

let rig: ServerRig;
let client: Socket | undefined;
afterEach(async () => {
  client?.disconnect();
  await rig.end();
});

function connect(): Socket {
  client = io(`http://127.0.0.1:${rig.port}`, {
    transports: ['websocket'],
    reconnectionDelay: 20,
    reconnectionDelayMax: 50,
  });
  return client;
}

test('socket.io-client as it comes from npm subscribes, resumes after a cut, and gets errors in its acknowledgements', async () => {
  rig = await startServer();
  const { market } = rig;
  market.begin(BOOK);
  const socket = connect();
  const messages: Envelope[] = [];
  const welcomes: unknown[] = [];
  socket.on('message', (envelope: Envelope) => messages.push(envelope));
  socket.on('welcome', (welcome) => welcomes.push(welcome));
  await until(() => welcomes.length === 1, 'the welcome');
  expect(await socket.timeout(5_000).emitWithAck('subscribe', { streams: [BOOK] })).toMatchObject({
    result: [{ stream: BOOK, seq: 2, recovered: false, state: { status: 'live' } }],
  });
  market.delta(BOOK, [['99', '1']], []);
  await until(() => messages.length === 2, 'snapshot and delta');
  expect(messages.map(({ kind, seq }) => `${kind} ${seq}`)).toEqual(['snapshot 2', 'delta 3']);
  expect(await socket.emitWithAck('nope', {})).toMatchObject({ error: { code: 'unknown_method' } });
  expect(await socket.emitWithAck('ping')).toHaveProperty('result.serverTs');
  expect(await socket.emitWithAck('ping', undefined)).toHaveProperty('result.serverTs');
  // A lost transport: the library comes back by itself, the positions are ours.
  socket.io.engine.close();
  market.delta(BOOK, [['98', '1']], []);
  await until(() => welcomes.length === 2, 'the second welcome');
  const since = { epoch: messages.at(-1)!.epoch, seq: messages.at(-1)!.seq };
  expect(await socket.emitWithAck('subscribe', { streams: [{ stream: BOOK, since }] })).toMatchObject({
    result: [{ recovered: true, seq: 4 }],
  });
  await until(() => messages.length === 3, 'the missed delta');
  expect(messages[2]).toMatchObject({ kind: 'delta', seq: 4 });
});

test('socket.io-client comes back after a shutdown, and stays away after abuse', async () => {
  rig = await startServer();
  const socket = connect();
  const events: string[] = [];
  const closings: unknown[] = [];
  for (const event of ['connect', 'disconnect'])
    socket.on(event, (reason) => events.push(`${event} ${reason ?? ''}`.trim()));
  socket.on('closing', (closing) => closings.push(closing));
  await until(() => events.length === 1, 'the connection');
  await rig.doors.drain({ spreadMs: 0, deadlineMs: 5_000 });
  await until(() => events.length === 2, 'the disconnection');
  expect(closings).toEqual([{ code: 3001, reason: 'shutdown', reconnect: true }]);
  expect(socket.active).toBe(true);
  socket.disconnect();
  await rig.end();
  rig = await startServer();
  const other = connect();
  other.on('disconnect', (reason) => events.push(`disconnect ${reason}`));
  await until(() => other.connected, 'the connection');
  for (let count = 0; count < 400; count++) other.emit('ping');
  await until(() => !other.connected, 'the disconnection');
  expect(events.at(-1)).toBe('disconnect io server disconnect');
  expect(other.active).toBe(false);
});

test('the WebSocket that Node and browsers bring speaks to the plain door', async () => {
  rig = await startServer();
  rig.market.begin(BOOK);
  const socket = new WebSocket(`ws://127.0.0.1:${rig.port}/ws`);
  const texts: string[] = [];
  socket.onmessage = ({ data }) => texts.push(String(data));
  await until(() => texts.length === 1, 'the welcome');
  socket.send(JSON.stringify({ id: 'a', method: 'subscribe', params: { streams: [BOOK] } }));
  await until(() => texts.length === 3, 'reply and snapshot');
  expect(JSON.parse(texts[1]!)).toMatchObject({ id: 'a', result: [{ stream: BOOK }] });
  expect(JSON.parse(texts[2]!)).toMatchObject({ stream: BOOK, kind: 'snapshot', data: { bids: [['100', '1']] } });
  let closed: CloseEvent | undefined;
  socket.onclose = (event) => (closed = event);
  await rig.doors.drain({ spreadMs: 0, deadlineMs: 5_000 });
  await until(() => closed !== undefined, 'the close');
  expect(closed).toMatchObject({ code: 3001, reason: 'shutdown' });
});

const python = `
import sys, socketio
client = socketio.Client()
client.connect(sys.argv[1], transports=['websocket'])
print(client.call('subscribe', {'streams': [sys.argv[2]]})['result'][0]['stream'])
client.disconnect()
`;
test('python-socketio subscribes, where it is installed', async (context) => {
  // Python's websocket-client sends the address that it connects to as an origin.
  rig = await startServer({ allowedOrigins: ['*'] });
  rig.market.begin(BOOK);
  const lines: string[] = [];
  const child = spawn('python3', ['-c', python, `http://127.0.0.1:${rig.port}`, BOOK]);
  child.stdout.on('data', (chunk: Buffer) => lines.push(chunk.toString()));
  const errors: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk.toString()));
  const code = await new Promise<number | null>((resolve) => {
    child.on('error', () => resolve(-1));
    child.on('close', resolve);
  });
  if (code !== 0 && (code === -1 || errors.join('').includes('ModuleNotFoundError'))) {
    return context.skip('python-socketio is not installed');
  }
  expect(errors.join('')).toBe('');
  expect(lines.join('').trim()).toBe(BOOK);
});
