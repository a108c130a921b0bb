import { connect } from 'node:net';
import type { Socket } from 'node:net';

export type HttpAnswer = Readonly<{ status: number; body: string }>;
type Waiting = Readonly<{ resolve(answer: HttpAnswer): void; reject(error: Error): void }>;

/**
 * One HTTP/1.1 connection with one request under way. Node's own client costs more per request than the server's part that
 * is to be measured. Understands only what our server sends: a status line, headers with content-length, a body.
 */
export class KeepAliveHttp {
  readonly #socket: Socket;
  readonly #host: string;
  #rest: Buffer = Buffer.alloc(0);
  #waiting: Waiting | null = null;

  constructor(baseUrl: string) {
    const { hostname, port, host } = new URL(baseUrl);
    this.#host = host;
    this.#socket = connect(Number(port), hostname);
    this.#socket.setNoDelay(true);
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
    // A reset is told by the close that follows it.
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => this.#fail(new Error('the connection was closed')));
  }

  /** `headers` are whole lines, each with its line end. */
  request(method: string, path: string, headers: string, body = ''): Promise<HttpAnswer> {
    if (this.#waiting !== null) throw new Error('one request at a time');
    const about = body === '' ? '' : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(`${method} ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${headers}${about}\r\n${body}`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = data;
    const head = data.indexOf('\r\n\r\n');
    if (head === -1) return;
    const text = data.toString('latin1', 0, head);
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 'NaN');
    const status = Number(text.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length));
    if (Number.isNaN(length)) return this.#fail(new Error(`an answer without content-length: ${status}`));
    const end = head + 4 + length;
    if (data.length < end) return;
    this.#rest = data.subarray(end);
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.resolve({ status, body: data.toString('utf8', head + 4, end) });
  }

  #fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.reject(error);
  }
}
