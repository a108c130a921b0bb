import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { clientFrame, RawClient, RawSocket, until } from './raw-client-contract.ts';
import { startServer } from './server-rig-contract.ts';

const SOCKETS = 100;
/** A socket holds the window and the slow limit at most, 0.33 MB together; the clients of this test live in the same process. */
const HELD_LIMIT_BYTES = 60e6;
const MEASURE_EVERY_ROUNDS = 50;
const TEXT = 0x81;
const WARM_UP_ROUNDS = 200;
const MESSAGE_BYTES = 16_000;
const PAD = 'x'.repeat(MESSAGE_BYTES);

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** What is in use once garbage is gone; RSS would mostly show how lazy the collector is. */
function bytesHeld(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function send(socket: RawSocket, text: string): void {
  socket.write(clientFrame({ first: TEXT, payload: Buffer.from(text) }));
}

test.each([
  ['plain', '/ws'],
  ['socketio', '/socket.io/?EIO=4&transport=websocket'],
] as const)(
  'a hundred sockets at the %s door that never read cost a bounded amount of memory, and are closed',
  async (door, path) => {
    // Each has a stream of its own: shared frames would hide what a queue holds.
    const symbols = Array.from({ length: SOCKETS }, (_, index) => `S${index}/USDT`);
    // What the cache keeps for resume is another budget than what sockets hold.
    const retention = { messages: 5, bytes: 1e6, ageMs: 1_000 };
    const rig = await startServer({ symbols, retention, limits: { closeAgeMs: 3_000 } });
    for (const symbol of ['BTC/USDT', ...symbols]) rig.market.begin(`ticker:sandbox:${symbol}`);
    const healthy = await new RawClient('plain', rig.port).welcomed();
    await healthy.subscribe('ticker:sandbox:BTC/USDT');
    const sockets: RawSocket[] = [];
    for (const symbol of symbols) {
      const socket = new RawSocket(rig.port);
      await socket.handshake(path);
      if (door === 'socketio') {
        send(socket, '40');
        await until(() => socket.frames().some((frame) => frame.text.includes('welcome')), 'the welcome');
      }
      const params = JSON.stringify({ streams: [`ticker:sandbox:${symbol}`] });
      send(socket, door === 'plain' ? `{"id":1,"method":"subscribe","params":${params}}` : `42["subscribe",${params}]`);
      sockets.push(socket);
    }
    await until(() => rig.hub.connectionCount === SOCKETS + 1, 'all connected');
    let published = 0;
    const publish = async (): Promise<void> => {
      published += 1;
      for (const symbol of symbols) {
        rig.market.update(`ticker:sandbox:${symbol}`, { pad: PAD, count: published });
      }
      rig.market.update('ticker:sandbox:BTC/USDT', { count: published });
      for (const socket of sockets) if (!socket.socket.isPaused()) socket.received = Buffer.alloc(0);
      await sleep(1);
    };
    // Garbage at the same rate as below, so that what is measured is what the sockets hold.
    while (published < WARM_UP_ROUNDS) await publish();
    for (const { socket } of sockets) socket.pause();
    const before = { held: bytesHeld(), rss: process.memoryUsage().rss };
    const most = { held: 0, rss: 0 };
    while (rig.hub.connectionCount > 1) {
      await publish();
      most.rss = Math.max(most.rss, process.memoryUsage().rss);
      if (published % MEASURE_EVERY_ROUNDS > 0) continue;
      most.held = Math.max(most.held, bytesHeld());
      // Pongs prove nothing: whoever sends them need not read.
      for (const socket of sockets) socket.write(clientFrame({ first: 0x8a }));
      if (door === 'socketio') for (const socket of sockets) send(socket, '3');
    }
    const grown = { held: most.held - before.held, rss: most.rss - before.rss };
    const perSocket = (bytes: number): string => `${(bytes / SOCKETS / 1e3).toFixed(0)} KB a socket`;
    const megabytes = (published * SOCKETS * MESSAGE_BYTES) / 1e6;
    console.log(
      `${door}: ${megabytes.toFixed(0)} MB published to ${SOCKETS} sockets that do not read; ` +
        `held ${perSocket(grown.held)}, RSS grew by ${perSocket(grown.rss)}`,
    );
    expect(grown.held).toBeLessThan(HELD_LIMIT_BYTES);
    await until(
      () => healthy.envelopes('ticker:sandbox:BTC/USDT').length === published + 1,
      'all at the healthy client',
    );
    expect(healthy.events('slow')).toEqual([]);
    expect(await rig.metrics.render()).toContain(`gateway_closes_total{door="${door}",code="3008"} ${SOCKETS}`);
    for (const socket of sockets) socket.destroy();
    await rig.end();
  },
  120_000,
);
