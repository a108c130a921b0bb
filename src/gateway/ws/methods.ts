import { wireError } from '../../protocol/errors.ts';
import type { WireError } from '../../protocol/errors.ts';
import { BATCH_LIMITS } from '../../protocol/limits.ts';
import type { ConnectionLimits } from '../../protocol/limits.ts';
import type {
  AuthenticateRequest,
  StreamPosition,
  SubscribeFailed,
  SubscribeRequest,
  Subscribed,
} from '../../protocol/messages.ts';
import type { MethodName, MethodParams, TradingMethodName } from '../../protocol/methods.ts';
import { parseStreamName } from '../../protocol/streams.ts';
import type { StreamSpec } from '../../protocol/streams.ts';
import type { Connection } from './connection.ts';
import { after } from './deferral.ts';
import type { HubContext } from './hub-context.ts';
import { isPrivateStream } from './private-streams.ts';
import type { PendingStream, UserStreams } from './private-streams.ts';
import { positionOf } from './topic.ts';
import type { Topic } from './topic.ts';
import { createTradingMethods } from './trading-methods.ts';

export type MethodOutcome = Readonly<{ ok: true; result: unknown } | { ok: false; error: WireError }>;
/** A method that must wait: `until` never rejects, `finish` then does the whole of the work in one synchronous step. */
export type Deferred = Readonly<{ until: Promise<void>; finish: () => MethodOutcome | Deferred }>;
export type Method<P> = (connection: Connection, params: P) => MethodOutcome | Deferred;
export type Methods = Readonly<{
  subscribe: Method<SubscribeRequest>;
  unsubscribe: Method<{ streams: string[] }>;
  list: Method<unknown>;
  authenticate: Method<AuthenticateRequest>;
  ping: Method<unknown>;
}> &
  TradingMethods &
  Readonly<Record<MethodName, unknown>>;
export type TradingMethods = Readonly<{ [M in TradingMethodName]: Method<MethodParams<M>> }>;

type Entry = Readonly<{ stream: string; since: StreamPosition | undefined }>;
type Plan = Entry & Readonly<{ spec: StreamSpec } | { own: UserStreams } | { error: WireError }>;
type HeldPlan = Entry & Readonly<{ topic: Topic } | { own: PendingStream } | { error: WireError }>;

type Wanted = Readonly<{ entries: readonly Entry[]; batchMs: number | null }>;

export function createMethods(context: HubContext): Methods {
  return {
    subscribe: (connection, params) => subscribe(context, connection, params),
    unsubscribe: (connection, params) => unsubscribe(context, connection, params.streams),
    list: (connection) => ({ ok: true, result: listOf(connection) }),
    authenticate: (connection, credentials) => authenticate(context, connection, credentials),
    ping: () => ({ ok: true, result: { serverTs: context.clock.now() } }),
    ...createTradingMethods(context),
  };
}

function authenticate(
  { authenticator }: HubContext,
  connection: Connection,
  credentials: AuthenticateRequest,
): MethodOutcome | Deferred {
  if (authenticator === null) {
    const message = 'This server has no accounts: public streams need no authentication';
    return { ok: false, error: wireError('unauthorized', message) };
  }
  return after(authenticator.prove(credentials, connection.peer), (proof) => authenticator.adopt(connection, proof));
}

function subscribe(context: HubContext, connection: Connection, params: SubscribeRequest): MethodOutcome | Deferred {
  const problem = requestProblem(context.limits, params.streams.length);
  if (problem !== null) return { ok: false, error: problem };
  const startedMs = context.clock.monotonic();
  const entries = params.streams.map((each) =>
    typeof each === 'string' ? { stream: each, since: undefined } : { stream: each.stream, since: each.since },
  );
  // A client that comes while a venue is still loading its markets is not sent away: they take a second or two.
  const loading = entries.flatMap(({ stream }) => {
    const parsed = parseStreamName(stream);
    return (parsed.ok && context.gate.undecided(parsed.spec)) || [];
  });
  const batchMs = batchWindowOf(params);
  const proceed = (): MethodOutcome | Deferred => subscribeKnown(context, connection, { entries, batchMs }, startedMs);
  return loading.length === 0 ? proceed() : { until: settled(loading, context.coldStreamMs), finish: proceed };
}

function subscribeKnown(
  context: HubContext,
  connection: Connection,
  { entries, batchMs }: Wanted,
  startedMs: number,
): MethodOutcome | Deferred {
  if (context.isDraining()) return { ok: false, error: wireError('draining') };
  const plans = hold(context, planAll(context, connection, entries));
  const waited = plans.flatMap((plan) => {
    if ('own' in plan) return [plan.own.ready];
    return 'topic' in plan && !plan.topic.isReady ? [plan.topic.ready] : [];
  });
  const finish = (): MethodOutcome => {
    try {
      return { ok: true, result: plans.map((plan) => place(context, connection, plan, batchMs)) };
    } finally {
      for (const plan of plans) {
        if ('topic' in plan) context.topics.letGo(plan.topic);
        if ('own' in plan) plan.own.letGo();
      }
      context.metrics.subscribed(context.clock.monotonic() - startedMs);
    }
  };
  return waited.length === 0 ? finish() : { until: settled(waited, context.coldStreamMs), finish };
}

/** Null: each push by itself. */
function batchWindowOf({ batch }: SubscribeRequest): number | null {
  if (batch === undefined) return null;
  return batch === true ? BATCH_LIMITS.windowMs : batch.windowMs;
}

function requestProblem(limits: ConnectionLimits, streams: number): WireError | null {
  if (streams <= limits.streamsPerRequest) return null;
  return wireError('bad_request', `at most ${limits.streamsPerRequest} streams in one request`);
}

/** The limit counts what the connection has plus what this request would add. */
function planAll(context: HubContext, connection: Connection, entries: readonly Entry[]): Plan[] {
  const held = new Set(connection.streams);
  return entries.map((entry): Plan => {
    const { stream } = entry;
    const wanted = isPrivateStream(stream) ? planOwn(connection) : planPublic(context, stream);
    if ('error' in wanted) return { ...entry, ...wanted };
    if (!held.has(stream) && held.size >= context.limits.streamsPerConnection) {
      return { ...entry, error: wireError('too_many_streams') };
    }
    held.add(stream);
    return { ...entry, ...wanted };
  });
}

function planPublic(context: HubContext, stream: string): { spec: StreamSpec } | { error: WireError } {
  const parsed = parseStreamName(stream);
  if (!parsed.ok) return { error: wireError(parsed.code, parsed.message) };
  const closed = context.gate.judge(parsed.spec);
  return closed === null ? { spec: parsed.spec } : { error: closed };
}

function planOwn(connection: Connection): { own: UserStreams } | { error: WireError } {
  const own = connection.userStreams;
  if (own === null) return { error: wireError('unauthorized', 'This stream belongs to a user: authenticate first') };
  return connection.principal?.scopes.includes('read') ? { own } : { error: wireError('forbidden') };
}

/** Every topic is let go when the request ends, whether or not a subscription came of it. */
function hold(context: HubContext, plans: readonly Plan[]): HeldPlan[] {
  return plans.map((plan): HeldPlan => {
    if ('error' in plan) return plan;
    const { stream, since } = plan;
    if ('own' in plan) return { stream, since, own: plan.own.prepare(stream, since) };
    return { stream, since, topic: context.topics.hold(plan.spec) };
  });
}

/** When all of `promises` are there, or after `limitMs` without them. */
async function settled(promises: readonly Promise<void>[], limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([Promise.all(promises), late]);
  clearTimeout(timer);
}

/** Joins (or re-positions) without sending anything: the reply goes first. */
function place(
  context: HubContext,
  connection: Connection,
  plan: HeldPlan,
  batchMs: number | null,
): Subscribed | SubscribeFailed {
  const { stream, since } = plan;
  if ('error' in plan) return { stream, error: plan.error };
  if ('own' in plan) return connection.isOpen ? plan.own.place() : { stream, error: wireError('draining') };
  const { view } = plan.topic;
  const { position } = view;
  if (!plan.topic.isReady || position === undefined || !connection.isOpen) {
    return { stream, error: wireError('venue_unavailable', undefined, context.coldStreamMs) };
  }
  const known = connection.subscriptions.get(stream);
  const subscription = known ?? connection.join(plan.topic);
  plan.topic.setBatch(subscription, batchMs);
  let recovered = known?.phase === 'live';
  if (since !== undefined) {
    recovered = view.after(since) !== null;
    subscription.at = since;
    plan.topic.endLive(subscription);
    subscription.phase = recovered ? 'replay' : 'base';
    subscription.cause = since.epoch === position.epoch ? 'expired' : 'upstream';
    connection.delivery.owe(subscription);
  }
  subscription.told = view.state;
  return { stream, epoch: position.epoch, seq: position.seq, recovered, state: view.state };
}

function unsubscribe(context: HubContext, connection: Connection, streams: readonly string[]): MethodOutcome {
  const problem = requestProblem(context.limits, streams.length);
  if (problem !== null) return { ok: false, error: problem };
  return { ok: true, result: streams.map((stream) => ({ stream, left: connection.leave(stream) })) };
}

function listOf(connection: Connection): (StreamPosition & { stream: string })[] {
  const shared = [...connection.subscriptions].map(([stream, subscription]) => {
    const { epoch, seq } = positionOf(subscription);
    return { stream, epoch, seq };
  });
  return [...shared, ...(connection.userStreams?.positions() ?? [])];
}
