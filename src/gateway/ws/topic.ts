import type { StreamCache, StreamLease, StreamListener, StreamView } from '../../modules/market/index.ts';
import type { PreparedMessage } from '../../protocol/envelope.ts';
import type { StreamPosition, StreamState } from '../../protocol/messages.ts';
import type { StreamSpec } from '../../protocol/streams.ts';
import { AT_ONCE } from './egress.ts';
import { endOfWindow, windowOf } from './flush-window.ts';

/** The receiving end of subscriptions: one connection's delivery. Both are called synchronously, in the stream's order. */
export interface Recipient {
  live(subscription: Subscription, prepared: PreparedMessage, nowMs: number): void;
  reset(subscription: Subscription, nowMs: number): void;
}

/** Why a subscription needs a new base rather than the next message. */
export type BaseCause = 'fresh' | 'expired' | 'upstream' | 'slow_consumer';

/**
 * One connection's hold on one stream.
 * `live`: gets every message as it comes. `replay`: owed what follows `at`. `base`: owed a snapshot (or a gap). `ended`: left.
 */
export type Subscription = {
  readonly topic: Topic;
  readonly recipient: Recipient;
  phase: 'live' | 'replay' | 'base' | 'ended';
  cause: BaseCause;
  /** Where the client stands once everything queued for it has arrived. */
  at: StreamPosition;
  /** The last state that the client was told; null when it is not certain that it has come. */
  told: StreamState | null;
  /** The connection's heartbeat interval in which the last push was made. */
  pushedBeat: number;
  /** A conflated stream rests until then (monotonic ms). */
  notBeforeMs: number;
  /** The window within which messages may share one with others; null: each comes by itself. */
  batchMs: number | null;
};

/** A stream that connections of this process use: one lease, one fan-out loop. */
export class Topic implements StreamListener {
  readonly spec: StreamSpec;
  readonly subscriptions = new Set<Subscription>();
  readonly ready: Promise<void>;
  readonly #lease: StreamLease;
  readonly #clockMs: () => number;
  readonly #onFanOut: (prepared: PreparedMessage, receivers: number) => void;
  /** Requests that hold the topic before (or without) subscribing. */
  waiting = 0;
  /** The first head has come. A position alone does not say so: a head whose content was wrong has one too. */
  isReady = false;
  /** When the message at hand leaves at the latest, for receivers that gather. */
  dueMs = AT_ONCE;
  #windowMs = 0;
  #messages = 0;

  constructor(spec: StreamSpec, setup: TopicSetup) {
    this.spec = spec;
    this.#clockMs = setup.clockMs;
    this.#onFanOut = setup.onFanOut;
    this.#lease = setup.cache.lease(spec.name, this);
    this.ready = this.#lease.ready.then(() => {
      this.isReady = true;
    });
  }

  get view(): StreamView {
    return this.#lease.view;
  }

  onMessage(prepared: PreparedMessage): void {
    if (this.subscriptions.size === 0) return;
    const nowMs = this.#clockMs();
    this.#messages += 1;
    this.dueMs = endOfWindow(nowMs, this.#windowMs);
    for (const subscription of this.subscriptions) subscription.recipient.live(subscription, prepared, nowMs);
    this.#onFanOut(prepared, this.subscriptions.size);
  }

  onReset(): void {
    const nowMs = this.#clockMs();
    for (const subscription of this.subscriptions) subscription.recipient.reset(subscription, nowMs);
  }

  /** Chooses the window by the stream's own pace; called regularly, `elapsedMs` after the last time. */
  pace(elapsedMs: number, longestMs: number): void {
    this.#windowMs = windowOf(this.#messages / (elapsedMs / 1_000), longestMs);
    this.#messages = 0;
  }

  release(): void {
    this.#lease.release();
  }
}

export type TopicSetup = Readonly<{
  cache: StreamCache;
  clockMs: () => number;
  onFanOut: (prepared: PreparedMessage, receivers: number) => void;
}>;

/** The streams in use. A topic lives while somebody subscribes to it or waits for it. */
export class Topics {
  readonly #setup: TopicSetup;
  readonly #byName = new Map<string, Topic>();

  constructor(setup: TopicSetup) {
    this.#setup = setup;
  }

  [Symbol.iterator](): Iterator<Topic> {
    return this.#byName.values();
  }

  get size(): number {
    return this.#byName.size;
  }

  /** To be given back with `letGo`, whether or not a subscription came of it. */
  hold(spec: StreamSpec): Topic {
    let topic = this.#byName.get(spec.name);
    if (topic === undefined) {
      topic = new Topic(spec, this.#setup);
      this.#byName.set(spec.name, topic);
    }
    topic.waiting += 1;
    return topic;
  }

  letGo(topic: Topic): void {
    topic.waiting -= 1;
    this.#releaseUnused(topic);
  }

  leave(subscription: Subscription): void {
    subscription.phase = 'ended';
    subscription.topic.subscriptions.delete(subscription);
    this.#releaseUnused(subscription.topic);
  }

  #releaseUnused(topic: Topic): void {
    if (topic.waiting > 0 || topic.subscriptions.size > 0) return;
    this.#byName.delete(topic.spec.name);
    topic.release();
  }
}
