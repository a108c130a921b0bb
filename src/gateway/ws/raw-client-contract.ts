import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { Envelope } from '../../protocol/messages.ts';
import type { WireError } from '../../protocol/errors.ts';
import type { DoorName } from './wire.ts';

/** Clients written by hand from PROTOCOL.md: no Socket.IO library, no code of ours but types. */
const CONDITION_LIMIT_MS = 15_000;
const POLL_MS = 5;

export type RawReply = { result?: unknown; error?: WireError };
export type RawEntry =
  | { type: 'push'; envelope: Envelope }
  | { type: 'event'; name: string; data: never }
  | { type: 'reply'; id: unknown; reply: RawReply };

/** Waits for a condition, never for a duration. */
export async function until(condition: () => boolean, what: string, limitMs = CONDITION_LIMIT_MS): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

export class RawClient {
  readonly door: DoorName;
  readonly log: RawEntry[] = [];
  /** Every text frame as it came. */
  readonly frames: string[] = [];
  readonly socket: WebSocket;
  closed: { code: number; reason: string } | null = null;
  failure: string | null = null;
  #ids = 0;
  #onEntry: (entry: RawEntry) => void = () => {};

  constructor(door: DoorName, port: number, options: { headers?: Record<string, string>; answerPings?: boolean } = {}) {
    this.door = door;
    const path = door === 'plain' ? '/ws' : '/socket.io/?EIO=4&transport=websocket';
    this.socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers: options.headers ?? {} });
    this.socket.on('message', (data: Buffer) => this.#take(data.toString(), options.answerPings ?? true));
    this.socket.on('close', (code: number, reason: Buffer) => {
      this.closed = { code, reason: reason.toString() };
    });
    this.socket.on('unexpected-response', (_request, response) => {
      response.on('data', (body: Buffer) => (this.failure = `${response.statusCode} ${body.toString()}`));
    });
    this.socket.on('error', (error) => (this.failure ??= error.message));
  }

  set onEntry(listener: (entry: RawEntry) => void) {
    this.#onEntry = listener;
  }

  async welcomed(): Promise<this> {
    await until(() => this.events('welcome').length > 0, `the welcome (${this.failure ?? 'no failure'})`);
    return this;
  }

  /** Sends a request without waiting and answers its id. */
  send(method: string, params?: unknown): number {
    this.#ids += 1;
    const id = this.#ids;
    if (this.door === 'plain') this.text(JSON.stringify({ id, method, params }));
    else this.text(`42${id}${JSON.stringify(params === undefined ? [method] : [method, params])}`);
    return id;
  }

  text(text: string): void {
    this.socket.send(text);
  }

  async request(method: string, params?: unknown): Promise<RawReply> {
    const id = this.send(method, params);
    await until(() => this.reply(id) !== undefined, `the reply to ${method}`);
    return this.reply(id)!;
  }

  async subscribe(...streams: unknown[]): Promise<RawReply> {
    return this.request('subscribe', { streams });
  }

  reply(id: unknown): RawReply | undefined {
    const entry = this.log.find((each) => each.type === 'reply' && each.id === id);
    return entry?.type === 'reply' ? entry.reply : undefined;
  }

  replies(): RawReply[] {
    return this.log.flatMap((entry) => (entry.type === 'reply' ? [entry.reply] : []));
  }

  events(name: string): Record<string, unknown>[] {
    return this.log.flatMap((entry) => (entry.type === 'event' && entry.name === name ? [entry.data] : []));
  }

  envelopes(stream: string): Envelope[] {
    return this.log.flatMap((entry) =>
      entry.type === 'push' && entry.envelope.stream === stream ? [entry.envelope] : [],
    );
  }

  /** Errors wherever the door puts those that belong to no request. */
  strayErrors(): WireError[] {
    const unaddressed = this.log.flatMap((entry) =>
      entry.type === 'reply' && entry.id === null && entry.reply.error ? [entry.reply.error] : [],
    );
    return [...unaddressed, ...(this.events('error') as unknown as WireError[])];
  }

  async end(): Promise<void> {
    this.socket.close();
    await until(() => this.closed !== null, 'the close');
  }

  #take(text: string, answerPings: boolean): void {
    this.frames.push(text);
    const entry = this.door === 'plain' ? plainEntry(text) : this.#socketIoEntry(text, answerPings);
    if (entry === null) return;
    for (const each of Array.isArray(entry) ? entry : [entry]) {
      this.log.push(each);
      this.#onEntry(each);
    }
  }

  #socketIoEntry(text: string, answerPings: boolean): RawEntry | RawEntry[] | null {
    if (text.startsWith('0')) this.socket.send('40');
    else if (text === '2') {
      if (answerPings) this.socket.send('3');
    } else if (text.startsWith('43')) {
      const [, id, body] = /^43(\d+)(.*)$/s.exec(text)!;
      return { type: 'reply', id: Number(id), reply: JSON.parse(body!)[0] };
    } else if (text.startsWith('42')) {
      const [name, data] = JSON.parse(text.slice(2));
      if (name === 'batch') return pushesOf(data);
      return name === 'message' ? { type: 'push', envelope: data } : { type: 'event', name, data: data as never };
    }
    return null;
  }
}

function pushesOf(batch: Envelope[]): RawEntry[] {
  return batch.map((envelope) => ({ type: 'push', envelope }));
}

function plainEntry(text: string): RawEntry | RawEntry[] {
  const value = JSON.parse(text);
  if ('batch' in value) return pushesOf(value.batch);
  if ('stream' in value) return { type: 'push', envelope: value };
  if ('event' in value) return { type: 'event', name: value.event, data: value.data as never };
  const { id, ...reply } = value;
  return { type: 'reply', id, reply };
}

export type FrameParts = { first: number; payload?: Buffer; masked?: boolean; lengthHeader?: Buffer };

/** A client frame from its parts, right or wrong. */
export function clientFrame({ first, payload = Buffer.alloc(0), masked = true, lengthHeader }: FrameParts): Buffer {
  const short = payload.length < 126;
  const header = lengthHeader ?? (short ? Buffer.from([payload.length]) : lengthOf16(payload.length));
  header[0]! |= masked ? 0x80 : 0;
  const mask = masked ? Buffer.from([1, 2, 3, 4]) : Buffer.alloc(0);
  const body = masked ? Buffer.from(payload.map((byte, index) => byte ^ mask[index % 4]!)) : payload;
  return Buffer.concat([Buffer.from([first]), header, mask, body]);
}

function lengthOf16(length: number): Buffer {
  const header = Buffer.alloc(3);
  header[0] = 126;
  header.writeUInt16BE(length, 1);
  return header;
}

/** A TCP socket that has been through a WebSocket handshake, or has been refused one, and then says whatever it is told to. */
export class RawSocket {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  closed = false;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1' });
    this.socket.on('data', (chunk: Buffer) => (this.received = Buffer.concat([this.received, chunk])));
    this.socket.on('close', () => (this.closed = true));
    // A reset is an answer too: `closed` tells.
    this.socket.on('error', () => undefined);
  }

  /** Answers the response's head. */
  async handshake(path: string, headers: Record<string, string> = {}): Promise<string> {
    const all: Record<string, string> = {
      Host: 'localhost',
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      ...headers,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
    this.socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
    await until(() => this.closed || this.received.includes('\r\n\r\n'), `an answer to the handshake at ${path}`);
    const end = this.received.indexOf('\r\n\r\n') + 4;
    const head = this.received.subarray(0, end).toString();
    if (head.startsWith('HTTP/1.1 101')) this.received = this.received.subarray(end);
    return head;
  }

  write(...chunks: (Buffer | string)[]): void {
    for (const chunk of chunks) this.socket.write(chunk);
  }

  /** Texts and close codes that have come so far. */
  frames(): { opcode: number; text: string; closeCode: number | null }[] {
    const frames = [];
    let rest = this.received;
    while (rest.length >= 2) {
      const short = rest[1]! & 0x7f;
      const start = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (rest.length < start) break;
      const length = short === 126 ? rest.readUInt16BE(2) : short === 127 ? Number(rest.readBigUInt64BE(2)) : short;
      if (rest.length < start + length) break;
      const payload = rest.subarray(start, start + length);
      const opcode = rest[0]! & 0x0f;
      const closeCode = opcode === 8 ? (length >= 2 ? payload.readUInt16BE(0) : 1005) : null;
      frames.push({ opcode, text: payload.toString(), closeCode });
      rest = rest.subarray(start + length);
    }
    return frames;
  }

  closeCode(): number | null {
    return this.frames().find(({ opcode }) => opcode === 8)?.closeCode ?? null;
  }

  destroy(): void {
    this.socket.destroy();
  }
}
