import { io } from 'socket.io-client';
import { createClient } from '../../client/index.ts';
import type { Client, PrivateEvent, ValueSubscription } from '../../client/index.ts';
import type { OpenOrders, Holdings } from '../../client/index.ts';
import { PRIVATE_STREAMS, SyncAnswer } from '../../protocol/trading.ts';
import type { PrivateStream, SyncEvent } from '../../protocol/trading.ts';
import type { Door } from './door.ts';

const BACKOFF = { baseMs: 30, maxMs: 500, factor: 2, jitter: 0.5 };
const SYNC_PAGE = 200;
const WAIT_LIMIT_MS = 60_000;
const POLL_MS = 100;

/** Follows one user's private streams through every cut, as a page that stays open would. */
export type Follower = Readonly<{
  /** I8: what came is the log, in order, each once; what is shown is what REST tells. Nobody may be trading. */
  judge(): Promise<string[]>;
  reconnects(): number;
  close(): void;
}>;
type Place = { first: number; last: number; digest: string };

export function startFollower(url: string, name: string, door: Door, way: 'plain' | 'socketio'): Follower {
  const breaches: string[] = [];
  const client = createClient({
    url,
    backoff: BACKOFF,
    authenticate: async () => {
      const me = await door.call('GET', '/v1/me');
      if (me?.status === 401) await door.login();
      return { token: door.token() };
    },
    onError: () => undefined,
    ...(way === 'socketio'
      ? { transport: io(url, { autoConnect: false, transports: ['websocket'], reconnection: false }) }
      : {}),
  });
  const orders = client.orders();
  const portfolio = client.portfolio();
  const places = new Map<PrivateStream, Place>();
  for (const stream of PRIVATE_STREAMS) {
    client.events(stream, {
      onEvent(event) {
        const place = places.get(stream);
        if (place && event.seq !== place.last + 1)
          breaches.push(`I8 ${name} ${stream}: ${event.seq} after ${place.last}`);
        places.set(stream, {
          first: place?.first ?? event.seq,
          last: event.seq,
          digest: chained(place?.digest ?? '', event),
        });
      },
    });
  }
  return {
    reconnects: () => client.counters.reconnects,
    close: () => client.close(),
    async judge() {
      const found = await compare({ name, door, client, orders, portfolio, places });
      return [...breaches, ...found];
    },
  };
}

/** Depends on every event so far; a number is enough to tell two logs apart. */
function chained(digest: string, { seq, logSeq, event }: PrivateEvent): string {
  let hash = 0;
  for (const char of digest + canonical([seq, logSeq, event])) hash = (Math.imul(hash, 31) + char.charCodeAt(0)) | 0;
  return String(hash);
}

/** The log comes from `jsonb`, which orders fields in its own way. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return `{${fields.map(([name, field]) => `${name}:${canonical(field)}`).join()}}`;
}

type Seen = Readonly<{
  name: string;
  door: Door;
  client: Client;
  orders: ValueSubscription<OpenOrders>;
  portfolio: ValueSubscription<Holdings>;
  places: ReadonlyMap<PrivateStream, Place>;
}>;

async function compare(seen: Seen): Promise<string[]> {
  const { name, door, orders, portfolio, places } = seen;
  const log = await wholeLog(door);
  const breaches: string[] = [];
  log.forEach(({ seq }, index) => {
    if (seq !== index + 1) breaches.push(`I8 ${name}: event ${seq} of the log is in place ${index + 1}`);
  });
  for (const stream of PRIVATE_STREAMS) {
    const events = log.filter((event) => event.stream === stream);
    const head = events.at(-1)?.streamSeq ?? 0;
    if (events.length !== head) breaches.push(`I8 ${name} ${stream}: ${events.length} events up to ${head}`);
    const caughtUp = await eventually(() => (places.get(stream)?.last ?? 0) >= (places.has(stream) ? head : 0));
    const place = places.get(stream);
    if (!caughtUp) breaches.push(`I8 ${name} ${stream}: the client stands at ${place?.last}, the log at ${head}`);
    if (!place) continue;
    const wanted = events
      .filter(({ streamSeq }) => streamSeq >= place.first)
      .reduce((digest, { seq: logSeq, streamSeq: seq, data: event }) => chained(digest, { seq, logSeq, event }), '');
    if (wanted !== place.digest) breaches.push(`I8 ${name} ${stream}: the client was told something else than the log`);
  }
  const rest = await restState(door);
  const agrees = await eventually(
    () =>
      stateText(orders.live?.orders ?? null) === stateText(rest.orders) &&
      stateText(portfolio.live?.balances ?? null) === stateText(rest.balances),
  );
  if (!agrees) {
    breaches.push(
      `I8 ${name}: shows ${stateText(portfolio.last?.balances ?? null)} and ${orders.last?.orders.length} orders, REST ${stateText(rest.balances)} and ${rest.orders.length}`,
    );
  }
  return breaches;
}

async function wholeLog(door: Door): Promise<SyncEvent[]> {
  const events: SyncEvent[] = [];
  for (let since = 0; ;) {
    const page = SyncAnswer.parse(await read(door, `/v1/sync?since=${since}&limit=${SYNC_PAGE}`));
    events.push(...page.events);
    since = page.next;
    if (page.next === page.head) return events;
  }
}

async function restState(door: Door): Promise<{ orders: readonly object[]; balances: readonly object[] }> {
  const { orders } = await read(door, `/v1/orders?status=open&limit=${SYNC_PAGE}`);
  const { balances } = await read(door, '/v1/balances');
  return { orders: orders as object[], balances: balances as object[] };
}

/** Reads until there is an answer: the server may just be coming back. */
export async function read(door: Door, path: string): Promise<Record<string, unknown>> {
  const deadlineMs = performance.now() + WAIT_LIMIT_MS;
  for (;;) {
    const answer = await door.call('GET', path);
    if (answer?.status === 200) return answer.body;
    if (answer?.status === 401) await door.login();
    if (performance.now() > deadlineMs) throw new Error(`GET ${path}: ${JSON.stringify(answer)}`);
    await new Promise((settle) => setTimeout(settle, POLL_MS));
  }
}

function stateText(list: readonly object[] | null): string {
  return list === null ? 'nothing' : JSON.stringify(list.map(canonical).toSorted());
}

async function eventually(holds: () => boolean): Promise<boolean> {
  const deadlineMs = performance.now() + WAIT_LIMIT_MS;
  while (!holds()) {
    if (performance.now() > deadlineMs) return false;
    await new Promise((settle) => setTimeout(settle, POLL_MS));
  }
  return true;
}
