import type { StreamCache, StreamLease, StreamListener, StreamView } from '../../modules/market/index.ts';
import type { PreparedMessage } from '../../protocol/envelope.ts';
import type { StreamPosition, StreamState } from '../../protocol/messages.ts';
import type { StreamSpec } from '../../protocol/streams.ts';
import type { Codec } from './codec.ts';
import type { Outbound } from './egress.ts';
import { endOfWindow, windowOf } from './flush-window.ts';
import { LiveReceivers } from './live-receivers.ts';
import type { Outbox } from './outbox.ts';

/** The receiving end of subscriptions: one connection's delivery. Both are called synchronously, in the stream's order. */
export interface Recipient {
  readonly outbox: Outbox;
  /** What the outbox does not take in passing. */
  live(subscription: Subscription, message: LiveMessage, nowMs: number): void;
  /** A message that a snapshot will stand for. */
  withheld(): void;
  /** `before`: what live subscriptions had in common until now. */
  reset(subscription: Subscription, before: Standing, nowMs: number): void;
}

/** Where a client stands, and the state that it was told last. */
export type Standing = Readonly<{ at: StreamPosition; told: StreamState | null }>;

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
  /** Where the client stands once everything queued for it has arrived. While it is live: where the topic stands. */
  at: StreamPosition;
  /** The last state that the client was told; null when it is not certain that it has come. While it is live: the topic's. */
  told: StreamState | null;
  /** When the last push was made (monotonic ms) that was not the topic's to all. */
  pushedMs: number;
  /** A conflated stream rests until then (monotonic ms). */
  notBeforeMs: number;
  /** The window within which messages may share one with others; null: each comes by itself. Set by the topic. */
  batchMs: number | null;
  /** Its place among the topic's live ones; -1 when it is not live. */
  row: number;
};

/** One message on its way to all live receivers; each codec's share of the work is done once. */
export class LiveMessage {
  readonly prepared: PreparedMessage;
  /** How receivers stood before it; by now the topic itself may be ahead, when one of them was given a new base in between. */
  readonly before: Standing;
  readonly windowMs: number;
  /** When it leaves at the latest, for receivers that gather. */
  readonly dueMs: number;
  readonly #outbounds: (Outbound | undefined)[] = [];

  constructor(prepared: PreparedMessage, before: Standing, windowMs: number, dueMs: number) {
    this.prepared = prepared;
    this.before = before;
    this.windowMs = windowMs;
    this.dueMs = dueMs;
  }

  by(codec: Codec): Outbound {
    return (this.#outbounds[codec.index] ??= outboundOf(this.prepared, this.before.at, codec, this.windowMs));
  }
}

export function outboundOf(prepared: PreparedMessage, before: StreamPosition, codec: Codec, windowMs = 0): Outbound {
  return { frame: codec.push(prepared), before, tellsState: prepared.message.kind === 'state', windowMs };
}

const NOWHERE: StreamPosition = { epoch: '', seq: 0 };

/** A stream that connections of this process use: one lease, one fan-out loop. */
export class Topic implements StreamListener {
  readonly spec: StreamSpec;
  readonly subscriptions = new Set<Subscription>();
  /** The live ones, by batch window. */
  readonly #live: LiveReceivers[] = [];
  /** Those of slow connections, while snapshots stand for their messages. */
  readonly #conflated = new Set<Subscription>();
  readonly ready: Promise<void>;
  readonly #lease: StreamLease;
  readonly #clockMs: () => number;
  readonly #onFanOut: (prepared: PreparedMessage, receivers: number) => void;
  /** Requests that hold the topic before (or without) subscribing. */
  waiting = 0;
  /** The first head has come. A position alone does not say so: a head whose content was wrong has one too. */
  isReady = false;
  /** Chosen by the stream's own pace. */
  windowMs = 0;
  #messages = 0;
  /** What live subscriptions have in common: where they stand, what state they were told, when they were last sent something. */
  at: StreamPosition | undefined;
  told: StreamState | undefined;
  pushedMs = -Infinity;

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
    const { windowMs } = this;
    const message = new LiveMessage(prepared, this.#standing(), windowMs, endOfWindow(nowMs, windowMs));
    for (const { recipient } of this.#conflated) recipient.withheld();
    for (const receivers of this.#live) receivers.deliver(message, nowMs);
    this.at = prepared.message;
    this.pushedMs = nowMs;
    if (prepared.message.kind === 'state') this.told = prepared.message.data as StreamState;
    this.#onFanOut(prepared, this.subscriptions.size);
  }

  onReset(): void {
    const nowMs = this.#clockMs();
    const before = this.#standing();
    for (const subscription of this.subscriptions) subscription.recipient.reset(subscription, before, nowMs);
  }

  /** From now on it gets every message as it comes; it stands at `position` and was told the view's state. */
  goLive(subscription: Subscription, position: StreamPosition): void {
    this.at = position;
    this.told = this.view.state;
    subscription.phase = 'live';
    this.#conflated.delete(subscription);
    this.#receivers(subscription.batchMs).add(subscription);
  }

  /** The caller gives it a phase of its own. */
  endLive(subscription: Subscription): void {
    if (subscription.phase === 'live') this.#receivers(subscription.batchMs).remove(subscription);
  }

  conflate(subscription: Subscription): void {
    this.#conflated.add(subscription);
  }

  /** No longer one of this topic's. */
  remove(subscription: Subscription): void {
    this.endLive(subscription);
    this.#conflated.delete(subscription);
    this.subscriptions.delete(subscription);
    subscription.phase = 'ended';
  }

  setBatch(subscription: Subscription, batchMs: number | null): void {
    if (subscription.batchMs === batchMs) return;
    this.endLive(subscription);
    subscription.batchMs = batchMs;
    if (subscription.phase === 'live') this.#receivers(batchMs).add(subscription);
  }

  /** There are few windows: what clients may ask for is bounded. */
  #receivers(batchMs: number | null): LiveReceivers {
    let receivers = this.#live.find((each) => each.batchMs === batchMs);
    if (receivers === undefined) {
      receivers = new LiveReceivers(batchMs);
      this.#live.push(receivers);
    }
    return receivers;
  }

  /** Chooses the window by the stream's own pace; called regularly, `elapsedMs` after the last time. */
  pace(elapsedMs: number, longestMs: number): void {
    this.windowMs = windowOf(this.#messages / (elapsedMs / 1_000), longestMs);
    this.#messages = 0;
  }

  /** Nobody is live before the first base has been given, and that sets it. */
  #standing(): Standing {
    return { at: this.at ?? NOWHERE, told: this.told ?? null };
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

/** Where the client of a subscription stands once everything queued for it has arrived. */
export function positionOf({ phase, topic, at }: Subscription): StreamPosition {
  return phase === 'live' ? topic.at! : at;
}

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
    subscription.topic.remove(subscription);
    this.#releaseUnused(subscription.topic);
  }

  #releaseUnused(topic: Topic): void {
    if (topic.waiting > 0 || topic.subscriptions.size > 0) return;
    this.#byName.delete(topic.spec.name);
    topic.release();
  }
}
