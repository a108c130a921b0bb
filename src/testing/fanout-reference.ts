// node src/testing/fanout-reference.ts socketio|ws STREAMS TURNS MESSAGE_BYTES
// What others would write with the same libraries, for load-tests/bench-fanout.ts: rooms and `io.to(room).emit`, or `ws` and a loop.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from 'socket.io';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { microseconds, serveFanout } from './fanout-pump.ts';

const kind = process.argv[2]!;
const [streams, turns, messageBytes] = process.argv.slice(3).map(Number) as [number, number, number];
const ENVELOPE_BYTES = 167;
const PADDING = 'x'.repeat(Math.max(0, messageBytes - ENVELOPE_BYTES));

const names = Array.from({ length: streams }, (_, index) => `ticker:sandbox:S${String(index).padStart(3, '0')}/USDT`);
let seq = 0;

function message(stream: string): object {
  seq += 1;
  const nowMs = Date.now();
  const data = { t: microseconds(), p: PADDING };
  return { stream, epoch: 'epoch1', seq, kind: 'update', ingestTs: nowMs, data, sentTs: nowMs };
}

const server = createServer();

function serveSocketIo(): (stream: string) => void {
  const io = new Server(server);
  io.on('connection', (socket) => {
    socket.on('subscribe', ({ streams: wanted }: { streams: string[] }) => void socket.join(wanted));
  });
  return (stream) => void io.to(stream).emit('message', message(stream));
}

function serveWs(): (stream: string) => void {
  const rooms = new Map<string, Set<WebSocket>>(names.map((name) => [name, new Set()]));
  const wss = new WebSocketServer({ server, path: '/ws' });
  wss.on('connection', (socket) => {
    socket.on('message', (text: Buffer) => {
      const { params } = JSON.parse(text.toString()) as { params: { streams: string[] } };
      for (const stream of params.streams) rooms.get(stream)!.add(socket);
    });
  });
  return (stream) => {
    const text = JSON.stringify(message(stream));
    for (const socket of rooms.get(stream)!) socket.send(text);
  };
}

const publish = kind === 'socketio' ? serveSocketIo() : serveWs();
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4_096, resolve));
await serveFanout({
  port: (server.address() as AddressInfo).port,
  turnsPerRound: turns,
  publish(turn) {
    for (let index = turn; index < names.length; index += turns) publish(names[index]!);
  },
});
