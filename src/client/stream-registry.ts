import type { Random } from '../kernel/random.ts';
import type { WireError } from '../protocol/errors.ts';
import type { Envelope, StreamPosition, Subscribed } from '../protocol/messages.ts';
import { keeperOf } from './channel-keepers.ts';
import { ClientError, refusalError } from './client-error.ts';
import type { Connection } from './connection.ts';
import { isFields, isWireError } from './frame.ts';
import { StreamTracker } from './stream-tracker.ts';
import type { GapNotice, LinkState, StreamCounters } from './stream-state.ts';
import type { TrackerDeps } from './stream-tracker.ts';
import { firstBatch } from './subscribe-batch.ts';
import type { RequestReply } from './transport.ts';

/** One user of a stream. The methods may throw; that is reported and harms nobody else. */
export interface StreamConsumer {
  message(envelope: Envelope, tracker: StreamTracker): void;
  stateChanged(tracker: StreamTracker): void;
  gap(gap: GapNotice): void;
  /** Nothing will come any more: `error` says why, if it was not wished for. */
  ended(error?: ClientError): void;
}

type Entry = { tracker: StreamTracker; consumers: Set<StreamConsumer> };
type SubscribeResult = Subscribed | Readonly<{ stream: string; error: WireError }>;
type RegistryDeps = Readonly<{
  now: () => number;
  random: Random;
  /** The window within which the server may put several pushes into one message; without it each comes by itself. */
  batchMs: number | undefined;
  /** A stream is no longer in use; `counters` are its last. */
  onEnded(counters: StreamCounters): void;
  onError(error: ClientError): void;
  /** Streams of a user can only be asked for once it is proved who that is; `askOn` is called then. */
  mayAsk(stream: string): boolean;
}>;

/** Every stream of this client: who uses it, and what has still to be asked of the server. */
export class StreamRegistry {
  readonly #deps: RegistryDeps;
  readonly #connection: () => Connection;
  readonly #entries = new Map<string, Entry>();
  /** Streams to ask for, and the time before which they must not be. Both queues hold a stream at most once. */
  readonly #wanted = new Map<StreamTracker, number>();
  readonly #unwanted = new Set<string>();
  #flushQueued = false;
  #flushTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #trackerDeps: TrackerDeps;

  constructor(deps: RegistryDeps, connection: () => Connection) {
    this.#deps = deps;
    this.#connection = connection;
    this.#trackerDeps = {
      now: deps.now,
      random: deps.random,
      onWanted: (tracker, { delayMs, from }) => {
        if (from === 'snapshot') this.#unwanted.add(tracker.stream);
        this.#want(tracker, delayMs);
      },
      onMessage: (tracker, envelope) => this.#tell(tracker, (consumer) => consumer.message(envelope, tracker)),
      onState: (tracker) => this.#tell(tracker, (consumer) => consumer.stateChanged(tracker)),
      onGap: (tracker, gap) => this.#tell(tracker, (consumer) => consumer.gap(gap)),
      onError: (error) => deps.onError(error),
    };
  }

  get trackers(): readonly StreamTracker[] {
    return [...this.#entries.values()].map((entry) => entry.tracker);
  }

  /** The stream's tracker, shared by all consumers of one name. A late consumer reads the state so far from the keeper. */
  join(stream: string, consumer: StreamConsumer, link: LinkState): StreamTracker {
    let entry = this.#entries.get(stream);
    if (!entry || entry.tracker.refused) {
      const tracker = new StreamTracker(stream, keeperOf(stream), this.#trackerDeps);
      entry = { tracker, consumers: new Set() };
      this.#entries.set(stream, entry);
      tracker.link(link);
      this.#want(tracker, 0);
    }
    entry.consumers.add(consumer);
    return entry.tracker;
  }

  leave(stream: string, consumer: StreamConsumer): void {
    const entry = this.#entries.get(stream);
    if (!entry?.consumers.delete(consumer) || entry.consumers.size > 0) return;
    this.#entries.delete(stream);
    this.#wanted.delete(entry.tracker);
    this.#deps.onEnded(entry.tracker.counters);
    if (entry.tracker.refused || !this.#connection().ready) return;
    this.#unwanted.add(stream);
    this.#queueFlush();
  }

  message(envelope: Envelope): void {
    this.#entries.get(envelope.stream)?.tracker.message(envelope);
  }

  heartbeat(streams: Readonly<Record<string, StreamPosition>>): void {
    for (const [stream, { tracker }] of this.#entries) {
      tracker.heartbeat(Object.hasOwn(streams, stream) ? streams[stream] : undefined);
    }
  }

  link(link: LinkState): void {
    if (link.status === 'closed') this.#forgetQueues();
    for (const { tracker } of this.#entries.values()) tracker.link(link);
  }

  /** On a new connection nothing is subscribed: every stream is asked for, in as few requests as the limits allow. */
  subscribeAll(): void {
    for (const { tracker } of this.#entries.values()) if (!tracker.refused) this.#wanted.set(tracker, 0);
    this.#flush();
  }

  /** More streams may be asked for than before. */
  askOn(): void {
    this.#flush();
  }

  /** These streams will never be had: whoever uses them is told. */
  refuseAll(concerned: (stream: string) => boolean, error: WireError): void {
    for (const { tracker } of this.#entries.values()) {
      if (!concerned(tracker.stream) || tracker.refused) continue;
      this.#wanted.delete(tracker);
      tracker.asked();
      this.#refuse(tracker, error);
    }
  }

  /** The connection will not come back. `wished` tells an end that was asked for from one that is an error. */
  end(reason: ClientError, wished: 'wished' | 'unwished'): void {
    this.#forgetQueues();
    for (const { tracker, consumers } of this.#entries.values()) {
      tracker.fail(reason);
      for (const consumer of consumers) consumer.ended(wished === 'wished' ? undefined : reason);
    }
  }

  #want(tracker: StreamTracker, delayMs: number): void {
    this.#wanted.set(tracker, this.#deps.now() + delayMs);
    this.#queueFlush();
  }

  /** One microtask later, so that many calls in a row become one request. */
  #queueFlush(): void {
    if (this.#flushQueued) return;
    this.#flushQueued = true;
    queueMicrotask(() => {
      this.#flushQueued = false;
      this.#flush();
    });
  }

  #flush(): void {
    clearTimeout(this.#flushTimer);
    const connection = this.#connection();
    if (!connection.ready) return;
    // Leaving goes first: a stream that is left and joined in one go must end up joined.
    while (this.#unwanted.size > 0 && this.#sendUnsubscribe(connection));
    while (this.#unwanted.size === 0 && this.#dueNow().length > 0 && this.#sendSubscribe(connection));
    const nextMs = this.#nextFlushMs(connection);
    if (nextMs !== undefined) this.#flushTimer = setTimeout(() => this.#flush(), nextMs);
  }

  #dueNow(): StreamTracker[] {
    const now = this.#deps.now();
    return [...this.#wanted]
      .filter(([tracker, dueMs]) => dueMs <= now && this.#deps.mayAsk(tracker.stream))
      .map(([tracker]) => tracker);
  }

  #nextFlushMs(connection: Connection): number | undefined {
    const askable = [...this.#wanted].filter(([tracker]) => this.#deps.mayAsk(tracker.stream));
    if (askable.length === 0 && this.#unwanted.size === 0) return undefined;
    const now = this.#deps.now();
    const dueMs = this.#unwanted.size > 0 ? now : Math.min(...askable.map(([, each]) => each));
    return Math.max(1, dueMs - now, connection.waitMs());
  }

  #sendUnsubscribe(connection: Connection): boolean {
    const streams = firstBatch([...this.#unwanted], connection.limits) as readonly string[];
    const sent = connection.request('unsubscribe', { streams }, (reply) => {
      if (!reply.ok) this.#deps.onError(refusalError(reply.error));
    });
    if (sent) for (const stream of streams) this.#unwanted.delete(stream);
    return sent;
  }

  #sendSubscribe(connection: Connection): boolean {
    const due = this.#dueNow();
    const batch = firstBatch(
      due.map((tracker) => tracker.request()),
      connection.limits,
    );
    const asked = due.slice(0, batch.length);
    const { batchMs } = this.#deps;
    const params = { streams: batch, ...(batchMs !== undefined && { batch: { windowMs: batchMs } }) };
    const sent = connection.request('subscribe', params, (reply) => this.#takeReply(asked, reply));
    if (!sent) return false;
    for (const tracker of asked) {
      this.#wanted.delete(tracker);
      tracker.asked();
    }
    return true;
  }

  #takeReply(asked: readonly StreamTracker[], reply: RequestReply): void {
    // A tracker that was closed and opened anew meanwhile has asked for itself.
    const current = asked.filter((tracker) => this.#entries.get(tracker.stream)?.tracker === tracker);
    if (!reply.ok) {
      for (const tracker of current) this.#refuse(tracker, reply.error);
      return;
    }
    const results = new Map(readResults(reply.result).map((result) => [result.stream, result]));
    for (const tracker of current) {
      const result = results.get(tracker.stream);
      if (!result) this.#refuse(tracker, { code: 'internal', message: 'no result for this stream', temporary: true });
      else if ('error' in result) this.#refuse(tracker, result.error);
      else tracker.joined(result);
    }
  }

  #refuse(tracker: StreamTracker, error: WireError): void {
    tracker.refusedWith(error);
    if (!tracker.refused) return;
    const failure = refusalError(error, tracker.stream);
    this.#deps.onError(failure);
    this.#tell(tracker, (consumer) => consumer.ended(failure));
  }

  #tell(tracker: StreamTracker, call: (consumer: StreamConsumer) => void): void {
    const entry = this.#entries.get(tracker.stream);
    if (entry?.tracker !== tracker) return;
    // A copy: a handler may close its subscription or open another.
    const consumers = [...entry.consumers];
    for (const consumer of consumers) {
      if (entry.consumers.has(consumer)) this.#guard(tracker.stream, () => call(consumer));
    }
  }

  #guard(stream: string, call: () => void): void {
    try {
      call();
    } catch (cause) {
      this.#deps.onError(new ClientError('handler_failed', `a handler of ${stream} threw`, { stream, cause }));
    }
  }

  #forgetQueues(): void {
    clearTimeout(this.#flushTimer);
    this.#wanted.clear();
    this.#unwanted.clear();
  }
}

function readResults(result: unknown): readonly SubscribeResult[] {
  const list = isFields(result) ? result.streams : result;
  if (!Array.isArray(list)) return [];
  return list.filter(
    (each): each is SubscribeResult =>
      isFields(each) &&
      typeof each.stream === 'string' &&
      (isWireError(each.error) ||
        (typeof each.epoch === 'string' && typeof each.seq === 'number' && isFields(each.state))),
  );
}
