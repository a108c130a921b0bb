import { readPlainFrame } from './frame.ts';
import type { Transport } from './transport.ts';

/** What this transport needs of a WebSocket: browsers', Node's and `ws`'s all fit. */
export interface WebSocketLike {
  onopen: ((event: never) => unknown) | null;
  onmessage: ((event: never) => unknown) | null;
  onclose: ((event: never) => unknown) | null;
  onerror: ((event: never) => unknown) | null;
  send(text: string): void;
  close(code?: number): void;
}
export type WebSocketConstructor = new (url: string) => WebSocketLike;

/** The plain door: `url` may be `http(s)` or `ws(s)`; without a path it gets `/ws`. Throws on text that is not a URL. */
export function plainTransport(url: string, WebSocketClass?: WebSocketConstructor): Transport {
  const address = plainDoorUrl(url);
  const Chosen = WebSocketClass ?? (globalThis.WebSocket as unknown as WebSocketConstructor | undefined);
  if (!Chosen) throw new TypeError('no WebSocket here: pass a constructor (Node 22 and browsers have one)');
  return {
    connect(handlers) {
      const socket = new Chosen(address);
      socket.onopen = () => handlers.onOpen();
      socket.onmessage = (event: { data: unknown }) => handlers.onFrame(readPlainFrame(event.data));
      socket.onclose = (event: { code: number; reason: string }) => handlers.onClose(event.code, event.reason);
      // Says nothing that the close event, which always follows, does not say better; but `ws` throws when nobody listens.
      socket.onerror = () => undefined;
      return {
        send: (request) => socket.send(JSON.stringify(request)),
        abandon() {
          socket.onopen = socket.onmessage = socket.onclose = null;
          socket.close();
        },
      };
    },
  };
}

export function plainDoorUrl(url: string): string {
  const address = new URL(url);
  if (address.protocol === 'http:') address.protocol = 'ws:';
  if (address.protocol === 'https:') address.protocol = 'wss:';
  if (address.protocol !== 'ws:' && address.protocol !== 'wss:') throw new TypeError(`not a WebSocket address: ${url}`);
  if (address.pathname === '/') address.pathname = '/ws';
  return address.href;
}
