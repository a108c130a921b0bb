import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { ServerOptions, WebSocket } from 'ws';
import { TokenBucket } from '../../kernel/token-bucket.ts';
import { CLOSE_CODES } from '../../protocol/close-codes.ts';

/** engine.io passes only the payload limit to `ws`, whose own defaults let one message come in 16,384 fragments and 262,144 chunks. */
const BOUNDS = {
  maxFragments: 64,
  maxBufferedChunks: 1_024,
  /** For whom: see `keepCompressionOffer`. What is sent is compressed by our own codec, once for all; the library only reads. */
  perMessageDeflate: {
    serverNoContextTakeover: true,
    clientNoContextTakeover: true,
    threshold: Number.MAX_SAFE_INTEGER,
  },
  clientTracking: false,
  /** Milliseconds that a peer has to answer a close frame; the library's 30 s would keep dead sockets for long. */
  closeTimeout: 1_000,
  /** Pongs are sent below, by rate: the library would queue one for every ping of a peer that never reads. */
  autoPong: false,
} as const;

/** Pings and pongs of an honest client: one in some seconds. */
const CONTROL_FRAMES = { capacity: 20, refillPerSecond: 2 } as const;
const CONTROL_STRIKES_LIMIT = 100;
/** No pong is queued behind more unsent bytes than this: a peer that does not read does not need it. */
const PONG_BACKLOG_BYTES = 262_144;

const clients = new WeakMap<IncomingMessage, WebSocket>();

/** The WebSocket that came of a handshake: engine.io keeps it to itself. */
export function webSocketOf(request: IncomingMessage): WebSocket {
  return clients.get(request)!;
}

/** `ws` with every inbound allowance bounded; also given to engine.io as its `wsEngine`. */
export class BoundedWebSocketServer extends WebSocketServer {
  constructor(options: ServerOptions) {
    super({ ...options, ...BOUNDS });
  }

  override handleUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    callback: (client: WebSocket, request: IncomingMessage) => void,
  ): void {
    keepCompressionOffer(request);
    super.handleUpgrade(request, socket, head, (client, sameRequest) => {
      limitControlFrames(client);
      clients.set(request, client);
      callback(client, sameRequest);
    });
  }
}

/**
 * Browsers and libraries offer compression unasked, and then pay for it with every small message: it is taken up only where the
 * address asks for it too. A client that limits our window would need a compression of its own.
 */
function keepCompressionOffer(request: IncomingMessage): void {
  const { searchParams } = new URL(request.url ?? '', 'http://localhost');
  const offer = request.headers['sec-websocket-extensions'];
  if (searchParams.get('compression') === 'deflate' && offer?.includes('server_max_window_bits') === false) return;
  delete request.headers['sec-websocket-extensions'];
}

export function hasCompression(client: WebSocket): boolean {
  return client.extensions === 'permessage-deflate';
}

/** One of a connection's, made when its first control frame comes; the listeners are shared by all connections. */
type ControlGuard = { readonly bucket: TokenBucket; strikes: number };
const controlGuards = new WeakMap<WebSocket, ControlGuard>();

function limitControlFrames(client: WebSocket): void {
  client.on('ping', answerPing);
  client.on('pong', admitControlFrame);
}

function answerPing(this: WebSocket, data: Buffer): void {
  if (admitControlFrame.call(this) && this.bufferedAmount < PONG_BACKLOG_BYTES) this.pong(data);
}

function admitControlFrame(this: WebSocket): boolean {
  const nowMs = performance.now();
  let guard = controlGuards.get(this);
  if (guard === undefined) {
    guard = { bucket: new TokenBucket(CONTROL_FRAMES, nowMs), strikes: 0 };
    controlGuards.set(this, guard);
  }
  if (guard.bucket.tryTake(nowMs)) return true;
  guard.strikes += 1;
  if (guard.strikes > CONTROL_STRIKES_LIMIT) this.close(CLOSE_CODES.abuse.code, CLOSE_CODES.abuse.reason);
  return false;
}
