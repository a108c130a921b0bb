import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { WebSocket } from 'ws';
import { hasCompression } from './bounded-websocket-server.ts';

const NOTHING = Buffer.alloc(0);

/**
 * The way from the hub's frames to a socket, past the WebSocket library: it sends each of its own frames in one synchronous
 * step too, so that its pongs and closes fall between ours and never into them.
 */
export class SocketPipe {
  readonly #client: WebSocket;
  readonly #socket: Socket;

  constructor(client: WebSocket, socket: Socket) {
    this.#client = client;
    this.#socket = socket;
  }

  get isOpen(): boolean {
    return this.#client.readyState === this.#client.OPEN && this.#socket.writable;
  }

  get isCompressed(): boolean {
    return hasCompression(this.#client);
  }

  /** As `Wire.write`. Bytes for a socket that closes are left to nobody. */
  write(bytes: Buffer, written: () => void): boolean {
    if (!this.isOpen) return true;
    this.#socket.write(bytes);
    // Mostly the kernel takes all of it at once; a callback for every write would cost a tenth of the write.
    if (this.#socket.writableLength === 0) return true;
    this.#socket.write(NOTHING, () => written());
    return false;
  }

  /** As `Wire.descriptor`. */
  descriptor(): number {
    if (this.#socket.writableLength > 0 || !this.isOpen) return -1;
    return descriptorOf(this.#socket);
  }

  terminate(): void {
    this.#client.terminate();
  }
}

/**
 * Read anew each time: the number belongs to somebody else as soon as the socket is closed. Node does not document it
 * (`native-path.it.test.ts` fails when it goes away); without it there is only the ordinary way.
 */
export function descriptorOf(socket: Socket): number {
  // Past TLS bytes would go out in the clear.
  if (!(socket instanceof Socket) || socket instanceof TLSSocket || socket.destroyed) return -1;
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: unknown } | null };
  // Of a handle that is closed already: minus an error number.
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : -1;
}
