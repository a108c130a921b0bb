import { PLAIN_DOOR } from './door.ts';
import type { ReplyBody } from './door.ts';
import type { HttpAnswer, Scenario, World } from './scenario.ts';
import { readNumber, socketUrl } from './settings.ts';
import type { LoadSettings } from './settings.ts';

/**
 * Traders that place orders which rest and cancel them again, at an offered rate whatever the server answers; half of them over
 * REST and half over the plain socket. A placement's answer is durable, so this is what a bot waits for.
 */
export const ORDERS: Scenario = {
  metrics: {
    place_ms: 'trend',
    cancel_ms: 'trend',
    placed: 'counter',
    canceled: 'counter',
    order_errors: 'rate',
    not_ready: 'counter',
  },
  thresholds: {
    place_ms: ['p(95)<200'],
    cancel_ms: ['p(95)<200'],
    placed: ['count>0'],
    canceled: ['count>0'],
    order_errors: ['rate<0.001'],
    not_ready: ['count==0'],
    checks: ['rate==1'],
  },
};

export type OrdersSettings = LoadSettings & Readonly<{ rate: number; readyMs: number }>;
/** An order over either door; null when it was refused or not answered. */
type Desk = Readonly<{
  place(order: object): Promise<string | null>;
  cancel(id: string): Promise<boolean>;
  close(): void;
}>;
type Session = Readonly<{ token: string; order: object }>;

const PASSWORD = 'correct-horse-battery-staple-load';
const VENUE_PAIR = ['binance', 'BTC-USDT', 'BTC/USDT'] as const;
/** Half of the last price: inside the band that the server accepts, and far from what the simulated market reaches. */
const RESTING_SHARE = 0.5;
const ORDER_WORTH = 20;
const PRICE_ATTEMPTS = 50;
const RETRY_MS = 200;
/** Answers that are still to come at the end; what comes later has not come. */
const LAST_ANSWERS_MS = 5_000;
/** Requests of one trader without an answer; what is due beyond that is an error at once, so that memory stays bounded. */
const OUTSTANDING_LIMIT = 100;

export function readOrdersSettings(
  env: Readonly<Record<string, string | undefined>>,
  common: LoadSettings,
): OrdersSettings {
  return { ...common, rate: readNumber('RATE', env.RATE, 1_000), readyMs: readNumber('READY', env.READY, 20) * 1_000 };
}

/** One virtual user: registers, waits until all are ready, trades until the end. */
export function runOrdersUser(world: World, settings: OrdersSettings, user: number): void {
  const beginAt = world.now() + settings.readyMs;
  const { promise, settle } = later<Desk | null>();
  void prepare(world, settings, user).then(async (session) => {
    if (session === null) return settle(null);
    const desk = user % 2 === 0 ? restDesk(world, settings, session) : await socketDesk(world, settings, session);
    if (desk === null || world.now() > beginAt) {
      desk?.close();
      return settle(null);
    }
    world.after(beginAt - world.now(), () => trade(world, settings, user, { desk, order: session.order }));
    settle(desk);
  });
  void promise.then((desk) => {
    if (desk === null) world.record('not_ready', 1);
    world.check('was ready in time', desk !== null);
  });
}

function trade(
  world: World,
  { rate, users, durationMs }: OrdersSettings,
  user: number,
  { desk, order }: Readonly<{ desk: Desk; order: object }>,
): void {
  const periodMs = (1_000 * users) / rate;
  const beganAt = world.now();
  const open: string[] = [];
  let outstanding = 0;
  let turn = 0;
  const act = async (): Promise<void> => {
    const id = turn % 2 === 0 ? undefined : open.shift();
    turn += 1;
    const startedAt = world.now();
    const placedId = id === undefined ? await desk.place(order) : null;
    const done = id === undefined ? placedId !== null : await desk.cancel(id);
    world.record('order_errors', done ? 0 : 1);
    if (!done) return;
    world.record(id === undefined ? 'place_ms' : 'cancel_ms', world.now() - startedAt);
    world.record(id === undefined ? 'placed' : 'canceled', 1);
    if (placedId !== null) open.push(placedId);
  };
  let count = 0;
  const next = (): void => {
    const dueMs = (user / users + count++) * periodMs;
    if (dueMs >= durationMs) {
      world.after(LAST_ANSWERS_MS, () => desk.close());
      return;
    }
    world.after(Math.max(0, beganAt + dueMs - world.now()), () => {
      if (outstanding >= OUTSTANDING_LIMIT) world.record('order_errors', 1);
      else {
        outstanding += 1;
        void act().then(() => (outstanding -= 1));
      }
      next();
    });
  };
  next();
}

async function prepare(world: World, { baseUrl }: OrdersSettings, user: number): Promise<Session | null> {
  const email = `load-${user}-${Math.floor(world.random() * 1e12).toString(36)}@example.com`;
  const registered = await world.request({
    method: 'POST',
    url: `${baseUrl}/v1/auth/register`,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email, password: PASSWORD }),
  });
  const token = read<{ accessToken: string }>(registered, 201)?.accessToken;
  const last = await lastPrice(world, baseUrl);
  if (token === undefined || last === null) return null;
  const price = (last * RESTING_SHARE).toFixed(2);
  const quantity = (ORDER_WORTH / Number(price)).toFixed(4);
  const [venue, , symbol] = VENUE_PAIR;
  return { token, order: { account: 'paper', venue, symbol, side: 'buy', type: 'limit', quantity, price } };
}

/** A market that nobody watched until now has no price yet. */
async function lastPrice(world: World, baseUrl: string): Promise<number | null> {
  const [venue, pair] = VENUE_PAIR;
  const url = `${baseUrl}/v1/markets/${venue}/${pair}/ticker`;
  for (let attempt = 0; attempt < PRICE_ATTEMPTS; attempt++) {
    const answer = await world.request({ method: 'GET', url });
    const last = Number(read<{ data: { last: string | null } }>(answer, 200)?.data.last ?? NaN);
    if (last > 0) return last;
    const { promise, settle } = later<null>();
    world.after(RETRY_MS, () => settle(null));
    await promise;
  }
  return null;
}

function restDesk(world: World, { baseUrl }: OrdersSettings, { token }: Session): Desk {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return {
    async place(order) {
      const answer = await world.request({
        method: 'POST',
        url: `${baseUrl}/v1/orders`,
        headers: { ...headers, 'idempotency-key': freshKey(world) },
        body: JSON.stringify(order),
      });
      return read<{ id: string }>(answer, 201)?.id ?? null;
    },
    async cancel(id) {
      const { authorization } = headers;
      const url = `${baseUrl}/v1/orders/${id}`;
      return (await world.request({ method: 'DELETE', url, headers: { authorization } })).status === 200;
    },
    close: () => undefined,
  };
}

/** Null when the server does not let it in. */
async function socketDesk(world: World, { baseUrl }: OrdersSettings, { token }: Session): Promise<Desk | null> {
  const waiting = new Map<number, (body: ReplyBody) => void>();
  const opened = later<boolean>();
  let nextId = 1;
  const socket = world.connect(socketUrl(baseUrl, PLAIN_DOOR.path), {
    onOpen: () => opened.settle(true),
    onText(text) {
      const inbound = PLAIN_DOOR.decode(text);
      if (inbound.type !== 'reply') return;
      waiting.get(inbound.id)?.(inbound.body);
      waiting.delete(inbound.id);
    },
    onClose() {
      opened.settle(false);
      for (const answer of waiting.values()) answer({ error: { code: 'closed', message: 'the socket was closed' } });
      waiting.clear();
    },
  });
  const ask = (method: string, params: object): Promise<ReplyBody> => {
    const id = nextId++;
    const { promise, settle } = later<ReplyBody>();
    waiting.set(id, settle);
    socket.send(PLAIN_DOOR.encode(id, method, params));
    return promise;
  };
  if (!(await opened.promise)) return null;
  if ((await ask('authenticate', { token })).error) return null;
  return {
    async place(order) {
      const { result } = await ask('order.place', { ...order, idempotencyKey: freshKey(world) });
      return (result as { order: { id: string } } | undefined)?.order.id ?? null;
    },
    cancel: async (id) => (await ask('order.cancel', { orderId: id })).error === undefined,
    close: () => socket.close(),
  };
}

function freshKey(world: World): string {
  return `load-${Math.floor(world.random() * 2 ** 52).toString(36)}-${Math.floor(world.random() * 2 ** 52).toString(36)}`;
}

function read<T>({ status, body }: HttpAnswer, wanted: number): T | undefined {
  return status === wanted ? (JSON.parse(body) as T) : undefined;
}

/** k6's runtime lacks `Promise.withResolvers`. */
function later<T>(): { promise: Promise<T>; settle: (value: T) => void } {
  let settle: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolve) => (settle = resolve));
  return { promise, settle };
}
