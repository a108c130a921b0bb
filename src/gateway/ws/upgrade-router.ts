import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ErrorCode } from '../../protocol/errors.ts';
import { ERRORS, wireError } from '../../protocol/errors.ts';
import type { ClientAddress } from './client-address.ts';
import { HANDSHAKE_PACE, HandshakeGate } from './handshake-gate.ts';
import type { HandshakePace } from './handshake-gate.ts';
import type { Hub } from './hub.ts';
import type { Peer } from './wire.ts';

/** All doors together. Some 25 KB of memory each; past it the server protects those it has. */
const CONNECTIONS_LIMIT = 20_000;
/** Whoever is sent away is told another time each, or all would come back in one moment. */
const RETRY_AFTER_SECONDS = { least: 2, spread: 6 } as const;
const USER_AGENT_LIMIT_CHARS = 256;

export type UpgradeHandler = (request: IncomingMessage, socket: Socket, head: Buffer) => void;

export type UpgradeRouterOptions = Readonly<{
  server: Server;
  hub: Hub;
  /** Exact origins (`https://app.example.com`) of pages that may connect; `*` allows all. Clients without an `Origin` are no browsers and pass. */
  allowedOrigins: readonly string[];
  clientAddress: ClientAddress;
  connectionsLimit?: number;
  handshakes?: HandshakePace;
}>;

/**
 * The server's only `upgrade` listener. Two libraries with a listener each would both act on every upgrade: engine.io ends
 * sockets that it does not know after a second, and nobody refuses a path that neither knows. Refusals are plain HTTP with the error as JSON.
 */
export class UpgradeRouter {
  readonly #options: UpgradeRouterOptions;
  readonly #origins: ReadonlySet<string>;
  readonly #routes = new Map<string, UpgradeHandler>();
  readonly #perAddress = new Map<string, number>();
  readonly #sockets = new Set<Socket>();
  readonly #gate: HandshakeGate;
  readonly #listener = (request: IncomingMessage, socket: Duplex, head: Buffer): void =>
    this.#onUpgrade(request, socket as Socket, head);

  constructor(options: UpgradeRouterOptions) {
    this.#options = options;
    this.#origins = new Set(options.allowedOrigins);
    this.#gate = new HandshakeGate(
      options.handshakes ?? HANDSHAKE_PACE,
      () => performance.now(),
      options.hub.handshakes,
    );
    options.server.on('upgrade', this.#listener);
  }

  route(path: string, handler: UpgradeHandler): void {
    this.#routes.set(path, handler);
  }

  unroute(path: string): void {
    this.#routes.delete(path);
  }

  peerOf(request: IncomingMessage): Peer {
    const userAgent = request.headers['user-agent']?.slice(0, USER_AGENT_LIMIT_CHARS) ?? null;
    return { ip: this.#options.clientAddress(request), userAgent };
  }

  /** Stops listening and destroys what is left. */
  close(): void {
    this.#options.server.off('upgrade', this.#listener);
    this.#gate.stop();
    for (const socket of this.#sockets) socket.destroy();
  }

  #onUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    // From here on nobody else listens: without this, a peer's reset would be an uncaught exception.
    socket.on('error', () => socket.destroy());
    const url = request.url ?? '';
    const query = url.indexOf('?');
    const path = query === -1 ? url : url.slice(0, query);
    const refusal = this.#refusalOf(request, path);
    if (refusal !== null) return this.#refuse(socket, refusal);
    if (isAnswering(socket)) return this.#refuse(socket, 'bad_request');
    this.#count(this.#options.clientAddress(request), socket);
    const entered = this.#gate.enter(socket, () => {
      const handler = this.#routes.get(path);
      // Decided while it waited.
      if (handler === undefined || this.#options.hub.isDraining) return this.#refuse(socket, 'draining');
      handler(request, socket, head);
    });
    if (!entered) this.#refuse(socket, 'overloaded');
  }

  #refuse(socket: Socket, code: ErrorCode): void {
    this.#options.hub.refused(code);
    refuseUpgrade(socket, code);
  }

  #refusalOf(request: IncomingMessage, path: string): ErrorCode | null {
    const { hub, clientAddress, connectionsLimit = CONNECTIONS_LIMIT } = this.#options;
    if (!this.#routes.has(path)) return 'not_found';
    if (hub.isDraining) return 'draining';
    if (!this.#mayConnect(request)) return 'forbidden';
    const held = this.#perAddress.get(clientAddress(request)) ?? 0;
    if (held >= hub.limits.connectionsPerIp) return 'connection_limit';
    return this.#sockets.size >= connectionsLimit ? 'overloaded' : null;
  }

  /** Pages of this very server may connect under whatever name they were reached; all others only by the list. */
  #mayConnect({ headers: { origin, host } }: IncomingMessage): boolean {
    if (origin === undefined || this.#origins.has('*') || this.#origins.has(origin)) return true;
    return host !== undefined && (origin === `http://${host}` || origin === `https://${host}`);
  }

  /** Counted from the handshake to the end of the socket, whatever becomes of it in between. */
  #count(address: string, socket: Socket): void {
    this.#sockets.add(socket);
    this.#perAddress.set(address, (this.#perAddress.get(address) ?? 0) + 1);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      const rest = this.#perAddress.get(address)! - 1;
      if (rest > 0) this.#perAddress.set(address, rest);
      else this.#perAddress.delete(address);
    });
  }
}

/**
 * A request that came before the upgrade is still to be answered, and Node would write the answer between the frames. It does not
 * document where it keeps that; `native-path.it.test.ts` watches it.
 */
function isAnswering(socket: Socket): boolean {
  return ((socket as unknown as { _httpMessage?: unknown })._httpMessage ?? null) !== null;
}

/** Answers an upgrade with an HTTP error and ends the socket. */
export function refuseUpgrade(socket: Socket, code: ErrorCode, message?: string): void {
  const { status, temporary } = ERRORS[code];
  const { least, spread } = RETRY_AFTER_SECONDS;
  const retryAfterSeconds = least + Math.floor(Math.random() * spread);
  const error = wireError(code, message, temporary ? retryAfterSeconds * 1_000 : undefined);
  const body = JSON.stringify(error);
  const lines = [
    `HTTP/1.1 ${status} ${REASON_PHRASES[status] ?? 'Error'}`,
    'Connection: close',
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(error.temporary ? [`Retry-After: ${retryAfterSeconds}`] : []),
  ];
  // The peer may never close its half: the socket goes as soon as the answer is out.
  socket.once('finish', () => socket.destroy());
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
}

const REASON_PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  429: 'Too Many Requests',
  503: 'Service Unavailable',
};
