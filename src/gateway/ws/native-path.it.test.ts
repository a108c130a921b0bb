import { createServer as createTlsServer } from 'node:tls';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { seededRandom } from '../../kernel/random.ts';
import { createLog } from '../../platform/log.ts';
import type { NativeWriter } from '../../platform/native-writer/native-writer.ts';
import { loadNativeWriter } from '../../platform/native-writer/native-writer.ts';
import { clientFrame, RawSocket, until } from './raw-client-contract.ts';
import type { ServerRig } from './server-rig-contract.ts';
import { startServer } from './server-rig-contract.ts';
import { descriptorOf } from './socket-pipe.ts';

const native = await loadNativeWriter(createLog({ level: 'silent' }));
const TEXT = 0x81;

let rig: ServerRig | undefined;
const ends: (() => void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) end();
  await rig?.end();
  rig = undefined;
});

async function accepted(): Promise<Socket> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const socket = await new Promise<Socket>((resolve) => server.once('connection', resolve));
  ends.push(() => {
    peer.destroy();
    socket.destroy();
    server.close();
  });
  return socket;
}

test('Node still tells the descriptor of a socket, which it does not document: without it everything takes the slow way', async () => {
  const [first, second] = [await accepted(), await accepted()];
  expect(descriptorOf(first)).toBeGreaterThan(2);
  expect(descriptorOf(second)).not.toBe(descriptorOf(first));
});

test('a closed socket has no descriptor from that moment on: its number belongs to the next', async () => {
  const socket = await accepted();
  socket.destroy();
  expect(descriptorOf(socket)).toBe(-1);
});

test('a handle that was closed past its socket has no descriptor: what Node answers instead is an error number', async () => {
  const socket = await accepted();
  const { _handle: handle } = socket as unknown as { _handle: { close(done: () => void): void } };
  const closed = new Promise<void>((resolve) => handle.close(resolve));
  expect(descriptorOf(socket)).toBe(-1);
  await closed;
  expect(socket.destroyed).toBe(false);
  expect(descriptorOf(socket)).toBe(-1);
});

test.each<[string, (socket: Socket) => void]>([
  ['destroyed', (socket) => socket.destroy()],
  ['destroyed with an error', (socket) => socket.destroy(new Error('broken'))],
  ['reset', (socket) => socket.resetAndDestroy()],
  ['ended', (socket) => socket.end()],
])(
  "a %s socket is not sent to past its stream from that very step on: its number may be the next one's",
  async (_how, close) => {
    rig = await startServer();
    const sockets: Socket[] = [];
    rig.server.on('connection', (socket) => sockets.push(socket));
    const client = new RawSocket(rig.port);
    await client.handshake('/ws');
    await until(() => client.frames().some(({ text }) => text.includes('welcome')), 'the welcome');
    const { wire } = [...rig.hub.connections()][0]!;
    const [socket] = sockets as [Socket & { _handle: object | null }];
    const handle = socket._handle;
    expect(handle).not.toBeNull();
    expect(wire.descriptor()).toBe(descriptorOf(socket));
    expect(wire.descriptor()).toBeGreaterThan(2);
    // Either sign alone is enough: that the handle is gone, and what the stream says of itself.
    socket._handle = null;
    expect(wire.descriptor()).toBe(-1);
    socket._handle = handle;
    expect(wire.descriptor()).toBeGreaterThan(2);
    close(socket);
    expect(wire.descriptor()).toBe(-1);
    await until(() => socket.destroyed, 'the end');
    // What the wire goes by: the handle that it has seen is not the socket's any more.
    expect(socket._handle).toBeNull();
    expect(wire.descriptor()).toBe(-1);
    client.destroy();
  },
);

test('nothing goes past bytes that the socket has not taken yet, whoever wrote them', async () => {
  rig = await startServer();
  const client = new RawSocket(rig.port);
  await client.handshake('/ws');
  await until(() => client.frames().some(({ text }) => text.includes('welcome')), 'the welcome');
  client.socket.pause();
  const { wire } = [...rig.hub.connections()][0]!;
  expect(wire.descriptor()).toBeGreaterThan(2);
  const frame = wire.codec.pushJson(JSON.stringify({ pad: 'x'.repeat(100_000) })).bytes;
  let written = 0;
  let writes = 1;
  while (wire.write(frame, () => (written += 1))) writes += 1;
  expect(wire.descriptor()).toBe(-1);
  client.socket.resume();
  await until(() => written === 1, 'all to be taken');
  expect(wire.descriptor()).toBeGreaterThan(2);
  await until(() => client.received.length > writes * frame.length, 'all to come');
  client.destroy();
});

test.each(['/ws', '/socket.io/?EIO=4&transport=websocket'])(
  'no WebSocket at %s begins behind a request that is still to be answered: the answer would come between its frames',
  async (path) => {
    rig = await startServer();
    rig.server.removeAllListeners('request');
    const answers: ServerResponse[] = [];
    rig.server.on('request', (_request, response) => answers.push(response));
    const client = new RawSocket(rig.port);
    client.write('GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const head = await client.handshake(path);
    expect(head).toMatch(/^HTTP\/1\.1 400 /);
    for (const answer of answers) answer.end('late');
    await until(() => client.closed, 'the end');
    expect(client.received.toString()).not.toContain('late');
    expect(rig.hub.connectionCount).toBe(0);
  },
);

test('a WebSocket may begin on a connection whose requests are all answered', async () => {
  rig = await startServer();
  const client = new RawSocket(rig.port);
  client.write('GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until(() => client.received.includes('http'), 'the answer');
  client.received = Buffer.alloc(0);
  expect(await client.handshake('/ws')).toMatch(/^HTTP\/1\.1 101 /);
  client.destroy();
});

test('nothing goes past TLS', async () => {
  const server = createTlsServer({});
  const secured = new Promise<Socket>((resolve) => server.once('connection', resolve));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const { TLSSocket } = await import('node:tls');
  const socket = new TLSSocket(await secured, { isServer: true });
  socket.on('error', () => undefined);
  expect(descriptorOf(socket)).toBe(-1);
  peer.destroy();
  socket.destroy();
  server.close();
});

test('engine.io still keeps what its socket has not been given where we look for it', async () => {
  rig = await startServer();
  const client = new RawSocket(rig.port);
  await client.handshake('/socket.io/?EIO=4&transport=websocket');
  client.write(clientFrame({ first: TEXT, payload: Buffer.from('40') }));
  await until(() => client.frames().some(({ text }) => text.includes('welcome')), 'the welcome');
  const [connection] = rig.hub.connections();
  const { wire } = connection!;
  const conn = (
    wire as unknown as {
      conn: {
        transport: { writable: boolean };
        writeBuffer: unknown[];
        emit(name: string): void;
        write(text: string): void;
      };
    }
  ).conn;
  expect(conn.writeBuffer).toEqual([]);
  expect(wire.descriptor()).toBeGreaterThan(2);
  // Held up, as it is while the socket has not taken engine.io's last packet.
  conn.transport.writable = false;
  conn.write('2["first"]');
  expect(conn.writeBuffer.length).toBe(1);
  expect(wire.descriptor()).toBe(-1);
  let written = false;
  wire.write(wire.codec.event('draining', { afterMs: 7 }).bytes, () => (written = true));
  conn.transport.writable = true;
  conn.transport = Object.assign(conn.transport);
  (conn.transport as unknown as { emit(name: string): void }).emit('ready');
  await until(() => written, 'ours to be written');
  await until(() => client.frames().some(({ text }) => text.includes('draining')), 'ours');
  const texts = client.frames().map(({ text }) => text);
  expect(texts.findIndex((text) => text.includes('first'))).toBe(texts.length - 2);
  client.destroy();
});

type Peer = { socket: RawSocket; door: string; seqs: Map<string, number>; wrong: string[]; taken: number };

/** Reads what has come so far and checks that each stream's messages come in order, each once, or after a base that says so. */
function take(peer: Peer): void {
  const frames = peer.socket.frames();
  let bytes = 0;
  for (const { text, opcode } of frames) {
    bytes += opcode === 1 ? Buffer.byteLength(text) : 0;
    const body = peer.door === 'plain' ? text : text.startsWith('42["message",') ? text.slice(13, -1) : '{}';
    if (opcode !== 1 || !body.startsWith('{"')) continue;
    const { stream, seq, kind, epoch } = JSON.parse(body) as Record<string, string | number>;
    if (stream === undefined) continue;
    const key = `${stream} ${epoch}`;
    const last = peer.seqs.get(key);
    if (kind === 'update' && last !== undefined && seq !== last + 1) peer.wrong.push(`${key}: ${seq} after ${last}`);
    peer.seqs.set(key, seq as number);
  }
  peer.taken += frames.length;
  peer.socket.received = peer.socket.received.subarray(wholeBytes(peer.socket.received));
}

function wholeBytes(data: Buffer): number {
  let at = 0;
  for (;;) {
    if (data.length < at + 2) return at;
    const short = data[at + 1]! & 0x7f;
    const head = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (data.length < at + head) return at;
    const size =
      short === 126 ? data.readUInt16BE(at + 2) : short === 127 ? Number(data.readBigUInt64BE(at + 2)) : short;
    if (data.length < at + head + size) return at;
    at += head + size;
  }
}

async function join(port: number, door: string, streams: string[]): Promise<Peer> {
  const socket = new RawSocket(port);
  await socket.handshake(door === 'plain' ? '/ws' : '/socket.io/?EIO=4&transport=websocket');
  const say = (text: string): void => socket.write(clientFrame({ first: TEXT, payload: Buffer.from(text) }));
  if (door === 'socketio') say('40');
  await until(() => socket.frames().some(({ text }) => text.includes('welcome')), 'the welcome');
  const params = { streams };
  say(
    door === 'plain'
      ? JSON.stringify({ id: 1, method: 'subscribe', params })
      : `42${JSON.stringify(['subscribe', params])}`,
  );
  return { socket, door, seqs: new Map(), wrong: [], taken: 0 };
}

const modes: [string, NativeWriter | null, number][] = [
  ['native, at once', native, 0],
  ['native, gathered', native, 50],
  ['streams only, at once', null, 0],
  ['streams only, gathered', null, 50],
];
test.each(modes.filter(([name, writer]) => writer !== null || name.startsWith('streams')))(
  '%s: messages of all sizes to readers of all paces, some of which go away in the middle, stay whole and in order',
  async (_name, nativeWriter, flushWindowMs) => {
    const random = seededRandom(7);
    const symbols = Array.from({ length: 12 }, (_, index) => `N${index}/USDT`);
    const names = symbols.map((symbol) => `ticker:sandbox:${symbol}`);
    rig = await startServer({ symbols, nativeWriter, flushWindowMs });
    for (const name of names) rig.market.begin(name);
    const peers: Peer[] = [];
    for (let index = 0; index < 24; index++) {
      peers.push(
        await join(
          rig.port,
          index % 2 === 0 ? 'plain' : 'socketio',
          names.filter(() => random() < 0.6),
        ),
      );
    }
    await until(() => rig!.hub.connectionCount === peers.length, 'all connected');
    const gone = new Set<Peer>();
    for (let round = 0; round < 400; round++) {
      for (const name of names) {
        const pad = 'x'.repeat(Math.floor(random() < 0.02 ? random() * 200_000 : random() * 400));
        if (random() < 0.8) rig.market.update(name, { round, pad });
      }
      const peer = peers[Math.floor(random() * peers.length)]!;
      if (gone.has(peer)) continue;
      const dice = random();
      if (dice < 0.2) peer.socket.socket.pause();
      else if (dice < 0.6) peer.socket.socket.resume();
      else if (dice < 0.62 && gone.size < 8) {
        gone.add(peer);
        peer.socket.destroy();
      }
      if (round % 4 === 0) await sleep(1);
      for (const each of peers) if (!gone.has(each)) take(each);
    }
    const left = peers.filter((peer) => !gone.has(peer));
    for (const { socket } of left) socket.socket.resume();
    const total = (): number => left.reduce((sum, peer) => sum + peer.taken, 0);
    for (let before = -1; before !== total();) {
      before = total();
      await sleep(300);
      for (const each of left) take(each);
    }
    expect(left.flatMap(({ wrong }) => wrong)).toEqual([]);
    for (const peer of left.filter(({ socket }) => !socket.closed)) {
      for (const name of names) {
        const { epoch, seq } = rig.market.line(name);
        const last = peer.seqs.get(`${name} ${epoch}`);
        if (last !== undefined) expect(last, name).toBe(seq);
      }
    }
    const metrics = await rig.metrics.render();
    const writes = (how: string): number =>
      Number(new RegExp(`socket_writes_total{how="${how}"} (\\d+)`).exec(metrics)?.[1] ?? 0);
    expect(writes('native') > 0).toBe(nativeWriter !== null);
    // The slow ones saw to it that the kernel did not take everything.
    expect(nativeWriter === null ? writes('stream') : writes('partial')).toBeGreaterThan(0);
  },
  60_000,
);
