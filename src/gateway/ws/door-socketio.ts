import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Server } from 'socket.io';
import type { Socket as IoSocket } from 'socket.io';
import type { Log } from '../../platform/log.ts';
import { CLOSE_CODES, mayReconnect } from '../../protocol/close-codes.ts';
import type { PreparedMessage } from '../../protocol/envelope.ts';
import type { SystemEvents } from '../../protocol/messages.ts';
import { BoundedWebSocketServer } from './bounded-websocket-server.ts';
import { createAdmission } from './admission.ts';
import type { Admission } from './admission.ts';
import { createControlAdapter } from './control-adapter.ts';
import type { ControlClients } from './control-adapter.ts';
import type { Door } from './door-plain.ts';
import type { Hub } from './hub.ts';
import type { InboundGuard } from './inbound-guard.ts';
import { textParser } from './socketio-parser.ts';
import type { InboundEvent } from './socketio-parser.ts';
import { textFrame } from './text-frame.ts';
import type { UpgradeRouter } from './upgrade-router.ts';
import { refuseUpgrade } from './upgrade-router.ts';
import type { Frame, ReplyAddress, ReplyBody, Wire } from './wire.ts';

export const SOCKETIO_DOOR_PATH = '/socket.io/';
const ENGINE_PROTOCOL = '4';

export type SocketIoDoorOptions = Readonly<{
  router: UpgradeRouter;
  hub: Hub;
  log: Log;
  /** Present: control messages reach the sockets of all processes that share this Redis. */
  control?: ControlClients;
  /** engine.io's own by default: 25 s, 20 s. */
  pings?: Readonly<{ intervalMs: number; timeoutMs: number }>;
}>;

type EngineSocket = IoSocket['conn'];
/** One packet as engine.io shows it before it acts on it. */
type EnginePacket = { type: string; data?: unknown };

/** Socket.IO, WebSocket transport only: an event is a method, its acknowledgement the reply, pushes are `message` events. */
export function attachSocketIoDoor(options: SocketIoDoorOptions): Door & { readonly io: Server } {
  const { router, hub } = options;
  // The library wants a server to listen to; upgrades come from our router instead, so it gets one that never listens.
  const io = new Server(createServer(), serverOptions(options));
  const guards = new WeakMap<EngineSocket, InboundGuard>();
  io.engine.on('connection', (conn: EngineSocket) => guards.set(conn, guardEngine(hub, conn)));
  const admission = createAdmission(options);
  io.use(admission.middleware);
  io.on('connection', (socket) => {
    const { peer, proof } = admission.of(socket);
    serve(hub, socket, { guard: guards.get(socket.conn)!, peer, proof });
  });
  router.route(SOCKETIO_DOOR_PATH, (request, socket, head) => {
    if (isHandshake(request)) io.engine.handleUpgrade(request, socket, head);
    else refuseUpgrade(socket, 'bad_request', 'a handshake has EIO=4 and transport=websocket, and no sid');
  });
  return {
    io,
    async close() {
      router.unroute(SOCKETIO_DOOR_PATH);
      await io.close();
    },
  };
}

function serverOptions({ hub, log, control, pings }: SocketIoDoorOptions): object {
  return {
    transports: ['websocket'],
    allowUpgrades: false,
    serveClient: false,
    perMessageDeflate: false,
    httpCompression: false,
    maxHttpBufferSize: hub.limits.inboundBytes,
    connectTimeout: hub.limits.handshakeTimeoutMs,
    wsEngine: BoundedWebSocketServer,
    parser: textParser,
    ...(control && { adapter: createControlAdapter(control, log) }),
    ...(pings && { pingInterval: pings.intervalMs, pingTimeout: pings.timeoutMs }),
  };
}

/** A `sid` would be an upgrade from polling, which there is none of: taking it would let one client into another's session. */
function isHandshake(request: IncomingMessage): boolean {
  const query = Object.fromEntries(new URL(request.url ?? '', 'http://localhost').searchParams);
  return query.EIO === ENGINE_PROTOCOL && query.transport === 'websocket' && !Object.hasOwn(query, 'sid');
}

/** Counts what never becomes a request too: pongs, acknowledgements, connects to namespaces that do not exist. */
function guardEngine(hub: Hub, conn: EngineSocket): InboundGuard {
  const guard = hub.createGuard();
  conn.on('packet', (packet: EnginePacket) => {
    const isEvent = packet.type === 'message' && typeof packet.data === 'string' && packet.data.startsWith('2');
    if (isEvent || guard.admit(performance.now()) !== 'abuse') return;
    const { code, reason } = CLOSE_CODES.abuse;
    conn.write(eventText('closing', { code, reason, reconnect: mayReconnect(code) }), { compress: false });
    conn.close();
  });
  // Everything that one flush hands over leaves in one system call.
  const { socket } = conn.request;
  conn.on('flush', () => socket.cork());
  conn.on('drain', () => socket.uncork());
  return guard;
}

type Admitted = Admission & Readonly<{ guard: InboundGuard }>;

function serve(hub: Hub, socket: IoSocket, { guard, peer, proof }: Admitted): void {
  const { conn } = socket;
  const connection = hub.open(new SocketIoWire(conn), guard, peer);
  // Never calls on: what a client sends must not reach listeners, whose names (`disconnect`, `error`) it could choose.
  socket.use(([event]) => hub.receive(connection, () => (event as unknown as InboundEvent).read()));
  socket.on('error', () => connection.close('bad_request'));
  // The client has left the namespace but kept the transport; nothing else is served on it.
  socket.on('disconnect', () => conn.close());
  conn.on('close', (reason: string) => connection.onClosed(closeCodeOf(reason)));
  if (proof && !hub.authenticator!.adopt(connection, proof).ok) connection.close('unauthorized');
}

/** engine.io tells reasons, not codes. */
function closeCodeOf(reason: string): number {
  if (reason === 'ping timeout') return CLOSE_CODES.no_pong.code;
  if (reason === 'parse error') return 1002;
  return reason === 'transport error' ? 1006 : 1005;
}

function eventText(name: string, data: unknown): string {
  return `2${JSON.stringify([name, data])}`;
}

/** `text` is a Socket.IO packet; `4` makes it an Engine.IO message. The frame is made here once, for all receivers. */
function frameOf(head: string, json: string, tail: string): Frame {
  const buffer = textFrame(`4${head}`, json, tail);
  const text = `${head}${json}${tail}`;
  return { buffer, packet: { text, options: { compress: false, wsPreEncodedFrame: [buffer] } } };
}

/** Written to the engine connection directly: the adapter would look up rooms and encode for each of its own ways out. */
class SocketIoWire implements Wire {
  readonly door = 'socketio';
  readonly #conn: EngineSocket;

  constructor(conn: EngineSocket) {
    this.#conn = conn;
  }

  push(prepared: PreparedMessage): Frame {
    return (prepared.frames.socketio ??= frameOf('2["message",', prepared.json, ']')) as Frame;
  }

  pushJson(json: string): Frame {
    return frameOf('2["message",', json, ']');
  }

  event<K extends keyof SystemEvents>(name: K, data: SystemEvents[K]): Frame {
    return frameOf(`2["${name}",`, JSON.stringify(data), ']');
  }

  /** Without an acknowledgement there is no place for a result; a failure comes as an `error` event. */
  reply(address: ReplyAddress, body: ReplyBody): Frame | null {
    if (address !== null) return frameOf(`3${address}[`, JSON.stringify(body), ']');
    return 'error' in body ? frameOf('2["error",', JSON.stringify(body.error), ']') : null;
  }

  write({ packet }: Frame, written: () => void): void {
    this.#conn.write(packet!.text, packet!.options, written);
  }

  /** engine.io pings by itself and reports `ping timeout`. */
  keepAlive(): 'alive' {
    return 'alive';
  }

  /** Clients of the library come back by themselves after a lost transport, and stay away after a namespace disconnect. */
  close(code: number): void {
    if (!mayReconnect(code)) this.#conn.write('1', { compress: false });
    this.#conn.close();
  }

  terminate(): void {
    this.#conn.request.socket.destroy();
  }
}
