import type { Envelope, StreamPosition } from '../protocol/messages.ts';
import type { ClientError } from './client-error.ts';
import { StreamIterator } from './stream-iterator.ts';
import type { StreamConsumer } from './stream-registry.ts';
import type { GapNotice, StreamCounters, SubscriptionState } from './stream-state.ts';
import type { StreamTracker } from './stream-tracker.ts';

/** A `for await` loop over events may fall this far behind. */
const ITERATOR_LIMIT_ITEMS = 1_000;

/** Milliseconds between a message's stations and its arrival here, by this machine's clock: true as far as the clocks agree. */
export type Latency = Readonly<{ sinceExchangeMs: number | null; sinceIngestMs: number; sinceSentMs: number }>;

export type SubscriptionOptions = Readonly<{
  onState?: (state: SubscriptionState) => void;
  /** Messages were lost for good. Streams that hold a state (book, ticker, candles) get a snapshot instead. */
  onGap?: (gap: GapNotice) => void;
}>;

/** A stream in use. Leaving a `for await` loop over it closes it; so does `close`. */
export interface Subscription<T> extends AsyncIterable<T> {
  readonly stream: string;
  readonly state: SubscriptionState;
  readonly position: StreamPosition | null;
  readonly counters: Readonly<StreamCounters>;
  /** Milliseconds since data last came; null before the first. A quiet market has old data that is still right: see `confirmedMs`. */
  ageMs(): number | null;
  /** Milliseconds since it was last certain that nothing is missing: a message in sequence, or a heartbeat that names our position. */
  confirmedMs(): number | null;
  /** Of the last message. */
  latency(): Latency | null;
  close(): void;
  [Symbol.asyncIterator](): AsyncIterableIterator<T>;
}

/** A stream that stands for one value at a time. A `for await` loop gets the newest value and may skip others. */
export interface ValueSubscription<T> extends Subscription<T> {
  /** The value while the stream is live, else null: what is not certain is not shown. */
  readonly live: T | null;
  /** The last value known, live or not. Look at `state` and `ageMs()` before you use it. */
  readonly last: T | null;
}

/**
 * How one channel is shown. `pick` gives the item of a message (undefined: nothing to tell); `read` the standing value,
 * null where the stream has none.
 */
export type Presentation<T> = Readonly<{
  latestWins: boolean;
  pick(envelope: Envelope, tracker: StreamTracker, gap: GapNotice | null): T | undefined;
  /** The first item for somebody who joins a stream already in use, from a snapshot made of what is known. */
  prime(snapshot: Envelope): T | undefined;
  read(tracker: StreamTracker): T | null;
}>;

type SubscriptionDeps = Readonly<{
  now: () => number;
  join(consumer: StreamConsumer): StreamTracker;
  leave(consumer: StreamConsumer): void;
}>;

export class StreamSubscription<T> implements ValueSubscription<T>, StreamConsumer {
  readonly stream: string;
  readonly #presentation: Presentation<T>;
  readonly #handler: ((item: T) => void) | undefined;
  readonly #options: SubscriptionOptions;
  readonly #deps: SubscriptionDeps;
  readonly #tracker: StreamTracker;
  readonly #iterators = new Set<StreamIterator<T>>();
  #closed = false;
  #primed = false;
  #gap: GapNotice | null = null;
  /** The value last handed out, while it has been live ever since. */
  #given: T | null = null;
  #failure: ClientError | undefined;

  constructor(
    stream: string,
    presentation: Presentation<T>,
    handler: ((item: T) => void) | undefined,
    options: SubscriptionOptions,
    deps: SubscriptionDeps,
  ) {
    this.stream = stream;
    this.#presentation = presentation;
    this.#handler = handler;
    this.#options = options;
    this.#deps = deps;
    this.#tracker = deps.join(this);
    // Not from here: the caller does not hold the subscription yet.
    queueMicrotask(() => this.#prime());
  }

  get state(): SubscriptionState {
    return this.#tracker.state;
  }

  get position(): StreamPosition | null {
    return this.#tracker.position ?? null;
  }

  get counters(): Readonly<StreamCounters> {
    return this.#tracker.counters;
  }

  get live(): T | null {
    return !this.#closed && this.#tracker.state.status === 'live' ? this.last : null;
  }

  get last(): T | null {
    return this.#presentation.read(this.#tracker);
  }

  ageMs(): number | null {
    const at = this.#tracker.lastMessageAtMs;
    return at === undefined ? null : this.#deps.now() - at;
  }

  confirmedMs(): number | null {
    const at = this.#tracker.lastConfirmedAtMs;
    return at === undefined ? null : this.#deps.now() - at;
  }

  latency(): Latency | null {
    const { lastMessage: message, lastMessageAtMs: at } = this.#tracker;
    if (!message || at === undefined) return null;
    return {
      sinceExchangeMs: message.exchangeTs === undefined ? null : at - message.exchangeTs,
      sinceIngestMs: at - message.ingestTs,
      sinceSentMs: at - message.sentTs,
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deps.leave(this);
    for (const iterator of this.#iterators) iterator.end();
  }

  [Symbol.asyncIterator](): StreamIterator<T> {
    const { latestWins } = this.#presentation;
    const limits = { limit: latestWins ? 1 : ITERATOR_LIMIT_ITEMS, latestWins };
    const iterator: StreamIterator<T> = new StreamIterator(this.stream, limits, () => {
      this.#iterators.delete(iterator);
      this.close();
    });
    this.#iterators.add(iterator);
    if (this.#closed) iterator.end(this.#failure);
    else if (this.#given !== null) iterator.push(this.#given);
    return iterator;
  }

  message(envelope: Envelope, tracker: StreamTracker): void {
    this.#primed = true;
    if (this.#presentation.latestWins) {
      if (envelope.kind !== 'state') this.#giveLive();
      return;
    }
    const item = this.#presentation.pick(envelope, tracker, this.#gap);
    if (item === undefined) return;
    this.#gap = null;
    this.#give(item);
  }

  stateChanged(tracker: StreamTracker): void {
    const { state } = tracker;
    this.#options.onState?.(state);
    // A value that became certain again without a message of its own is news too.
    if (state.status !== 'live') this.#given = null;
    else if (this.#presentation.latestWins) this.#giveLive();
  }

  gap(gap: GapNotice): void {
    this.#gap = gap;
    this.#options.onGap?.(gap);
  }

  ended(error?: ClientError): void {
    this.#failure = error;
    this.#closed = true;
    this.#deps.leave(this);
    for (const iterator of this.#iterators) iterator.end(error);
  }

  /** Somebody who joins a stream that is already in use starts from what is known of it. */
  #prime(): void {
    if (this.#primed || this.#closed) return;
    this.#primed = true;
    const { keeper, lastMessage, position } = this.#tracker;
    const data = keeper.snapshotData();
    if (data === undefined || !lastMessage || !position) return;
    if (this.#presentation.latestWins) return this.#giveLive();
    const { conflated: _, ...fields } = lastMessage;
    const item = this.#presentation.prime({ ...fields, ...position, kind: 'snapshot', data });
    if (item !== undefined) this.#give(item);
  }

  #giveLive(): void {
    const value = this.live;
    if (value === null || value === this.#given) return;
    this.#given = value;
    this.#give(value);
  }

  #give(item: T): void {
    for (const iterator of this.#iterators) iterator.push(item);
    this.#handler?.(item);
  }
}
