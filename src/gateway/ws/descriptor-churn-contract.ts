import { closeSync, openSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';

/**
 * A thread that takes and gives back descriptors as fast as it can, sockets among them on which nobody ever writes: whatever
 * arrives there was meant for somebody else.
 */
const PAIRS = 20;
const FILES = 10;

let stopped = false;
let opened = 0;
parentPort!.once('message', () => (stopped = true));

function watch(socket: Socket): void {
  socket.on('data', (chunk: Buffer) =>
    parentPort!.postMessage({ wrong: `somebody's bytes: ${chunk.toString('latin1').slice(0, 200)}` }),
  );
  // Resets are what this is for.
  socket.on('error', () => undefined);
}

const accepted = new Set<Socket>();
const server = createServer((socket) => {
  watch(socket);
  accepted.add(socket);
  socket.on('close', () => accepted.delete(socket));
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address() as AddressInfo;
while (!stopped) {
  const ours = Array.from({ length: PAIRS }, () => connect({ port, host: '127.0.0.1' }));
  for (const socket of ours) watch(socket);
  const files = Array.from({ length: FILES }, () => openSync('/dev/null', 'r'));
  await sleep(1);
  for (const file of files) closeSync(file);
  for (const [index, socket] of ours.entries()) {
    if (index % 2 === 0) socket.destroy();
    else socket.resetAndDestroy();
  }
  for (const socket of accepted) socket.destroy();
  opened += 2 * PAIRS + FILES;
}
server.close();
parentPort!.postMessage({ opened });
parentPort!.close();
