import { io } from 'socket.io-client';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Envelope } from '../../protocol/messages.ts';
import { RawSocket, until } from './raw-client-contract.ts';
import type { ServerRig } from './server-rig-contract.ts';
import { startServer } from './server-rig-contract.ts';

const BOOK = 'book:sandbox:BTC/USDT:25:100ms';
const TICKER = 'ticker:sandbox:BTC/USDT';
const INFLATED_BYTES = 50_000_000;

let rig: ServerRig;
afterEach(() => rig.end());

type Client = Readonly<{ envelopes: Envelope[]; end: () => void; subscribe: (params: object) => void }>;

function plain(query: string): Client & { socket: WebSocket } {
  const socket = new WebSocket(`ws://127.0.0.1:${rig.port}/ws${query}`);
  const envelopes: Envelope[] = [];
  socket.on('message', (data: Buffer) => {
    const value = JSON.parse(data.toString());
    if ('batch' in value) envelopes.push(...value.batch);
    else if ('stream' in value) envelopes.push(value);
  });
  const subscribe = (params: object): void => {
    const text = JSON.stringify({ id: 1, method: 'subscribe', params });
    if (socket.readyState === WebSocket.OPEN) socket.send(text);
    else socket.once('open', () => socket.send(text));
  };
  return { socket, envelopes, subscribe, end: () => socket.terminate() };
}

function socketIo(): Client {
  const url = `http://127.0.0.1:${rig.port}`;
  const socket = io(url, { transports: ['websocket'], forceNew: true, query: { compression: 'deflate' } });
  const envelopes: Envelope[] = [];
  socket.on('message', (envelope: Envelope) => envelopes.push(envelope));
  socket.on('batch', (all: Envelope[]) => envelopes.push(...all));
  return { envelopes, subscribe: (params) => socket.emit('subscribe', params), end: () => socket.disconnect() };
}

function publish(rounds: number): void {
  for (let round = 0; round < rounds; round++) {
    rig.market.delta(BOOK, [[String(50 + (round % 9)), String(round + 1)]], []);
    rig.market.update(TICKER, { last: String(round), pad: 'x'.repeat(round * 20) });
  }
}

describe.each(['each by itself', 'in batches'])('%s', (how) => {
  test('ws and socket.io-client read compressed pushes as everybody else reads plain ones', async () => {
    rig = await startServer();
    for (const name of [BOOK, TICKER]) rig.market.begin(name);
    const clients = [plain(''), plain('?compression=deflate'), plain('?compression=deflate'), socketIo()];
    const batch = how === 'in batches' ? { batch: { windowMs: 5 } } : {};
    for (const client of clients) client.subscribe({ streams: [BOOK, TICKER], ...batch });
    await until(() => clients.every(({ envelopes }) => envelopes.length >= 2), 'the snapshots');
    publish(100);
    await until(() => clients.every(({ envelopes }) => envelopes.length === 202), 'all updates');
    const strip = (envelope: Envelope): object => ({ ...envelope, sentTs: 0 });
    for (const { envelopes } of clients.slice(1)) {
      for (const stream of [BOOK, TICKER]) {
        const of = (all: Envelope[]): object[] => all.filter((each) => each.stream === stream).map(strip);
        expect(of(envelopes)).toEqual(of(clients[0]!.envelopes));
      }
    }
    for (const client of clients) client.end();
  });
});

test('only who offers it and asks for it gets it, and never with a window that would need a compression of its own', async () => {
  rig = await startServer();
  const answers: [string, string, boolean][] = [
    ['/ws', 'permessage-deflate', false],
    ['/ws?compression=deflate', '', false],
    ['/ws?compression=deflate', 'permessage-deflate; client_max_window_bits', true],
    ['/ws?compression=deflate', 'permessage-deflate; server_max_window_bits=10', false],
    ['/socket.io/?EIO=4&transport=websocket&compression=deflate', 'permessage-deflate', true],
    ['/socket.io/?EIO=4&transport=websocket', 'permessage-deflate', false],
  ];
  for (const [path, offer, taken] of answers) {
    const socket = new RawSocket(rig.port);
    const head = await socket.handshake(path, offer === '' ? {} : { 'Sec-WebSocket-Extensions': offer });
    expect(head.startsWith('HTTP/1.1 101'), head).toBe(true);
    expect(/permessage-deflate.*server_no_context_takeover/.test(head), `${path} ${offer}`).toBe(taken);
    socket.destroy();
  }
});

test('a small message that becomes a large one is refused by what it becomes', async () => {
  rig = await startServer();
  const { socket } = plain('?compression=deflate');
  await until(() => socket.readyState === WebSocket.OPEN, 'the connection');
  let code = 0;
  socket.on('close', (closed) => (code = closed));
  const before = process.memoryUsage().rss;
  socket.send(' '.repeat(INFLATED_BYTES));
  await until(() => code !== 0, 'the close');
  expect(code).toBe(1009);
  expect(process.memoryUsage().rss - before).toBeLessThan(INFLATED_BYTES * 4);
});
