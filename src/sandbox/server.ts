import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import type { Clock } from '../kernel/clock.ts';
import type { Log } from '../platform/log.ts';
import { Faults } from './faults.ts';
import { PeerSocket } from './peer-socket.ts';
import type { SandboxVenue, TapeSource } from './tape.ts';
import type { Origin, RestReply } from './venue.ts';
import { VenueRoom } from './venue-room.ts';
import type { StartWhen } from './venue-room.ts';

/** Requests to subscribe are small; nothing larger comes from a market-data client. */
const INBOUND_LIMIT_BYTES = 64 * 1024;
const CONNECTIONS_LIMIT = 1000;
const TICK_MS = 1000;
const PING_INTERVAL_MS = 20_000;

export type SandboxOptions = Readonly<{
  sources: readonly TapeSource[];
  /** Loopback unless told otherwise. */
  host?: string;
  /** 0 (the default) picks a free port. */
  port?: number;
  log: Log;
  /** Fault script, see `fault-script.ts`. */
  faults?: string;
  seed?: number;
  /** Default: recordings wait for their first subscriber, simulations start at once. */
  startWhen?: StartWhen;
  /** Times the windows of faults and the waits for slow clients; the venues' own clocks are their sources'. */
  clock?: Pick<Clock, 'monotonic'>;
}>;

export type Sandbox = Readonly<{
  /** `http://host:port`; a venue's REST root is `${url}/<venue>`, its WebSocket root the same with `ws:`. */
  url: string;
  venues: readonly SandboxVenue[];
  faults: Faults;
  /** Starts sources that wait; all of them when no venue is named. */
  play(venue?: SandboxVenue): void;
  /** Open WebSocket connections of a venue. */
  clients(venue: SandboxVenue): number;
  /** Clients cut off because they did not read. */
  slowClients(): number;
  stop(): Promise<void>;
}>;

/** Starts a loopback exchange for each source. Throws when two sources are of one venue or the port is taken. */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const monotonic = options.clock === undefined ? () => performance.now() : () => options.clock!.monotonic();
  const faults = new Faults({
    monotonic,
    ...(options.seed === undefined ? {} : { seed: options.seed }),
    ...(options.faults === undefined ? {} : { script: options.faults }),
  });
  const rooms = new Map<string, VenueRoom>();
  for (const source of options.sources) {
    if (rooms.has(source.venue)) throw new Error(`two sources for ${source.venue}`);
    const startWhen = options.startWhen ?? (source.origin === 'recording' ? 'first-subscriber' : 'now');
    rooms.set(source.venue, new VenueRoom({ source, faults, log: options.log, monotonic, startWhen }));
  }
  const host = options.host ?? '127.0.0.1';
  const http = createServer((request, response) => answerHttp(rooms, request, response));
  const sockets = acceptSockets(http, rooms, faults, options.log);
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject);
    http.listen(options.port ?? 0, host, resolve);
  });
  rooms.forEach((room) => room.open());
  const timers = [
    setInterval(() => rooms.forEach((room) => room.tick()), TICK_MS),
    setInterval(() => rooms.forEach((room) => room.ping()), PING_INTERVAL_MS),
  ];
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${(http.address() as AddressInfo).port}`;
  const venues = [...rooms.values()].map((room) => room.venue);
  options.log.info({ event: 'sandbox_ready', url, venues });
  return {
    url,
    venues,
    faults,
    play: (venue) => rooms.forEach((room) => (venue === undefined || venue === room.venue ? room.play() : undefined)),
    clients: (venue) => rooms.get(venue)?.clients ?? 0,
    slowClients: () => [...rooms.values()].reduce((sum, room) => sum + room.slowClients, 0),
    stop: async () => {
      timers.forEach((timer) => clearInterval(timer));
      rooms.forEach((room) => room.stop());
      sockets.close();
      http.closeAllConnections();
      if (http.listening) await new Promise((resolve) => http.close(resolve));
    },
  };
}

/** `/binance/api/v3/time` -> the venue and what is below its root. */
function splitVenue(
  rooms: ReadonlyMap<string, VenueRoom>,
  target: string,
): { room: VenueRoom; path: string; query: URLSearchParams } | undefined {
  // Only the path and query of the address count; the host is whatever the client calls us.
  const url = URL.parse(target, 'http://sandbox');
  const [, venue = '', ...rest] = url?.pathname.split('/') ?? [];
  const room = rooms.get(venue);
  return room === undefined ? undefined : { room, path: `/${rest.join('/')}`, query: url!.searchParams };
}

function originOf(request: IncomingMessage, venue: SandboxVenue): Origin {
  const host = request.headers.host ?? `${request.socket.localAddress}:${request.socket.localPort}`;
  return { http: `http://${host}/${venue}`, ws: `ws://${host}/${venue}` };
}

function answerHttp(rooms: ReadonlyMap<string, VenueRoom>, request: IncomingMessage, response: ServerResponse): void {
  // Market data is public: bodies carry nothing that an answer depends on.
  request.resume();
  const found = splitVenue(rooms, request.url ?? '/');
  if (found === undefined) {
    return sendReply(response, { status: 404, body: { msg: 'unknown venue', venues: [...rooms.keys()] } });
  }
  const { room, path, query } = found;
  const method = request.method ?? 'GET';
  const { reply, delayMs } = room.rest({ method, path, query, origin: originOf(request, room.venue) });
  if (delayMs === 0) return sendReply(response, reply);
  const timer = setTimeout(() => sendReply(response, reply), delayMs);
  response.once('close', () => clearTimeout(timer));
}

function sendReply(response: ServerResponse, { status, body, headers }: RestReply): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers }).end(text);
}

function acceptSockets(http: Server, rooms: ReadonlyMap<string, VenueRoom>, faults: Faults, log: Log): WebSocketServer {
  const server = new WebSocketServer({ noServer: true, maxPayload: INBOUND_LIMIT_BYTES, perMessageDeflate: false });
  let nextId = 1;
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Until `ws` takes the socket over, a reset by the client is nobody's error but must not end the process.
    socket.on('error', () => socket.destroy());
    const found = splitVenue(rooms, request.url ?? '/');
    const status =
      found === undefined
        ? '404 Not Found'
        : server.clients.size >= CONNECTIONS_LIMIT
          ? '503 Service Unavailable'
          : undefined;
    if (found === undefined || status !== undefined) {
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    server.handleUpgrade(request, socket, head, (ws) => {
      const { room, path, query } = found;
      const onSlow = (): void => {
        room.slowClients += 1;
      };
      const peer = new PeerSocket({ id: nextId, path, query, socket: ws, faults, onSlow });
      nextId += 1;
      attach(room, peer, ws, log);
    });
  });
  return server;
}

function attach(room: VenueRoom, peer: PeerSocket, ws: WebSocket, log: Log): void {
  ws.on('pong', () => {
    peer.unanswered = 0;
  });
  ws.on('message', (data: Buffer) => {
    peer.unanswered = 0;
    room.driver.message(peer, data.toString());
  });
  ws.on('close', () => room.leave(peer));
  ws.on('error', (error) => log.debug({ event: 'sandbox_client_error', venue: room.venue, reason: error.message }));
  room.join(peer);
}
