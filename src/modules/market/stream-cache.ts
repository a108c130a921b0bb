import type { Clock } from '../../kernel/clock.ts';
import type { MarketBus } from '../../platform/bus.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { PreparedMessage } from '../../protocol/envelope.ts';
import type { StreamPosition, StreamState } from '../../protocol/messages.ts';
import type { CachedStreamSetup } from './cached-stream.ts';
import { CachedStream } from './cached-stream.ts';
import type { Retention } from './retained-messages.ts';

/**
 * A gateway's own copy of the streams that its clients use: current state, and the last messages for resume.
 * HTTP and both socket doors read the same copy, so a REST snapshot and a socket snapshot at one seq are equal.
 */
export interface StreamView {
  readonly stream: string;
  /** Undefined until the first head has come over the bus. */
  readonly position: StreamPosition | undefined;
  readonly state: StreamState;
  /** The state at `position` as a snapshot message, shared by all who ask at this position; null while there is no data in this epoch. */
  snapshot(): PreparedMessage | null;
  /** All messages after `since` up to `position`, oldest first; null when that cannot be promised (other epoch, too old, ahead of us). */
  after(since: StreamPosition): readonly PreparedMessage[] | null;
}

/**
 * Called synchronously, in order, after the view has taken the change in; a listener that throws harms nobody else.
 * `onMessage`: the stream's next message, always at `view.position`. An epoch that changes in order comes this way too: as a
 * `snapshot` of seq 1 in the new epoch, then the `state`.
 * `onReset`: forget what you know, the truth is now `view`. Called when continuity was lost (`view.state` is not live then) and
 * again when it is restored; neither stands for a message, so a receiver shows `view.snapshot()` (if there is one) and
 * `view.state`, both at `view.position`. Not called for the first head: that is what `ready` is for.
 */
export type StreamListener = { onMessage(prepared: PreparedMessage): void; onReset(view: StreamView): void };

export interface StreamLease {
  readonly view: StreamView;
  /** Resolves at the first head; rejects never. Race it with a timeout of your own. */
  readonly ready: Promise<void>;
  release(): void;
}

export interface StreamCache {
  /** One lease per listener. The upstream stays open for a linger time after the last release, so that returning clients can resume. */
  lease(stream: string, listener: StreamListener): StreamLease;
  stop(): void;
}

export type StreamCacheSetup = Readonly<{
  bus: MarketBus;
  clock: Clock;
  retention: Retention;
  lingerMs: number;
  metrics: Metrics;
  log: Log;
}>;

/** Streams kept for nobody, for clients that may return; past it the one that waits longest is given up early. */
const LINGERING_LIMIT = 5_000;

export function createStreamCache(setup: StreamCacheSetup): StreamCache {
  return new LocalStreamCache(setup);
}

class LocalStreamCache implements StreamCache {
  readonly #lingerMs: number;
  readonly #streamSetup: CachedStreamSetup;
  readonly #streams = new Map<string, CachedStream>();
  /** Oldest first. */
  readonly #lingering = new Map<string, NodeJS.Timeout>();

  constructor(setup: StreamCacheSetup) {
    const { bus, clock, retention, metrics, log } = setup;
    this.#lingerMs = setup.lingerMs;
    const lost = metrics.counter('stream_cache_lost_total', 'Streams that lost continuity, by why', ['reason']);
    const faults = metrics.counter('stream_cache_faults_total', 'Listeners that threw and messages that did not apply');
    metrics.collectedGauge('stream_cache_streams', 'Streams held, with listeners or lingering', ['use'], () => [
      [{ use: 'active' }, this.#streams.size - this.#lingering.size],
      [{ use: 'lingering' }, this.#lingering.size],
    ]);
    metrics.collectedGauge('stream_cache_retained_bytes', 'Messages kept for resume, as JSON', [], () => [
      [{}, [...this.#streams.values()].reduce((sum, stream) => sum + stream.retainedBytes, 0)],
    ]);
    this.#streamSetup = {
      bus,
      clock,
      retention,
      onLost: (reason, stream) => {
        lost.inc({ reason });
        log.warn({ event: 'stream_lost', stream, reason });
      },
      onFault: (error, stream) => {
        faults.inc({});
        log.error({ event: 'stream_fault', stream, err: error });
      },
    };
  }

  lease(stream: string, listener: StreamListener): StreamLease {
    this.#stopLinger(stream);
    let view = this.#streams.get(stream);
    if (view === undefined) {
      view = new CachedStream(stream, this.#streamSetup);
      this.#streams.set(stream, view);
    }
    const held = view;
    held.listen(listener);
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      held.unlisten(listener);
      if (held.listenerCount === 0 && this.#streams.get(stream) === held) this.#linger(stream);
    };
    return { view: held, ready: held.ready, release };
  }

  stop(): void {
    for (const timer of this.#lingering.values()) clearTimeout(timer);
    this.#lingering.clear();
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
  }

  #linger(stream: string): void {
    if (this.#lingering.size >= LINGERING_LIMIT) this.#drop(this.#lingering.keys().next().value!);
    this.#lingering.set(
      stream,
      setTimeout(() => this.#drop(stream), this.#lingerMs),
    );
  }

  #stopLinger(stream: string): void {
    clearTimeout(this.#lingering.get(stream));
    this.#lingering.delete(stream);
  }

  #drop(stream: string): void {
    this.#stopLinger(stream);
    this.#streams.get(stream)?.close();
    this.#streams.delete(stream);
  }
}
