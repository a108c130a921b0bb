import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { clientFrame, RawClient, RawSocket, until } from './raw-client-contract.ts';
import { startServer } from './server-rig-contract.ts';

const SOCKETS = 100;
const RSS_LIMIT_BYTES = 150e6;
const TEXT = 0x81;
const WARM_UP_ROUNDS = 1_000;
const MESSAGE_BYTES = 4_000;

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
    const rig = await startServer({ symbols, retention, limits: { closeAgeMs: 4_000 } });
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
        rig.market.update(`ticker:sandbox:${symbol}`, { pad: 'x'.repeat(MESSAGE_BYTES), count: published });
      }
      rig.market.update('ticker:sandbox:BTC/USDT', { count: published });
      for (const socket of sockets) if (!socket.socket.isPaused()) socket.received = Buffer.alloc(0);
      await sleep(1);
    };
    // Garbage at the same rate as below, so that what is measured is what the sockets hold.
    while (published < WARM_UP_ROUNDS) await publish();
    for (const { socket } of sockets) socket.pause();
    const before = process.memoryUsage().rss;
    let most = 0;
    while (rig.hub.connectionCount > 1) {
      await publish();
      most = Math.max(most, process.memoryUsage().rss);
      if (published % 100 > 0) continue;
      // Pongs prove nothing: whoever sends them need not read.
      for (const socket of sockets) socket.write(clientFrame({ first: 0x8a }));
      if (door === 'socketio') for (const socket of sockets) send(socket, '3');
    }
    console.log(
      `${door}: ${((published * SOCKETS * MESSAGE_BYTES) / 1e6).toFixed(0)} MB published to ${SOCKETS} sockets that do not read; ` +
        `RSS grew by ${((most - before) / 1e6).toFixed(1)} MB, ${((most - before) / SOCKETS / 1e3).toFixed(0)} KB a socket`,
    );
    expect(most - before).toBeLessThan(RSS_LIMIT_BYTES);
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
