import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { constants, inflateRawSync } from 'node:zlib';
import type { Random } from '../../kernel/random.ts';
import { clientFrame } from './raw-client-contract.ts';

const TEXT = 0x81;
const PING = 0x89;
const CLOSE = 0x88;
const PING_BYTES = 125;
const SHOWN_BYTES = 200;
const BOUNDARY = Buffer.from([0x00, 0x00, 0xff, 0xff]);
const FATAL_UTF8 = new TextDecoder('utf-8', { fatal: true });

export type PeerSetup = Readonly<{
  port: number;
  /** Its name, and the secret that only it may be sent. */
  token: string;
  random: Random;
  publicStreams: readonly string[];
  onWrong: (what: string) => void;
}>;

type Push = { stream: string; epoch: string; seq: number; kind: string; data: { secret?: string } };

/**
 * A client that believes nothing: RFC 6455 and 7692 to the letter, every message known, every stream one that it has asked for,
 * every number the next, every secret its own.
 */
export class StrictPeer {
  readonly token: string;
  /** It has begun to end the connection itself. */
  cut = false;
  closed = false;
  /** What the server gave as its reason, if it came to that. */
  closeCode: number | null = null;
  /** The newest private message. */
  lastPrivate = 0;
  readonly #setup: PeerSetup;
  readonly #socket: Socket;
  readonly #plain: boolean;
  readonly #deflate: boolean;
  readonly #subscribed: ReadonlySet<string>;
  readonly #seqs = new Map<string, number>();
  readonly #asked = new Set<string>();
  readonly #idBase: number;
  #unread = Buffer.alloc(0);
  #upgraded = false;
  #ended = false;

  constructor(setup: PeerSetup) {
    const { random, token, port } = setup;
    this.#setup = setup;
    this.token = token;
    this.#plain = random() < 0.5;
    this.#deflate = random() < 0.3;
    this.#idBase = Math.floor(random() * 1e9);
    this.#subscribed = new Set(setup.publicStreams.filter(() => random() < 0.5));
    this.#socket = connect({ port, host: '127.0.0.1' });
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#socket.on('close', () => (this.closed = true));
    // A reset is an end like another.
    this.#socket.on('error', () => undefined);
    const query = this.#deflate ? 'compression=deflate' : '';
    const path = this.#plain ? `/ws?${query}` : `/socket.io/?EIO=4&transport=websocket&${query}`;
    const lines = [
      `GET ${path} HTTP/1.1`,
      'Host: localhost',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      `User-Agent: ${token}`,
      ...(this.#deflate ? ['Sec-WebSocket-Extensions: permessage-deflate'] : []),
    ];
    this.#socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  }

  /** Ends it in one of the ways in which connections end. */
  cutNow(): void {
    this.cut = true;
    const dice = this.#setup.random();
    if (dice < 0.3) this.#socket.destroy();
    else if (dice < 0.6) this.#socket.resetAndDestroy();
    else if (dice < 0.8) this.#socket.end();
    else if (this.#upgraded) this.#socket.write(clientFrame({ first: CLOSE }));
    else this.#socket.destroy();
  }

  destroy(): void {
    this.cut = true;
    this.#socket.destroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** What makes the libraries write by themselves in between. */
  disturb(): void {
    if (!this.#upgraded || this.#ended) return;
    const dice = this.#setup.random();
    if (dice < 0.5) this.#socket.write(clientFrame({ first: PING, payload: this.#pingPayload() }));
    else this.#ask('time', {});
  }

  #pingPayload(): Buffer {
    return Buffer.from(this.token.padEnd(PING_BYTES, '.'));
  }

  #ask(method: string, params: unknown): void {
    const id = this.#idBase + this.#asked.size;
    this.#asked.add(String(id));
    this.#say(this.#plain ? JSON.stringify({ id, method, params }) : `42${id}${JSON.stringify([method, params])}`);
  }

  #say(text: string): void {
    this.#socket.write(clientFrame({ first: TEXT, payload: Buffer.from(text) }));
  }

  #wrong(what: string): void {
    this.#setup.onWrong(
      `${this.token} (${this.#plain ? 'plain' : 'socketio'}${this.#deflate ? ', deflate' : ''}): ${what}`,
    );
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    if (this.#ended) return this.#wrong(`${chunk.length} bytes after the close frame`);
    this.#unread = this.#unread.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#unread, chunk]);
    if (!this.#upgraded && !this.#readHead()) return undefined;
    try {
      for (let frame = this.#nextFrame(); frame !== null; frame = this.#nextFrame()) {
        if (this.#ended) throw new Error('a frame after the close frame');
        this.#take(frame.first, frame.payload);
      }
    } catch (error) {
      this.#wrong(`${(error as Error).message} before ${this.#unread.toString('latin1', 0, SHOWN_BYTES)}`);
    }
    return undefined;
  }

  #readHead(): boolean {
    const end = this.#unread.indexOf('\r\n\r\n');
    if (end === -1) return false;
    const head = this.#unread.toString('latin1', 0, end);
    this.#unread = this.#unread.subarray(end + 4);
    if (/^HTTP\/1\.1 (429|503) /.test(head)) {
      this.#socket.destroy();
      return false;
    }
    if (!head.startsWith('HTTP/1.1 101 Switching Protocols\r\n')) {
      this.#wrong(`the handshake answered ${head.slice(0, 100)}`);
      return false;
    }
    this.#upgraded = true;
    return true;
  }

  #nextFrame(): { first: number; payload: Buffer } | null {
    const data = this.#unread;
    if (data.length < 2) return null;
    const [first, second] = [data[0]!, data[1]!];
    if ((second & 0x80) !== 0) throw new Error('a masked frame');
    const start = second === 126 ? 4 : second === 127 ? 10 : 2;
    if (data.length < start) return null;
    const size = second === 126 ? data.readUInt16BE(2) : second === 127 ? Number(data.readBigUInt64BE(2)) : second;
    if ((second === 126 && size < 126) || (second === 127 && size < 65_536) || size > 2_000_000) {
      throw new Error(`a length of ${size} in ${start} bytes`);
    }
    if (data.length < start + size) return null;
    this.#unread = data.subarray(start + size);
    return { first, payload: data.subarray(start, start + size) };
  }

  #take(first: number, payload: Buffer): void {
    const opcode = first & 0x0f;
    const compressed = (first & 0x40) !== 0;
    if ((first & 0x80) === 0 || (first & 0x30) !== 0) throw new Error(`first byte ${first}`);
    if (compressed && (!this.#deflate || opcode !== 1)) throw new Error('compressed without leave');
    if (opcode === 8) return this.#takeClose(payload);
    if (opcode === 9) return void this.#socket.write(clientFrame({ first: 0x8a, payload }));
    if (opcode === 10) {
      if (!payload.equals(this.#pingPayload())) throw new Error('the answer to a ping of somebody else');
      return undefined;
    }
    if (opcode !== 1) throw new Error(`opcode ${opcode}`);
    const bytes = compressed
      ? inflateRawSync(Buffer.concat([payload, BOUNDARY]), { finishFlush: constants.Z_SYNC_FLUSH })
      : payload;
    return this.#takeText(FATAL_UTF8.decode(bytes));
  }

  #takeClose(payload: Buffer): void {
    this.#ended = true;
    if (this.#plain && payload.length >= 2) this.closeCode = payload.readUInt16BE(0);
    this.#socket.end(clientFrame({ first: CLOSE, payload: payload.subarray(0, 2) }));
  }

  #takeText(text: string): void {
    if (this.#plain) {
      const value = JSON.parse(text);
      if ('stream' in value) this.#takePush(value);
      else if ('event' in value) this.#takeEvent(value.event, value.data);
      else this.#takeReply(String(value.id));
      return;
    }
    if (text.startsWith('0{')) this.#say('40');
    else if (text.startsWith('40{')) JSON.parse(text.slice(2));
    else if (text === '2') this.#say('3');
    else if (text === '1' || text === '41') return;
    else if (text.startsWith('43')) {
      const [, id, body] = /^43(\d+)(\[.*)$/s.exec(text)!;
      JSON.parse(body!);
      this.#takeReply(id!);
    } else if (text.startsWith('42')) {
      const [name, data] = JSON.parse(text.slice(2));
      if (name === 'message') this.#takePush(data);
      else this.#takeEvent(name, data);
    } else throw new Error('no packet of Socket.IO');
  }

  #takeEvent(name: string, data: { code?: number }): void {
    if (name === 'welcome') this.#ask('subscribe', { streams: [...this.#subscribed] });
    else if (name === 'closing') this.closeCode = data.code!;
    else if (!['heartbeat', 'slow', 'draining', 'error'].includes(name)) throw new Error(`event ${name}`);
  }

  #takeReply(id: string): void {
    if (!this.#asked.has(id)) throw new Error(`an answer to ${id}, which was not asked or is answered`);
  }

  #takePush({ stream, epoch, seq, kind, data }: Push): void {
    if (stream === 'orders') {
      if (data.secret !== this.token) throw new Error(`the secret of ${data.secret}`);
      if (seq !== this.lastPrivate + 1) throw new Error(`private ${seq} after ${this.lastPrivate}`);
      this.lastPrivate = seq;
      return;
    }
    if (!this.#subscribed.has(stream)) throw new Error(`${stream}, which was not asked for`);
    const key = `${stream} ${epoch}`;
    const last = this.#seqs.get(key);
    if (kind === 'update' && last !== undefined && seq !== last + 1) throw new Error(`${key}: ${seq} after ${last}`);
    this.#seqs.set(key, seq);
  }
}
