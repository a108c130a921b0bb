import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { WebSocket } from 'ws';
import { hasCompression } from './bounded-websocket-server.ts';

const NOTHING = Buffer.alloc(0);
/** Of the WebSocket interface: `readyState`. */
const OPEN = 1;

/**
 * The way from the hub's frames to a socket, past the WebSocket library: it sends each of its own frames in one synchronous
 * step too, so that its pongs and closes fall between ours and never into them.
 */
export abstract class SocketPipe {
  protected readonly client: WebSocket;
  readonly #socket: SocketWithHandle;
  /** What the socket had at first. It lets go of it in the step that closes it, and never gets another. */
  readonly #handle: object | null;
  /** While the socket has its handle. */
  readonly #descriptor: number;

  constructor(client: WebSocket, socket: Socket) {
    this.client = client;
    this.#socket = socket as SocketWithHandle;
    this.#descriptor = descriptorOf(socket);
    this.#handle = this.#descriptor === -1 ? null : this.#socket._handle!;
  }

  protected get isOpen(): boolean {
    return this.client.readyState === OPEN && this.#socket.writable;
  }

  protected get isCompressed(): boolean {
    return hasCompression(this.client);
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

  /**
   * As `Wire.descriptor`. Asking the handle for its number each time costs two to four hundredths of a frame; whether the socket still has it
   * says as much: the number belongs to somebody else as soon as the socket is closed. A handle that is closed past its socket would not be
   * noticed; neither Node nor the libraries do that.
   */
  descriptor(): number {
    const socket = this.#socket;
    if (this.#handle === null || socket._handle !== this.#handle) return -1;
    return socket.writableLength > 0 || !this.isOpen ? -1 : this.#descriptor;
  }

  terminate(): void {
    this.client.terminate();
  }
}

/** Node documents neither (`native-path.it.test.ts` watches both); without them there is only the ordinary way. */
type SocketWithHandle = Socket & { readonly _handle?: { readonly fd?: unknown } | null };

export function descriptorOf(socket: Socket): number {
  // Past TLS bytes would go out in the clear.
  if (!(socket instanceof Socket) || socket instanceof TLSSocket || socket.destroyed) return -1;
  const { _handle: handle } = socket as SocketWithHandle;
  // Of a handle that is closed already: minus an error number.
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : -1;
}
