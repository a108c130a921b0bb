import { expect, test } from 'vitest';
import { RawClient, RawSocket, until } from './raw-client-contract.ts';
import { startServer } from './server-rig-contract.ts';

test('an operator sees who waits for a handshake, who gave up and who was turned away, at both doors', async () => {
  const rig = await startServer({ handshakes: { capacity: 2, refillPerSecond: 0.001, waitingLimit: 2 } });
  const line = async (text: string): Promise<boolean> => (await rig.metrics.render()).split('\n').includes(text);
  const paths = ['/ws', '/socket.io/?EIO=4&transport=websocket'];
  const sockets: RawSocket[] = [];
  const heads: (string | null)[] = [];
  for (let index = 0; index < 6; index++) {
    const socket = new RawSocket(rig.port);
    sockets.push(socket);
    heads.push(null);
    void socket.handshake(paths[index % 2]!).then(
      (head) => (heads[index] = head.slice(0, 12)),
      // Those that wait are not answered until the end.
      () => undefined,
    );
    // One after the other, so that it is known which of them wait.
    const answeredOrWaiting =
      index < 2 || index > 3 ? () => heads[index] !== null : () => socket.socket.bytesWritten > 0;
    await until(answeredOrWaiting, `the handshake ${index}`);
    if (index === 3) while (!(await line('gateway_handshakes_waiting 2'))) await new Promise(setImmediate);
  }
  expect(heads).toEqual(['HTTP/1.1 101', 'HTTP/1.1 101', null, null, 'HTTP/1.1 503', 'HTTP/1.1 503']);
  sockets[2]!.destroy();
  while (!(await line('gateway_handshakes_waiting 1'))) await new Promise(setImmediate);
  // The counters are carried over with every tick of the hub.
  const counted = ['at_once"} 2', 'abandoned"} 1', 'refused"} 2', 'in_turn"} 0'];
  for (const each of counted) {
    while (!(await line(`gateway_handshakes_total{outcome="${each}`))) await new Promise(setImmediate);
  }
  for (const socket of sockets) socket.destroy();
  await rig.end();
});

test.each(['plain', 'socketio'] as const)(
  'a client of the %s door that had to wait is served like any other',
  async (door) => {
    const rig = await startServer({ handshakes: { capacity: 1, refillPerSecond: 4, waitingLimit: 10 } });
    rig.market.begin('ticker:sandbox:BTC/USDT');
    const clients = await Promise.all(Array.from({ length: 4 }, () => new RawClient(door, rig.port).welcomed()));
    for (const client of clients) await client.subscribe('ticker:sandbox:BTC/USDT');
    rig.market.update('ticker:sandbox:BTC/USDT', { count: 1 });
    await until(
      () => clients.every((each) => each.envelopes('ticker:sandbox:BTC/USDT').length === 2),
      'the update at all',
    );
    await rig.end();
  },
);
