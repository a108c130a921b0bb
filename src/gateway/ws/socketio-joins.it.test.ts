import { afterEach, beforeEach, expect, test } from 'vitest';
import { RawClient, RawSocket, clientFrame, until } from './raw-client-contract.ts';
import type { ServerRig } from './server-rig-contract.ts';
import { startServer } from './server-rig-contract.ts';

const TEXT = 0x81;

let rig: ServerRig;
let peer: RawSocket;

beforeEach(async () => {
  rig = await startServer();
  peer = new RawSocket(rig.port);
  await peer.handshake('/socket.io/?EIO=4&transport=websocket');
  await until(() => peer.frames().length > 0, "engine.io's greeting");
});
afterEach(async () => {
  peer.destroy();
  await rig.end();
});

const says = (...packets: string[]): void =>
  peer.write(Buffer.concat(packets.map((packet) => clientFrame({ first: TEXT, payload: Buffer.from(packet) }))));
const heard = (word: string): number => peer.frames().filter(({ text }) => text.includes(word)).length;

test.each([[['40', '40', '40']], [['40{"token":"x"}', '40']], [['40', '40{"token":"x"}']]])(
  'who joins again (%j) before the first join was answered ends neither the process nor two connections in one',
  async (packets) => {
    const bystander = await new RawClient('socketio', rig.port).welcomed();
    says(...packets);
    await until(() => peer.closed, 'the end of the connection');
    expect(heard('"welcome"')).toBe(0);
    expect(rig.hub.connectionCount).toBe(1);
    expect(await bystander.request('ping')).toHaveProperty('result');
    await bystander.end();
  },
);

test('who was refused may join again over the same transport', async () => {
  says('40{"token":"x"}');
  await until(() => heard('"unauthorized"') === 1, 'the refusal');
  says('40');
  await until(() => heard('"welcome"') === 1, 'the welcome');
});
