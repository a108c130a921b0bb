import type { Clock } from '../../kernel/clock.ts';
import type { UserLog, Valuations } from '../../modules/portfolio/index.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { wireError } from '../../protocol/errors.ts';
import type { StreamPosition, SubscribeFailed, Subscribed } from '../../protocol/messages.ts';
import { PRIVATE_STREAMS, VALUATION_STREAM } from '../../protocol/trading.ts';
import type { PrivateStream } from '../../protocol/trading.ts';
import { LogSubscription, readStart } from './log-subscription.ts';
import type { LogStart, PrivateOutlet } from './log-subscription.ts';
import { UserTopics } from './user-topic.ts';
import type { UserTopic } from './user-topic.ts';
import { ValuationSubscription } from './valuation-subscription.ts';
import { ValuationTopics } from './valuation-topic.ts';
import type { ValuationTopic } from './valuation-topic.ts';

const RETRY_AFTER_MS = 1_000;

/** A stream that was asked for. */
export type PendingStream = Readonly<{
  /** What the client is owed has been read, or cannot be. Never rejects. */
  ready: Promise<void>;
  /** Joins in one synchronous step and sends nothing: the reply goes first. */
  place(): Subscribed | SubscribeFailed;
  /** To be called once after `place`, or instead of it. */
  letGo(): void;
}>;
type PreparedStream = Omit<PendingStream, 'ready'>;
export type PrivateStreamsDeps = Readonly<{
  userLog: UserLog;
  valuations?: Valuations;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}>;

export function isPrivateStream(name: string): boolean {
  return name === VALUATION_STREAM || (PRIVATE_STREAMS as readonly string[]).includes(name);
}

/** The private streams of all connections of this process. */
export class PrivateStreams {
  readonly #deps: PrivateStreamsDeps;
  readonly #topics: UserTopics;
  readonly #valuations: ValuationTopics | null;
  readonly #sinceMs: number;
  readonly #lags: ReturnType<Metrics['counter']>;

  constructor(deps: PrivateStreamsDeps) {
    this.#deps = deps;
    this.#topics = new UserTopics(deps.userLog, () => deps.clock.now());
    const { valuations, clock } = deps;
    this.#valuations = valuations === undefined ? null : new ValuationTopics({ valuations, clock });
    this.#sinceMs = deps.clock.now();
    const { metrics } = deps;
    metrics.collectedGauge('gateway_private_users', 'Users whose log connections of this process follow', [], () => [
      [{}, this.#topics.size],
    ]);
    this.#lags = metrics.counter('gateway_private_lags_total', 'Private streams that went back to reading the log', []);
  }

  open(userId: string, outlet: PrivateOutlet): UserStreams {
    return new UserStreams(userId, outlet, this);
  }

  prepare(streams: UserStreams, stream: string, since: StreamPosition | undefined): PendingStream {
    let prepared: PreparedStream | null = null;
    let left = false;
    const reading =
      stream === VALUATION_STREAM
        ? this.#prepareValuation(streams, since)
        : this.#prepareLog(streams, stream as PrivateStream, since);
    return {
      ready: reading.then((read) => {
        prepared = read;
        if (left) read.letGo();
      }),
      place: () => prepared?.place() ?? { stream, error: wireError('overloaded', undefined, RETRY_AFTER_MS) },
      letGo() {
        left = true;
        prepared?.letGo();
      },
    };
  }

  release(subscription: LogSubscription | ValuationSubscription): void {
    subscription.end();
    if (subscription instanceof LogSubscription) this.#topics.letGo(subscription.topic);
    else this.#valuations?.letGo(subscription.topic);
  }

  stop(): void {
    this.#topics.stop();
    this.#valuations?.stop();
  }

  async #prepareLog(
    streams: UserStreams,
    stream: PrivateStream,
    since: StreamPosition | undefined,
  ): Promise<PreparedStream> {
    const { userLog: log, clock } = this.#deps;
    const topic = this.#topics.hold(streams.userId);
    const letGo = (): void => this.#topics.letGo(topic);
    const known = streams.get(stream);
    // Asked for again: the reply tells the position and nothing follows.
    if (known !== undefined && since === undefined) {
      return { letGo, place: () => this.#subscribed(stream, known.position, true) };
    }
    let start: LogStart;
    try {
      await topic.ready;
      start = await readStart(log, streams.userId, stream, since, clock.now());
    } catch (error) {
      return this.#failed(stream, error, letGo);
    }
    const place = (): Subscribed => {
      const joined = streams.join(stream, () => this.#joinLog(streams, stream, topic)) as LogSubscription;
      joined.start(start);
      return this.#subscribed(stream, { epoch: log.epoch, seq: start.seq }, start.recovered);
    };
    return { letGo, place };
  }

  #joinLog(streams: UserStreams, stream: PrivateStream, topic: UserTopic): LogSubscription {
    topic.holders += 1;
    const { userLog: log, clock } = this.#deps;
    const { outlet } = streams;
    const onLag = (): void => this.#lags.inc({});
    return new LogSubscription({ stream, topic, log, outlet, onLag, now: () => clock.now() });
  }

  async #prepareValuation(streams: UserStreams, since: StreamPosition | undefined): Promise<PreparedStream> {
    const stream = VALUATION_STREAM;
    const topics = this.#valuations;
    if (topics === null) return { letGo: () => {}, place: () => ({ stream, error: wireError('unknown_stream') }) };
    const topic = topics.hold(streams.userId);
    const letGo = (): void => topics.letGo(topic);
    const known = streams.get(stream);
    if (known !== undefined && since === undefined) {
      return { letGo, place: () => this.#subscribed(stream, known.position, true) };
    }
    await topic.ready;
    const place = (): Subscribed => {
      const joined = streams.join(stream, () => this.#joinValuation(streams, topic)) as ValuationSubscription;
      const recovered = joined.start(since);
      return this.#subscribed(stream, topic.position, recovered);
    };
    return { letGo, place };
  }

  #joinValuation(streams: UserStreams, topic: ValuationTopic): ValuationSubscription {
    topic.holders += 1;
    return new ValuationSubscription(topic, streams.outlet);
  }

  #subscribed(stream: string, { epoch, seq }: StreamPosition, recovered: boolean): Subscribed {
    return { stream, epoch, seq, recovered, state: { status: 'live', since: this.#sinceMs, reason: '' } };
  }

  #failed(stream: string, error: unknown, letGo: () => void): PreparedStream {
    this.#deps.log.warn({ event: 'private_stream_failed', stream, err: error });
    return { letGo, place: () => ({ stream, error: wireError('overloaded', undefined, RETRY_AFTER_MS) }) };
  }
}

/** The private streams of one connection, which belongs to one user until it ends. */
export class UserStreams {
  readonly userId: string;
  readonly outlet: PrivateOutlet;
  readonly #all: PrivateStreams;
  readonly #byName = new Map<string, LogSubscription | ValuationSubscription>();

  constructor(userId: string, outlet: PrivateOutlet, all: PrivateStreams) {
    this.userId = userId;
    this.outlet = outlet;
    this.#all = all;
  }

  get names(): readonly string[] {
    return [...this.#byName.keys()];
  }

  prepare(stream: string, since: StreamPosition | undefined): PendingStream {
    return this.#all.prepare(this, stream, since);
  }

  get(stream: string): LogSubscription | ValuationSubscription | undefined {
    return this.#byName.get(stream);
  }

  join(stream: string, create: () => LogSubscription | ValuationSubscription): LogSubscription | ValuationSubscription {
    const known = this.#byName.get(stream);
    if (known !== undefined) return known;
    const created = create();
    this.#byName.set(stream, created);
    return created;
  }

  leave(stream: string): boolean {
    const subscription = this.#byName.get(stream);
    if (subscription === undefined) return false;
    this.#byName.delete(stream);
    this.#all.release(subscription);
    return true;
  }

  leaveAll(): void {
    for (const stream of this.names) this.leave(stream);
  }

  pump(): void {
    for (const subscription of this.#byName.values()) subscription.pump();
  }

  positions(): (StreamPosition & { stream: string })[] {
    return [...this.#byName].map(([stream, { position }]) => ({ stream, ...position }));
  }

  /** Positions of the streams that sent nothing since the last call. */
  takeQuiet(): Record<string, StreamPosition> {
    const quiet: Record<string, StreamPosition> = {};
    for (const [stream, subscription] of this.#byName) {
      const position = subscription.takeQuiet();
      if (position !== null) quiet[stream] = position;
    }
    return quiet;
  }
}
