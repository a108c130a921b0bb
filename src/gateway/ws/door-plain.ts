import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { RequestSchema } from '../../protocol/messages.ts';
import { BoundedWebSocketServer } from './bounded-websocket-server.ts';
import { plainCodec } from './codec.ts';
import type { Codec } from './codec.ts';
import { plainDeflateCodec } from './codec-deflate.ts';
import type { Hub } from './hub.ts';
import type { Inbound } from './requests.ts';
import { SocketPipe } from './socket-pipe.ts';
import type { UpgradeRouter } from './upgrade-router.ts';
import type { Peer, ReplyAddress, Wire } from './wire.ts';

export const PLAIN_DOOR_PATH = '/ws';
/** How often the server pings; a peer that has been silent for two rounds is gone. */
const PING_INTERVAL_MS = 25_000;

export interface Door {
  /** Takes no new clients. Those that are there are the hub's to close. */
  close(): Promise<void>;
}

export type PlainDoorOptions = Readonly<{
  router: UpgradeRouter;
  hub: Hub;
  pings?: Readonly<{ intervalMs: number }>;
}>;

/** Plain WebSocket: a request is `{id, method, params}`, a push is the bare envelope. */
export function attachPlainDoor(options: PlainDoorOptions): Door {
  const { router, hub } = options;
  const pingIntervalMs = options.pings?.intervalMs ?? PING_INTERVAL_MS;
  const server = new BoundedWebSocketServer({ noServer: true, maxPayload: hub.limits.inboundBytes });
  router.route(PLAIN_DOOR_PATH, (request, socket, head) => {
    const peer = router.peerOf(request);
    server.handleUpgrade(request, socket, head, (client) => serve(hub, client, { socket, peer, pingIntervalMs }));
  });
  return {
    async close() {
      router.unroute(PLAIN_DOOR_PATH);
      server.close();
    },
  };
}

type Upgraded = Readonly<{ socket: Socket; peer: Peer; pingIntervalMs: number }>;

function serve(hub: Hub, client: WebSocket, { socket, peer, pingIntervalMs }: Upgraded): void {
  const wire = new PlainWire(client, socket, pingIntervalMs);
  // A frame that breaks RFC 6455: the library has answered with the fitting close code; the close event follows.
  client.on('error', ignore);
  const connection = hub.open(wire, hub.createGuard(), peer);
  client.on('message', (data: Buffer, isBinary: boolean) => {
    wire.alive = true;
    hub.receive(connection, () => readRequest(data, isBinary));
  });
  client.on('pong', () => {
    wire.alive = true;
  });
  client.on('close', (code: number) => connection.onClosed(code));
}

function ignore(): void {}

function readRequest(data: Buffer, isBinary: boolean): Inbound {
  if (isBinary) return { ok: false, address: null, problem: 'binary messages are not taken: send JSON text' };
  let value: unknown;
  try {
    value = JSON.parse(data.toString());
  } catch {
    return { ok: false, address: null, problem: 'not JSON' };
  }
  const parsed = RequestSchema.safeParse(value);
  if (parsed.success) {
    const { id, method, params } = parsed.data;
    return { ok: true, address: id, method, params };
  }
  const problem = 'a request is {"id", "method", "params"} and nothing else';
  return { ok: false, address: idOf(value), problem };
}

/** The id of a request that is wrong otherwise, so that its sender can tell which one it was. */
function idOf(value: unknown): ReplyAddress {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, 'id')) return null;
  const parsed = RequestSchema.shape.id.safeParse((value as { id: unknown }).id);
  return parsed.success ? parsed.data : null;
}

class PlainWire extends SocketPipe implements Wire {
  readonly codec: Codec;
  readonly #pingIntervalMs: number;
  #pingedMs = performance.now();
  /** The peer was heard since the last ping. */
  alive = true;

  constructor(client: WebSocket, socket: Socket, pingIntervalMs: number) {
    super(client, socket);
    this.codec = this.isCompressed ? plainDeflateCodec : plainCodec;
    this.#pingIntervalMs = pingIntervalMs;
  }

  keepAlive(): 'alive' | 'dead' {
    const nowMs = performance.now();
    if (nowMs - this.#pingedMs < this.#pingIntervalMs) return 'alive';
    if (!this.alive) return 'dead';
    this.alive = false;
    this.#pingedMs = nowMs;
    if (this.isOpen) this.client.ping();
    return 'alive';
  }

  close(code: number, reason: string): void {
    this.client.close(code, reason);
  }
}
