import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Server } from 'socket.io';
import type { Socket as IoSocket } from 'socket.io';
import type { Log } from '../../platform/log.ts';
import { CLOSE_CODES, mayReconnect } from '../../protocol/close-codes.ts';
import { BoundedWebSocketServer, webSocketOf } from './bounded-websocket-server.ts';
import { createAdmission } from './admission.ts';
import type { Admission } from './admission.ts';
import { socketIoCodec } from './codec.ts';
import type { Codec } from './codec.ts';
import { socketIoDeflateCodec } from './codec-deflate.ts';
import { createControlAdapter } from './control-adapter.ts';
import type { ControlClients } from './control-adapter.ts';
import type { Door } from './door-plain.ts';
import type { Hub } from './hub.ts';
import type { InboundGuard } from './inbound-guard.ts';
import { SocketPipe } from './socket-pipe.ts';
import { textParser } from './socketio-parser.ts';
import type { InboundEvent } from './socketio-parser.ts';
import type { UpgradeRouter } from './upgrade-router.ts';
import { refuseUpgrade } from './upgrade-router.ts';
import type { Wire } from './wire.ts';

export const SOCKETIO_DOOR_PATH = '/socket.io/';
const ENGINE_PROTOCOL = '4';

const FORGOTTEN = Object.freeze({});

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
  return guard;
}

type Admitted = Admission & Readonly<{ guard: InboundGuard }>;

function serve(hub: Hub, socket: IoSocket, { guard, peer, proof }: Admitted): void {
  const { conn } = socket;
  const connection = hub.open(new SocketIoWire(conn), guard, peer);
  forgetHandshake(socket);
  // Never calls on: what a client sends must not reach listeners, whose names (`disconnect`, `error`) it could choose.
  socket.use(([event]) => hub.receive(connection, () => (event as unknown as InboundEvent).read()));
  socket.on('error', () => connection.close('bad_request'));
  // The client has left the namespace but kept the transport; nothing else is served on it.
  socket.on('disconnect', () => conn.close());
  conn.on('close', (reason: string) => connection.onClosed(closeCodeOf(reason)));
  if (proof && !hub.authenticator!.adopt(connection, proof).ok) connection.close('unauthorized');
}

/**
 * What the handshake said has been read: some kilobytes a connection that the libraries would keep for its life. Letting go of
 * the request is what Socket.IO's own guide to memory says; of the rest nothing of theirs reads after the connection.
 */
function forgetHandshake(socket: IoSocket): void {
  const held = socket as unknown as { conn: { request: unknown }; handshake: object };
  held.conn.request = null;
  held.handshake = FORGOTTEN;
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

/** Past the library: its adapter would look up rooms, and its buffer has no cap. */
class SocketIoWire extends SocketPipe implements Wire {
  readonly codec: Codec;
  readonly conn: EngineSocket;
  /** engine.io has made a packet since its buffer was last seen empty. */
  #mayBeHeldUp = true;

  constructor(conn: EngineSocket) {
    super(webSocketOf(conn.request), conn.request.socket);
    this.codec = this.isCompressed ? socketIoDeflateCodec : socketIoCodec;
    this.conn = conn;
    conn.on('packetCreate', () => (this.#mayBeHeldUp = true));
  }

  override write(bytes: Buffer, written: () => void): boolean {
    if (!this.#isHeldUp) return super.write(bytes, written);
    // The handshake's packets first: engine.io keeps what it is given until its socket has taken what was before.
    this.conn.once('drain', () => {
      if (super.write(bytes, written)) process.nextTick(written);
    });
    return false;
  }

  override descriptor(): number {
    return this.#isHeldUp ? -1 : super.descriptor();
  }

  /** engine.io pings by itself and reports `ping timeout`. */
  keepAlive(): 'alive' {
    return 'alive';
  }

  /** Clients of the library come back by themselves after a lost transport, and stay away after a namespace disconnect. */
  close(code: number): void {
    if (!mayReconnect(code)) this.conn.write('1', { compress: false });
    this.conn.close();
  }

  /** engine.io has packets that its socket has not been given. Its own field, which its types keep private: `native-path.it.test.ts` watches it. */
  get #isHeldUp(): boolean {
    if (!this.#mayBeHeldUp) return false;
    this.#mayBeHeldUp = (this.conn as unknown as { writeBuffer: readonly unknown[] }).writeBuffer.length > 0;
    return this.#mayBeHeldUp;
  }
}
