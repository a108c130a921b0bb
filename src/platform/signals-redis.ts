import { randomUUID } from 'node:crypto';
import { RedisLink } from './bus-redis-link.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { SignalTopic, Signals } from './signals.ts';
import type { SignalDrop } from './signals-memory.ts';
import { MemorySignals, fitsSignal, signalHandlers } from './signals-memory.ts';

/** Milliseconds. Tests shorten them. */
export const REDIS_SIGNAL_TIMINGS = {
  beatMs: 1_000,
  /** Our own echo must come back within this, or the subscriber connection is replaced. */
  echoLateMs: 4_000,
} as const;
export type RedisSignalTimings = { readonly [K in keyof typeof REDIS_SIGNAL_TIMINGS]: number };

export type RedisSignalsSetup = Readonly<{
  url: string;
  nodeId: string;
  log: Log;
  metrics: Metrics;
  timings?: Partial<RedisSignalTimings>;
}>;

const PREFIX = 'tidewire:signals:';
/** Between the sender and the text; senders have none in their name. */
const SEPARATOR = '\n';

/** Resolves after the first attempt to connect; without Redis the signals of this process still go round. */
export async function openRedisSignals(setup: RedisSignalsSetup): Promise<Signals> {
  const signals = new RedisSignals(setup);
  await signals.start();
  return signals;
}

/** Redis keeps nothing: what is published while somebody does not hear is lost, as the port says. */
class RedisSignals implements Signals {
  readonly #timings: RedisSignalTimings;
  readonly #sender: string;
  readonly #echoChannel: string;
  readonly #log: Log;
  readonly #drop: (reason: SignalDrop) => void;
  readonly #local: MemorySignals;
  readonly #in: RedisLink;
  readonly #out: RedisLink;
  /** Local subscriptions by topic. */
  readonly #wanted = new Map<SignalTopic, number>();
  /** Channels that Redis has confirmed on this connection. */
  readonly #heard = new Set<string>();
  /** Channels left while a subscription was under way: whether Redis still has them for us depends on which came first. */
  readonly #leftMeanwhile = new Set<string>();
  #listening = false;
  #listenAttempt: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #echoedMs = -Infinity;

  constructor(setup: RedisSignalsSetup) {
    this.#timings = { ...REDIS_SIGNAL_TIMINGS, ...setup.timings };
    this.#sender = `${setup.nodeId}/${randomUUID().slice(0, 8)}`;
    this.#echoChannel = `${PREFIX}echo:${this.#sender}`;
    this.#log = setup.log;
    const handlers = signalHandlers(setup);
    this.#drop = handlers.onDrop;
    this.#local = new MemorySignals(handlers);
    this.#out = new RedisLink(setup.url, `tidewire-signals-out-${setup.nodeId}`, {
      onUp: () => this.#echo(),
      onDown: (reason) => this.#onDown('out', reason),
    });
    this.#in = new RedisLink(setup.url, `tidewire-signals-in-${setup.nodeId}`, {
      onUp: () => {
        this.#listenAttempt = this.#listen();
      },
      onDown: (reason) => this.#onDown('in', reason),
      onText: (channel, text) => this.#onText(channel, text),
    });
    setup.metrics.collectedGauge('signals_degraded', '1 while hints between processes are in doubt', [], () => [
      [{}, this.health === 'ok' ? 0 : 1],
    ]);
  }

  get health(): 'ok' | 'degraded' {
    const echoed = performance.now() - this.#echoedMs < this.#timings.echoLateMs;
    return this.#in.up && this.#out.up && this.#everythingHeard() && echoed ? 'ok' : 'degraded';
  }

  async start(): Promise<void> {
    await Promise.all([this.#in.start(), this.#out.start()]);
    await this.#listenAttempt;
    if (!this.#in.up || !this.#out.up) this.#log.warn({ event: 'signals_degraded', reason: this.#out.lastError });
    this.#timer = setInterval(() => this.#beat(), this.#timings.beatMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#in.stop();
    this.#out.stop();
    await this.#local.stop();
  }

  publish(topic: SignalTopic, text: string): void {
    this.#local.publish(topic, text);
    if (fitsSignal(text)) this.#send(PREFIX + topic, text);
    // Without a local listener nobody has counted it yet.
    else if (!this.#wanted.has(topic)) this.#drop('too_long');
  }

  subscribe(topic: SignalTopic, listener: (text: string) => void): () => void {
    const end = this.#local.subscribe(topic, listener);
    const count = (this.#wanted.get(topic) ?? 0) + 1;
    this.#wanted.set(topic, count);
    if (count === 1) void this.#listen();
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      end();
      this.#leave(topic);
    };
  }

  #leave(topic: SignalTopic): void {
    const rest = this.#wanted.get(topic)! - 1;
    if (rest > 0) {
      this.#wanted.set(topic, rest);
      return;
    }
    this.#wanted.delete(topic);
    this.#heard.delete(PREFIX + topic);
    if (this.#listening) this.#leftMeanwhile.add(PREFIX + topic);
    void this.#in.unsubscribe(PREFIX + topic);
  }

  #send(channel: string, text: string): void {
    const dropped = this.#out.publish(channel, this.#sender + SEPARATOR + text);
    if (dropped !== null) this.#drop(dropped);
  }

  #onText(channel: string, frame: string): void {
    if (channel === this.#echoChannel) {
      this.#echoedMs = performance.now();
      return;
    }
    const end = frame.indexOf(SEPARATOR);
    // Our own were told when they were published.
    if (end < 0 || frame.slice(0, end) === this.#sender) return;
    this.#local.publish(channel.slice(PREFIX.length) as SignalTopic, frame.slice(end + SEPARATOR.length));
  }

  #channels(): string[] {
    return [this.#echoChannel, ...[...this.#wanted.keys()].map((topic) => PREFIX + topic)];
  }

  #everythingHeard(): boolean {
    return this.#channels().every((channel) => this.#heard.has(channel));
  }

  /** Subscribes to what is wanted and not confirmed yet. */
  async #listen(): Promise<void> {
    if (this.#listening) return;
    this.#listening = true;
    try {
      for (;;) {
        const missing = this.#channels().filter((channel) => !this.#heard.has(channel));
        this.#leftMeanwhile.clear();
        if (missing.length === 0 || !(await this.#in.subscribe(missing))) return;
        for (const channel of missing) if (!this.#leftMeanwhile.has(channel)) this.#heard.add(channel);
        if (missing.includes(this.#echoChannel)) this.#echoedMs = performance.now();
        this.#echo();
      }
    } finally {
      this.#listening = false;
    }
  }

  #echo(): void {
    if (this.#out.up) this.#send(this.#echoChannel, '');
  }

  #onDown(link: 'in' | 'out', reason: string): void {
    if (link === 'in') this.#heard.clear();
    this.#log.warn({ event: 'signals_link_down', link, reason });
  }

  #beat(): void {
    this.#in.ping();
    this.#out.ping();
    if (!this.#in.up) return;
    void this.#listen();
    this.#echo();
    const deaf = this.#heard.has(this.#echoChannel) && this.#out.up;
    if (!deaf || performance.now() - this.#echoedMs < this.#timings.echoLateMs) return;
    this.#log.warn({ event: 'signals_deaf', reason: 'our own echo does not come back' });
    this.#echoedMs = performance.now();
    this.#in.recycle();
  }
}
