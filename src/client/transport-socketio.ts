import { readBatch, readEnvelope, readEvent, readReply } from './frame.ts';
import { CLOSED_ABNORMALLY } from './transport.ts';
import type { Transport, TransportHandlers } from './transport.ts';

/** What this transport needs of a socket.io-client socket, so that socket.io-client need not be a dependency. */
export interface SocketIoLike {
  readonly connected: boolean;
  readonly io: { reconnection(enabled: boolean): unknown };
  connect(): unknown;
  disconnect(): unknown;
  on(event: string, listener: (...values: unknown[]) => void): unknown;
  off(event: string, listener: (...values: unknown[]) => void): unknown;
  emit(event: string, ...values: unknown[]): unknown;
}

const SYSTEM_EVENTS = ['welcome', 'heartbeat', 'draining', 'slow', 'closing'] as const;

/**
 * The Socket.IO door over a socket made with `io(url, { autoConnect: false, transports: ['websocket'] })`. Its own
 * reconnection is switched off: it would return without resuming, and faster than the server asked for.
 */
export function socketIoTransport(socket: SocketIoLike): Transport {
  socket.io.reconnection(false);
  return {
    connect(handlers) {
      if (socket.connected) socket.disconnect();
      let attached = true;
      const detach = attach(socket, {
        ...handlers,
        onClose(code, reason) {
          attached = false;
          handlers.onClose(code, reason);
        },
      });
      socket.connect();
      return {
        send(request) {
          const acknowledge = (reply: unknown): void => {
            if (attached) handlers.onFrame(readReply(request.id, reply));
          };
          if (request.params === undefined) socket.emit(request.method, acknowledge);
          else socket.emit(request.method, request.params, acknowledge);
        },
        abandon() {
          attached = false;
          detach();
          socket.disconnect();
        },
      };
    },
  };
}

function attach(socket: SocketIoLike, handlers: TransportHandlers): () => void {
  // Socket.IO hides close codes: the server says the code in a `closing` event, which the client above keeps in mind.
  const close = (reason: string): void => {
    detach();
    handlers.onClose(CLOSED_ABNORMALLY, reason);
  };
  const listeners: [string, (value: unknown) => void][] = [
    ['connect', () => handlers.onOpen()],
    ['disconnect', (reason) => close(String(reason))],
    ['connect_error', (error) => close(error instanceof Error ? error.message : 'connect_error')],
    ['message', (envelope) => handlers.onFrame(readEnvelope(envelope))],
    ['batch', (envelopes) => handlers.onFrame(readBatch(envelopes))],
    ...SYSTEM_EVENTS.map((name): [string, (value: unknown) => void] => [
      name,
      (data) => handlers.onFrame(readEvent(name, data)),
    ]),
  ];
  const detach = (): void => {
    for (const [event, listener] of listeners) socket.off(event, listener);
  };
  for (const [event, listener] of listeners) socket.on(event, listener);
  return detach;
}
