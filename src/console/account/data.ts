import { useEffect, useMemo, useState } from 'preact/hooks';
import type { PrivateEvent, SubscriptionState, ValueSubscription } from '../../client/index.ts';
import type { Fill, Order, Portfolio, PrivateStream } from '../../protocol/trading.ts';
import { useFrameState, useLoaded, useStream, useTick } from '../parts/hooks.ts';
import type { Loaded, Stream } from '../parts/hooks.ts';
import { useAccount } from './account.ts';

/** Rows of a table of past things; older ones are on later pages of REST. */
const HISTORY_LIMIT = 100;
/** Several changes of one moment are one reason to ask again. */
const SETTLE_MS = 1_000;

/** Every event of a private stream from now on. */
export function useEvents(stream: PrivateStream, onEvent: (event: PrivateEvent) => void): Stream<unknown> {
  const { link } = useAccount();
  return useStream(stream, (client, hooks) => client.events(stream, { ...hooks, onEvent }), undefined, link);
}

/** A number that grows, at most so often, whenever one of the user's orders or balances changes. */
export function useChanges(stream: 'orders' | 'portfolio'): number {
  const [changes, setChanges] = useState(0);
  const [settled, setSettled] = useState(0);
  useEvents(stream, () => setChanges((each) => each + 1));
  useEffect(() => {
    const timer = setTimeout(() => setSettled(changes), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [changes]);
  return settled;
}

export type History<T> = Readonly<{
  rows: readonly T[];
  loaded: Loaded<readonly T[]>;
  state: SubscriptionState | null;
}>;

/** The newest of what REST tells and the stream adds, each once. Asked for once the stream is live, so that nothing falls between. */
function useHistory<T extends { id: string }>(
  name: string,
  load: (signal: AbortSignal) => Promise<readonly T[]>,
  pick: (event: PrivateEvent) => T | undefined,
): History<T> {
  const [fresh, setFresh] = useState<ReadonlyMap<string, T>>(new Map());
  const { state } = useEvents('orders', (event) => {
    const row = pick(event);
    if (row) setFresh((known) => limited(new Map(known).set(row.id, row)));
  });
  const [ready, setReady] = useState(false);
  useEffect(() => {
    if (state?.status === 'live') setReady(true);
  }, [state]);
  const loaded = useLoaded(ready ? name : null, load);
  const rows = useMemo(() => {
    const byId = new Map((loaded.value ?? []).map((row) => [row.id, row]));
    for (const [id, row] of fresh) byId.set(id, row);
    return [...byId.values()].toSorted((left, right) => timeOf(right) - timeOf(left)).slice(0, HISTORY_LIMIT);
  }, [loaded.value, fresh]);
  return { rows, loaded, state };
}

function timeOf(row: object): number {
  const { createdAt, ts } = row as { createdAt?: number; ts?: number };
  return createdAt ?? ts ?? 0;
}

function limited<T>(rows: Map<string, T>): Map<string, T> {
  for (const id of rows.keys()) {
    if (rows.size <= HISTORY_LIMIT) break;
    rows.delete(id);
  }
  return rows;
}

export function useFills(): History<Fill> {
  const { session } = useAccount();
  return useHistory<Fill>(
    'fills',
    async (signal) => (await session.request<{ fills: Fill[] }>(`/v1/fills?limit=${HISTORY_LIMIT}`, { signal })).fills,
    ({ event }) => (event.type === 'fill' ? event.fill : undefined),
  );
}

export function useOrderHistory(): History<Order> {
  const { session } = useAccount();
  return useHistory<Order>(
    'orders',
    async (signal) =>
      (await session.request<{ orders: Order[] }>(`/v1/orders?limit=${HISTORY_LIMIT}`, { signal })).orders,
    ({ event }) => (event.type === 'order' ? event.order : undefined),
  );
}

export function useOpenOrders() {
  const { link } = useAccount();
  const [, see] = useFrameState<unknown>(null);
  const onUpdate = (value: unknown): void => see(() => value);
  return useStream('orders', (client, hooks) => client.orders({ ...hooks, onUpdate }), undefined, link);
}

export function useHoldings() {
  const { link } = useAccount();
  const [, see] = useFrameState<unknown>(null);
  const onUpdate = (value: unknown): void => see(() => value);
  return useStream('portfolio', (client, hooks) => client.portfolio({ ...hooks, onUpdate }), undefined, link);
}

/** While the stream does not speak. */
const POLL_MS = 5_000;

export type Valuation = Readonly<{
  /** Undefined while REST stands in for it. */
  stream: Stream<ValueSubscription<Portfolio>> | undefined;
  loaded: Loaded<Portfolio>;
  portfolio: Portfolio | null;
}>;

/** The portfolio at live prices. Where its stream is not to be had, REST is asked again and again, and the panels say so. */
export function useValuation(): Valuation {
  const { link, session } = useAccount();
  const [live, change] = useFrameState<Portfolio | null>(null);
  const stream = useStream(
    'valuation',
    (client, hooks) => client.valuation({ ...hooks, onUpdate: (value) => change(() => value) }),
    undefined,
    link,
  );
  const streaming = stream.state?.status === 'live';
  const round = Math.floor(useTick(POLL_MS) / POLL_MS);
  const loaded = useLoaded(streaming ? 'streaming' : `portfolio ${round}`, async (signal) =>
    streaming && live ? live : session.request<Portfolio>('/v1/portfolio', { signal }),
  );
  const portfolio = newest(live, loaded.value);
  const polled = !streaming && loaded.status !== 'failed' && loaded.value !== null;
  return { stream: polled ? undefined : stream, loaded, portfolio };
}

function newest(left: Portfolio | null, right: Portfolio | null): Portfolio | null {
  if (!left || !right) return left ?? right;
  return left.at >= right.at ? left : right;
}
