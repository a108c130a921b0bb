import { connect } from 'node:net';
import type { Socket } from 'node:net';

const TEXT = 0x81;
const PONG = 0x8a;
const OPCODE_TEXT = 0x1;
const OPCODE_CLOSE = 0x8;
const OPCODE_PING = 0x9;
/** A frame longer than this is no frame of this protocol: the reader has lost its place. */
const FRAME_LIMIT_BYTES = 4_194_304;

export type RawHandlers = Readonly<{
  onOpen(): void;
  /** One text message, as `frame.subarray(start, end)` without the copy; valid only during the call. */
  onText(frame: Buffer, start: number, end: number): void;
  onClose(code: number | null): void;
  /** The handshake was answered by something else than an upgrade. The close follows. */
  onRefused?(): void;
}>;

/**
 * A WebSocket client that does as little as possible per frame, so that a thousand of them measure the server rather than
 * themselves: no masking work (the mask is zero), no UTF-8 decoding, no events.
 */
export class RawWebSocket {
  readonly #socket: Socket;
  readonly #handlers: RawHandlers;
  #rest: Buffer = Buffer.alloc(0);
  #open = false;
  #closeCode: number | null = null;

  constructor(address: Readonly<{ host: string; port: number; path: string }>, handlers: RawHandlers) {
    this.#handlers = handlers;
    this.#socket = connect(address.port, address.host);
    this.#socket.setNoDelay(true);
    this.#socket.on('connect', () => this.#socket.write(handshake(address)));
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
    // A reset is told by the close that follows it.
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => handlers.onClose(this.#closeCode));
  }

  send(text: string): void {
    this.#socket.write(clientFrame(TEXT, Buffer.from(text)));
  }

  /** Reads nothing more, for ever: what the server sends stays with the kernel, then with the server. */
  stopReading(): void {
    this.#socket.pause();
    this.#socket.removeAllListeners('data');
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    if (!this.#open) {
      const end = data.indexOf('\r\n\r\n');
      if (end !== -1) at = this.#opened(data, end);
    }
    while (this.#open) {
      const next = this.#frame(data, at);
      if (next === -1) break;
      at = next;
    }
    this.#rest = at === data.length ? Buffer.alloc(0) : data.subarray(at);
  }

  #opened(data: Buffer, end: number): number {
    if (!data.toString('latin1', 0, end).startsWith('HTTP/1.1 101')) {
      this.#handlers.onRefused?.();
      this.#socket.destroy();
      return data.length;
    }
    this.#open = true;
    this.#handlers.onOpen();
    return end + 4;
  }

  /** The place after the frame at `at`, or -1 while it is not complete. */
  #frame(data: Buffer, at: number): number {
    if (data.length < at + 2) return -1;
    const short = data[at + 1]! & 0x7f;
    const header = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (data.length < at + header) return -1;
    const length =
      short < 126 ? short : short === 126 ? data.readUInt16BE(at + 2) : Number(data.readBigUInt64BE(at + 2));
    if (length > FRAME_LIMIT_BYTES) throw new Error(`a frame of ${length} bytes`);
    const start = at + header;
    const end = start + length;
    if (data.length < end) return -1;
    const opcode = data[at]! & 0x0f;
    if (opcode === OPCODE_TEXT) this.#handlers.onText(data, start, end);
    else if (opcode === OPCODE_PING) this.#socket.write(clientFrame(PONG, data.subarray(start, end)));
    else if (opcode === OPCODE_CLOSE) {
      this.#closeCode = length >= 2 ? data.readUInt16BE(start) : 1005;
      this.#socket.end();
    }
    return end;
  }
}

function handshake({ host, port, path }: Readonly<{ host: string; port: number; path: string }>): string {
  const headers = ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'];
  const key = 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==';
  return [`GET ${path} HTTP/1.1`, `Host: ${host}:${port}`, ...headers, key, '', ''].join('\r\n');
}

/** Clients must mask; a mask of four zero bytes is a mask. */
function clientFrame(head: number, payload: Buffer): Buffer {
  const { length } = payload;
  const header =
    length < 126 ? Buffer.from([head, 0x80 | length]) : Buffer.from([head, 0x80 | 126, length >> 8, length & 0xff]);
  return Buffer.concat([header, Buffer.alloc(4), payload]);
}
