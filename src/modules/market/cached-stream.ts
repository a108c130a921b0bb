import type { Clock } from '../../kernel/clock.ts';
import type { BusDelivery, BusSink, BusSubscription, MarketBus, StreamHead } from '../../platform/bus.ts';
import { PreparedMessage } from '../../protocol/envelope.ts';
import type { StreamMessage, StreamPosition, StreamState } from '../../protocol/messages.ts';
import { messageWeight } from './message-weight.ts';
import type { Retention } from './retained-messages.ts';
import { RetainedMessages } from './retained-messages.ts';
import type { StreamListener, StreamView } from './stream-cache.ts';
import type { StreamMaterial } from './stream-material.ts';
import { createMaterial } from './stream-material.ts';

/** A stream whose copy keeps going wrong is asked for anew this often and no more. */
const REOPEN_INTERVAL_MS = 1_000;

export type LossCause = 'bus' | 'gap' | 'checksum' | 'fault';

export type CachedStreamSetup = Readonly<{
  bus: MarketBus;
  clock: Clock;
  retention: Retention;
  /** Continuity was lost: the bus said so, a message was missing, a checksum differed, a message could not be applied. */
  onLost: (why: LossCause, stream: string) => void;
  /** A listener threw, or a message that passed every check could not be applied. */
  onFault: (error: unknown, stream: string) => void;
}>;

/** One stream's copy: position, state, material and the last messages, all changed together before any listener hears of it. */
export class CachedStream implements StreamView {
  readonly stream: string;
  readonly ready: Promise<void>;
  readonly #setup: CachedStreamSetup;
  readonly #listeners = new Set<StreamListener>();
  #roster: readonly StreamListener[] | null = null;
  readonly #retained: RetainedMessages;
  #subscription: BusSubscription | undefined;
  #currentSink: BusSink | undefined;
  #reopenTimer: NodeJS.Timeout | undefined;
  #reopenedMs = -Infinity;
  #markReady: () => void = () => {};
  #isReady = false;
  #position: StreamPosition | undefined;
  #state: StreamState;
  /** Null: no data in this epoch, or the copy cannot be believed. */
  #material: StreamMaterial | null = null;
  #lastData: StreamMessage | null = null;
  #snapshot: PreparedMessage | null = null;
  /** False from the loss of continuity to the next head: messages in between have nothing to be applied to. */
  #whole = false;

  readonly #now = (): number => this.#setup.clock.now();

  constructor(stream: string, setup: CachedStreamSetup) {
    this.stream = stream;
    this.#setup = setup;
    this.#retained = new RetainedMessages(setup.retention);
    this.#state = { status: 'resyncing', since: setup.clock.now(), reason: 'starting' };
    this.ready = new Promise((resolve) => {
      this.#markReady = resolve;
    });
    this.#subscription = setup.bus.open(stream, this.#sink());
  }

  get position(): StreamPosition | undefined {
    return this.#position;
  }

  get state(): StreamState {
    return this.#state;
  }

  get retainedBytes(): number {
    return this.#retained.bytes;
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }

  snapshot(): PreparedMessage | null {
    if (this.#snapshot !== null) return this.#snapshot;
    if (this.#material === null || this.#lastData === null || this.#position === undefined) return null;
    const { seq } = this.#position;
    const message: StreamMessage = { ...this.#lastData, seq, kind: 'snapshot', data: this.#material.snapshot() };
    this.#snapshot = this.#prepare(message);
    return this.#snapshot;
  }

  after(since: StreamPosition): readonly PreparedMessage[] | null {
    if (!this.#whole || this.#position === undefined || since.epoch !== this.#position.epoch) return null;
    this.#retained.expire(this.#setup.clock.monotonic());
    return this.#retained.after(since.seq, this.#position.seq);
  }

  listen(listener: StreamListener): void {
    this.#listeners.add(listener);
    this.#roster = null;
  }

  unlisten(listener: StreamListener): void {
    this.#listeners.delete(listener);
    this.#roster = null;
  }

  close(): void {
    clearTimeout(this.#reopenTimer);
    this.#subscription?.close();
    this.#subscription = undefined;
    this.#listeners.clear();
  }

  /** A sink of its own for each opening, so that what the bus still says to an abandoned one is not heard. */
  #sink(): BusSink {
    const sink: BusSink = (delivery) => {
      if (this.#currentSink !== sink) return;
      try {
        this.#take(delivery);
      } catch (error) {
        this.#setup.onFault(error, this.stream);
        this.#lose('fault', 'a message could not be applied');
      }
    };
    this.#currentSink = sink;
    return sink;
  }

  #take(delivery: BusDelivery): void {
    switch (delivery.type) {
      case 'head':
        return this.#onHead(delivery.head);
      case 'message':
        return this.#onMessage(delivery.message, delivery.json);
      case 'lost':
        return this.#lose('bus', delivery.reason);
    }
  }

  #onHead(head: StreamHead): void {
    this.#retained.clear();
    this.#snapshot = null;
    this.#position = head.position;
    this.#state = head.state;
    this.#whole = true;
    if (!this.#restart(head.snapshot)) return this.#lose('checksum', 'the copy did not match its checksum');
    if (!this.#isReady) {
      this.#isReady = true;
      this.#markReady();
    } else this.#tell((listener) => listener.onReset(this));
  }

  #onMessage(message: StreamMessage, json?: string): void {
    if (!this.#whole || this.#position === undefined) return;
    const { epoch, seq } = this.#position;
    const startsEpoch = message.epoch !== epoch && message.seq === 1 && message.kind === 'snapshot';
    if (!startsEpoch && (message.epoch !== epoch || message.seq !== seq + 1)) {
      return this.#lose('gap', 'messages are missing');
    }
    if (startsEpoch) this.#retained.clear();
    this.#position = { epoch: message.epoch, seq: message.seq };
    this.#snapshot = null;
    if (message.kind === 'state') this.#state = message.data as StreamState;
    else if (
      message.kind !== 'gap' &&
      (message.kind === 'snapshot' ? !this.#restart(message) : !this.#apply(message))
    ) {
      return this.#lose('checksum', 'the copy did not match its checksum');
    }
    const prepared = this.#prepare(message, json);
    this.#retained.add(prepared, messageWeight(message), this.#setup.clock.monotonic());
    this.#tell((listener) => listener.onMessage(prepared));
  }

  #restart(snapshot: StreamMessage | null): boolean {
    this.#material = null;
    this.#lastData = null;
    if (snapshot === null) return true;
    this.#material = createMaterial(this.stream.slice(0, this.stream.indexOf(':')));
    return this.#apply(snapshot);
  }

  #apply(message: StreamMessage): boolean {
    if (this.#material === null) return false;
    this.#lastData = message;
    return this.#material.apply(message);
  }

  #lose(why: LossCause, reason: string): void {
    this.#setup.onLost(why, this.stream);
    this.#whole = false;
    this.#material = null;
    this.#snapshot = null;
    this.#retained.clear();
    this.#state = { status: 'resyncing', since: this.#setup.clock.now(), reason };
    // The bus that says `lost` brings the next head by itself; a fault that only we have seen must be told to it.
    if (why !== 'bus') this.#reopenSoon();
    if (this.#isReady) this.#tell((listener) => listener.onReset(this));
  }

  #reopenSoon(): void {
    if (this.#reopenTimer !== undefined) return;
    const waitMs = Math.max(0, REOPEN_INTERVAL_MS - (this.#setup.clock.monotonic() - this.#reopenedMs));
    this.#reopenTimer = setTimeout(() => {
      this.#reopenTimer = undefined;
      this.#reopenedMs = this.#setup.clock.monotonic();
      // The new one first: a stream that nobody holds for a moment would be given up at the exchange.
      const old = this.#subscription;
      this.#subscription = this.#setup.bus.open(this.stream, this.#sink());
      old?.close();
    }, waitMs);
  }

  #prepare(message: StreamMessage, json?: string): PreparedMessage {
    return new PreparedMessage(message, this.#now, json);
  }

  #tell(call: (listener: StreamListener) => void): void {
    // Who joins while the others are told has the change in its view already; who leaves hears nothing more.
    this.#roster ??= [...this.#listeners];
    for (const listener of this.#roster) {
      if (!this.#listeners.has(listener)) continue;
      try {
        call(listener);
      } catch (error) {
        this.#setup.onFault(error, this.stream);
      }
    }
  }
}
