import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { startCutProxy } from './cut-proxy.ts';
import type { CutProxy } from './cut-proxy.ts';

let echo: net.Server;
let proxy: CutProxy;
const sockets: Socket[] = [];

beforeEach(async () => {
  echo = net.createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  proxy = await startCutProxy({ port: (echo.address() as AddressInfo).port });
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await proxy.stop();
  await new Promise((resolve) => echo.close(resolve));
});

async function connect(): Promise<{ socket: Socket; received: () => string }> {
  const socket = net.connect(proxy.port, '127.0.0.1');
  sockets.push(socket);
  let received = '';
  socket.on('data', (chunk) => (received += chunk.toString()));
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return { socket, received: () => received };
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

test('forwards, in order, also while the delay changes', async () => {
  const { socket, received } = await connect();
  proxy.delay(20);
  socket.write('one ');
  await vi.waitFor(() => expect(proxy.connections).toBe(1));
  proxy.delay(0);
  for (const word of ['two ', 'three ', 'four']) {
    await new Promise((resolve) => setImmediate(resolve));
    socket.write(word);
  }
  await vi.waitFor(() => expect(received()).toBe('one two three four'));
});

test('a cut is a reset and the next connection works', async () => {
  const { socket } = await connect();
  await vi.waitFor(() => expect(proxy.connections).toBe(1));
  proxy.cut();
  await closed(socket);
  const { socket: next, received } = await connect();
  next.write('x');
  await vi.waitFor(() => expect(received()).toBe('x'));
});

test('a black hole swallows without telling anybody, until it is healed', async () => {
  const { socket, received } = await connect();
  proxy.blackhole();
  socket.write('lost');
  const other = await connect();
  other.socket.write('lost too');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect([received(), other.received(), socket.destroyed]).toEqual(['', '', false]);
  proxy.heal();
  await closed(socket);
});

test('refuse lets nobody in', async () => {
  proxy.refuse();
  const socket = net.connect(proxy.port, '127.0.0.1');
  socket.on('error', () => undefined);
  await closed(socket);
  expect(proxy.connections).toBe(0);
});
