import { randomUUID } from 'node:crypto';
import { PLAIN_DOOR, SOCKET_IO_DOOR } from './door.ts';
import type { Door, ReplyBody } from './door.ts';
import { KeepAliveHttp } from './keep-alive-http.ts';
import { RawWebSocket } from './raw-websocket.ts';
import { bearer } from './traders.ts';
import type { Trader } from './traders.ts';

export type WishedOrder = Readonly<Record<'account' | 'venue' | 'symbol' | 'side' | 'type' | 'quantity', string>> &
  Readonly<{ price?: string }>;
export type PlacedOrder = Readonly<{ id: string; status: string }>;
/** One trader's connection; resolves with the durable answer, rejects with a refusal. One order at a time. */
export type OrderDoor = Readonly<{ place(order: WishedOrder): Promise<PlacedOrder>; close(): void }>;
export type OrderPush = (orderId: string, status: string, atMs: number) => void;
export type DoorName = 'http' | 'ws' | 'socketio';

const OPEN_LIMIT_MS = 30_000;
/** Keys of one run never meet those of another. */
const RUN = randomUUID();
let keys = 0;
const nextKey = (): string => `${RUN}-${keys++}`;

/** `onPush`: of the trader's own stream `orders`, which only sockets have. */
export async function openDoor(
  name: DoorName,
  baseUrl: string,
  trader: Trader,
  onPush?: OrderPush,
): Promise<OrderDoor> {
  if (name === 'http') return openHttp(baseUrl, trader);
  const socket = new OrderSocket(name === 'ws' ? PLAIN_DOOR : SOCKET_IO_DOOR, baseUrl, onPush);
  await socket.open(trader.token);
  return {
    async place(order) {
      const { result, error } = await socket.ask('order.place', { ...order, idempotencyKey: nextKey() });
      if (error) throw new Error(`${error.code}: ${error.message}`);
      return (result as { order: PlacedOrder }).order;
    },
    close: () => socket.close(),
  };
}

function openHttp(baseUrl: string, trader: Trader): OrderDoor {
  const http = new KeepAliveHttp(baseUrl);
  return {
    async place(order) {
      const headers = `${bearer(trader.token)}Idempotency-Key: ${nextKey()}\r\n`;
      const { status, body } = await http.request('POST', '/v1/orders', headers, JSON.stringify(order));
      if (status !== 201) throw new Error(`${status} ${body}`);
      return JSON.parse(body) as PlacedOrder;
    },
    close: () => http.close(),
  };
}

type Waiting = Readonly<{ resolve(body: ReplyBody): void; reject(error: Error): void }>;

class OrderSocket {
  readonly #door: Door;
  readonly #onPush: OrderPush | undefined;
  readonly #socket: RawWebSocket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #welcomed: Promise<void>;
  #nextId = 1;
  #closed = false;

  constructor(door: Door, baseUrl: string, onPush: OrderPush | undefined) {
    this.#door = door;
    this.#onPush = onPush;
    const { hostname, port } = new URL(baseUrl);
    let welcome: () => void = () => undefined;
    this.#welcomed = new Promise((resolve) => (welcome = resolve));
    this.#socket = new RawWebSocket(
      { host: hostname, port: Number(port), path: door.path },
      {
        onOpen: () => door.hello !== null && this.#socket.send(door.hello),
        onText: (frame, start, end) => this.#take(frame.toString('utf8', start, end), welcome),
        onClose: (code) => this.#fail(new Error(`the socket was closed with ${code}`)),
      },
    );
  }

  async open(token: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('no welcome')), OPEN_LIMIT_MS);
    });
    await Promise.race([this.#welcomed, late]);
    clearTimeout(timer);
    const proved = await this.ask('authenticate', { token });
    if (proved.error) throw new Error(`authenticate: ${proved.error.code}`);
    if (this.#onPush === undefined) return;
    const joined = await this.ask('subscribe', { streams: ['orders'] });
    if (joined.error) throw new Error(`subscribe: ${joined.error.code}`);
  }

  ask(method: string, params: unknown): Promise<ReplyBody> {
    if (this.#closed) return Promise.reject(new Error('the socket is closed'));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(this.#door.encode(id, method, params));
    });
  }

  close(): void {
    this.#closed = true;
    this.#socket.destroy();
  }

  #take(text: string, welcome: () => void): void {
    const inbound = this.#door.decode(text);
    if (inbound.type === 'answer') this.#socket.send(inbound.text);
    else if (inbound.type === 'event' && inbound.name === 'welcome') welcome();
    else if (inbound.type === 'reply') {
      this.#waiting.get(inbound.id)?.resolve(inbound.body);
      this.#waiting.delete(inbound.id);
    } else if (inbound.type === 'message' && inbound.envelope.stream === 'orders') {
      const { event } = inbound.envelope.data as { event?: { type: string; order: PlacedOrder } };
      if (event?.type === 'order') this.#onPush?.(event.order.id, event.order.status, performance.now());
    }
  }

  #fail(error: Error): void {
    this.#closed = true;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
