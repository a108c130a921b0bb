import { randomUUID } from 'node:crypto';
import { assert } from '../kernel/assert.ts';
import type { StreamMessage } from '../protocol/messages.ts';
import type { BusSink, BusSubscription, MarketBus, StreamHead, StreamSource } from './bus.ts';
import { MemoryBus } from './bus-memory.ts';
import { FeedSide } from './bus-redis-feed.ts';
import type { BusChannels } from './bus-redis-frames.ts';
import { busChannels, parseDataFrame, parseFeedFrame, parseWantFrame } from './bus-redis-frames.ts';
import { GatewaySide } from './bus-redis-gateway.ts';
import { RedisLink } from './bus-redis-link.ts';
import { SendWindow } from './bus-redis-window.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/**
 * A gateway hears all of a partition in which it wants one stream. Where 500 streams are published and it wants 50, it receives
 * ten times its own with 16 partitions, 1.4 times with 1,024 and 1.1 times with these. The price: a beat a second for each
 * partition in use that is quiet.
 */
export const DEFAULT_PARTITIONS = 4_096;
const PARTITIONS_LIMIT = 16_384;

/** Milliseconds. Tests shorten them; all processes of one installation use the same. */
export const REDIS_BUS_TIMINGS = {
  /** Feeds beat, everyone checks. */
  beatMs: 1_000,
  feedSilenceMs: 5_000,
  /** A gateway's interest ends so long after its last renewal. */
  wantTtlMs: 30_000,
  renewMs: 10_000,
  headRetryMs: 2_000,
  /** Our own echo must come back within this, or the subscriber connection is replaced. */
  echoLateMs: 4_000,
} as const;
export type RedisBusTimings = { readonly [K in keyof typeof REDIS_BUS_TIMINGS]: number };

export type RedisBusSetup = Readonly<{
  url: string;
  /** Stays the same through restarts of one process and differs between processes. */
  nodeId: string;
  log: Log;
  metrics: Metrics;
  /** The same in all processes. */
  partitions?: number;
  timings?: Partial<RedisBusTimings>;
}>;

export function createRedisBus(setup: RedisBusSetup): MarketBus {
  return new RedisBus(setup);
}

/** What a caller of `open` holds; where it leads may change when this process turns out to serve the stream itself. */
type Opened = { readonly stream: string; readonly sink: BusSink; inner: BusSubscription };

/**
 * Streams that this process serves go round in memory and work without Redis; the others come over Redis pub/sub.
 * Redis keeps nothing: whatever is lost there is asked for again at the feeds.
 */
class RedisBus implements MarketBus {
  readonly #timings: RedisBusTimings;
  readonly #nodeRun: string;
  readonly #channels: BusChannels;
  readonly #local: MemoryBus;
  readonly #remote = new Set<Opened>();
  readonly #out: RedisLink;
  readonly #window = new SendWindow((channel, text) => this.#sendNow(channel, text));
  readonly #in: RedisLink;
  readonly #feedSide: FeedSide;
  readonly #gatewaySide: GatewaySide;
  readonly #log: Log;
  readonly #count: BusCounters;
  readonly #localStreams = new Set<string>();
  #source: StreamSource | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ticks = 0;
  #listening = false;
  #listenAttempt: Promise<void> | undefined;
  #echoedMs = -Infinity;

  constructor(setup: RedisBusSetup) {
    const partitions = setup.partitions ?? DEFAULT_PARTITIONS;
    assert(
      Number.isInteger(partitions) && partitions > 0 && partitions <= PARTITIONS_LIMIT,
      'bus: bad partition count',
    );
    this.#timings = { ...REDIS_BUS_TIMINGS, ...setup.timings };
    this.#nodeRun = `${setup.nodeId}/${randomUUID().slice(0, 8)}`;
    this.#channels = busChannels(partitions);
    this.#log = setup.log;
    this.#count = busCounters(setup.metrics);
    const onSinkError = (error: unknown, stream: string): void => {
      this.#count.sinkErrors.inc({});
      this.#log.error({ event: 'bus_sink_error', stream, err: error });
    };
    this.#local = new MemoryBus({ onError: onSinkError });
    this.#out = new RedisLink(setup.url, `tidewire-out-${setup.nodeId}`, {
      onUp: () => this.#onLinkUp('out'),
      onDown: (reason) => this.#onLinkDown('out', reason),
    });
    this.#in = new RedisLink(setup.url, `tidewire-in-${setup.nodeId}`, {
      onUp: () => this.#onLinkUp('in'),
      onDown: (reason) => this.#onLinkDown('in', reason),
      onText: (channel, text) => this.#guard(channel, text),
    });
    this.#feedSide = this.#makeFeedSide(partitions);
    this.#gatewaySide = this.#makeGatewaySide(partitions, onSinkError);
    setup.metrics.collectedGauge('bus_streams', 'Streams on the bus by direction', ['direction'], () => [
      [{ direction: 'served' }, this.#feedSide.streams],
      [{ direction: 'received' }, this.#gatewaySide.streams],
    ]);
    setup.metrics.collectedGauge('bus_window_ms', 'How long messages wait for each other before they leave', [], () => [
      [{}, this.#feedSide.windowMs],
    ]);
    setup.metrics.collectedGauge('bus_feeds', 'Feeds heard', [], () => [[{}, this.#gatewaySide.feeds]]);
    setup.metrics.collectedGauge('bus_degraded', '1 while remote delivery is in doubt', [], () => [
      [{}, this.health === 'ok' ? 0 : 1],
    ]);
  }

  get health(): 'ok' | 'degraded' {
    const echoed = performance.now() - this.#echoedMs < this.#timings.echoLateMs;
    return this.#out.up && this.#in.up && this.#listening && echoed ? 'ok' : 'degraded';
  }

  async start(): Promise<void> {
    await Promise.all([this.#out.start(), this.#in.start()]);
    await this.#listenAttempt;
    if (!this.#out.up || !this.#in.up) {
      this.#log.warn({ event: 'bus_degraded', reason: this.#out.lastError });
    }
    this.#timer = setInterval(() => this.#tick(), this.#timings.beatMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#source !== undefined) this.#feedSide.bye();
    this.#gatewaySide.stop();
    this.#feedSide.stop();
    this.#window.flush();
    await this.#local.stop();
    this.#out.stop();
    this.#in.stop();
  }

  serve(source: StreamSource): void {
    assert(this.#source === undefined, 'bus: a source is registered already');
    this.#source = source;
    this.#local.serve({
      open: (stream) => {
        this.#localStreams.add(stream);
        return source.open(stream);
      },
      close: (stream) => {
        this.#localStreams.delete(stream);
        if (!this.#feedSide.holds(stream)) source.close(stream);
      },
    });
    for (const opened of this.#remote) {
      if (source.open(opened.stream) === null) continue;
      this.#remote.delete(opened);
      opened.inner.close();
      opened.inner = this.#local.open(opened.stream, opened.sink);
    }
    if (this.#in.up) void this.#listen();
  }

  publish(message: StreamMessage): void {
    this.#local.publish(message);
    this.#feedSide.publish(message);
  }

  open(stream: string, sink: BusSink): BusSubscription {
    if (this.#source !== undefined && this.#source.open(stream) !== null) return this.#local.open(stream, sink);
    const opened: Opened = { stream, sink, inner: this.#gatewaySide.open(stream, sink) };
    this.#remote.add(opened);
    return {
      close: () => {
        this.#remote.delete(opened);
        opened.inner.close();
      },
    };
  }

  setPatience(ms: number): void {
    this.#gatewaySide.setPatience(ms);
  }

  #makeFeedSide(partitions: number): FeedSide {
    return new FeedSide({
      nodeRun: this.#nodeRun,
      partitions,
      channels: this.#channels,
      wantTtlMs: this.#timings.wantTtlMs,
      monotonic: () => performance.now(),
      open: (stream): StreamHead | null => this.#source?.open(stream) ?? null,
      close: (stream) => {
        if (!this.#localStreams.has(stream)) this.#source?.close(stream);
      },
      send: (channel, text) => this.#send(channel, text),
      backlogBytes: () => this.#out.backlogBytes,
      onRefused: () => this.#count.dropped.inc({ reason: 'lease_limit' }),
    });
  }

  #makeGatewaySide(partitions: number, onSinkError: (error: unknown, stream: string) => void): GatewaySide {
    return new GatewaySide({
      nodeRun: this.#nodeRun,
      partitions,
      channels: this.#channels,
      feedSilenceMs: this.#timings.feedSilenceMs,
      headRetryMs: this.#timings.headRetryMs,
      monotonic: () => performance.now(),
      isUp: () => this.#in.up && this.#out.up && this.#listening,
      send: (channel, text) => this.#send(channel, text),
      subscribe: (channel) => this.#in.subscribe([channel]),
      unsubscribe: (channel) => this.#in.unsubscribe(channel),
      onLost: (reason) => this.#count.lost.inc({ reason }),
      onSinkError,
    });
  }

  #send(channel: string, text: string): void {
    this.#window.add(channel, text, this.#feedSide.windowMs);
  }

  #sendNow(channel: string, text: string): void {
    this.#count.sent.inc({}, text.length);
    const dropped = this.#out.publish(channel, text);
    if (dropped !== null) this.#count.dropped.inc({ reason: dropped });
  }

  #onLinkUp(link: 'in' | 'out'): void {
    this.#log.info({ event: 'bus_link_up', link });
    if (link === 'in') this.#listenAttempt = this.#listen();
    else if (this.#listening) this.#onBothUp();
  }

  #onLinkDown(link: 'in' | 'out', reason: string): void {
    this.#log.warn({ event: 'bus_link_down', link, reason });
    if (link === 'out') return;
    this.#listening = false;
    this.#gatewaySide.onDown();
  }

  /** The channels that this process always hears; the partitions come with the streams. */
  async #listen(): Promise<void> {
    const channels = [this.#channels.feeds, this.#channels.echo(this.#nodeRun)];
    if (this.#source !== undefined) channels.push(this.#channels.wants);
    if (!(await this.#in.subscribe(channels))) return;
    this.#listening = true;
    this.#echoedMs = performance.now();
    if (this.#out.up) this.#onBothUp();
  }

  #onBothUp(): void {
    this.#echo();
    // Gateways that asked before we could hear, or missed what we could not send, ask again.
    if (this.#source !== undefined) this.#feedSide.hello();
    this.#gatewaySide.onUp();
  }

  /** Whatever comes in, nothing goes out: an exception here would end the process. */
  #guard(channel: string, text: string): void {
    try {
      this.#onText(channel, text);
    } catch (error) {
      this.#count.garbage.inc({ channel: 'fault' });
      this.#log.error({ event: 'bus_frame_fault', channel, err: error });
    }
  }

  #onText(channel: string, text: string): void {
    this.#count.received.inc({}, text.length);
    if (channel === this.#channels.echo(this.#nodeRun)) {
      this.#echoedMs = performance.now();
      return;
    }
    const partition = this.#channels.partitionOf(channel);
    if (partition !== undefined) {
      const frame = parseDataFrame(text);
      if (frame === null) this.#count.garbage.inc({ channel: 'partition' });
      else this.#gatewaySide.onData(partition, frame);
    } else if (channel === this.#channels.feeds) {
      const frame = parseFeedFrame(text);
      if (frame === null) this.#count.garbage.inc({ channel: 'feeds' });
      else if (frame.f !== this.#nodeRun) this.#gatewaySide.onFeed(frame);
    } else if (channel === this.#channels.wants) {
      const frame = parseWantFrame(text);
      if (frame === null) this.#count.garbage.inc({ channel: 'wants' });
      else if (frame.g !== this.#nodeRun) this.#feedSide.onWant(frame);
    }
  }

  #tick(): void {
    this.#ticks += 1;
    this.#in.ping();
    this.#out.ping();
    if (this.#in.up && !this.#listening) void this.#listen();
    this.#echo();
    if (this.#listening && this.#out.up && performance.now() - this.#echoedMs >= this.#timings.echoLateMs) {
      this.#log.warn({ event: 'bus_deaf', reason: 'our own echo does not come back' });
      this.#echoedMs = performance.now();
      this.#in.recycle();
    }
    this.#feedSide.tick();
    this.#gatewaySide.tick();
    if ((this.#ticks * this.#timings.beatMs) % this.#timings.renewMs < this.#timings.beatMs) this.#gatewaySide.renew();
  }

  #echo(): void {
    if (this.#listening) this.#send(this.#channels.echo(this.#nodeRun), '{}');
  }
}

type Counter = ReturnType<Metrics['counter']>;
type BusCounters = Readonly<{
  sent: Counter;
  received: Counter;
  dropped: Counter;
  garbage: Counter;
  lost: Counter;
  sinkErrors: Counter;
}>;

function busCounters(metrics: Metrics): BusCounters {
  return {
    sent: metrics.counter('bus_sent_bytes_total', 'Frames given to Redis, in bytes'),
    received: metrics.counter('bus_received_bytes_total', 'Frames received from Redis, in bytes'),
    dropped: metrics.counter('bus_dropped_total', 'Frames that could not be sent, by why', ['reason']),
    garbage: metrics.counter('bus_garbage_total', 'Frames from the bus that made no sense', ['channel']),
    lost: metrics.counter('bus_lost_total', 'Streams that lost continuity on the bus, by why', ['reason']),
    sinkErrors: metrics.counter('bus_sink_errors_total', 'Receivers of the bus that threw'),
  };
}
