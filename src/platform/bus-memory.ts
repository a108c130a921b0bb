import type { StreamMessage } from '../protocol/messages.ts';
import { assert } from '../kernel/assert.ts';
import type { BusDelivery, BusSink, BusSubscription, MarketBus, StreamHead, StreamSource } from './bus.ts';

/** Told of a sink that threw: its fault must not stop the other sinks of the stream, nor the publisher. */
export type SinkErrorHandler = (error: unknown, stream: string) => void;

type Opening = {
  readonly sink: BusSink;
  /** Messages accepted before this one's head was taken are in the head already. Infinity: no head yet. */
  after: number;
  closed: boolean;
};

/** The bus of a single process; also the local half of the Redis bus. */
export class MemoryBus implements MarketBus {
  readonly health = 'ok';
  readonly #onError: SinkErrorHandler;
  readonly #openings = new Map<string, readonly Opening[]>();
  readonly #queue: { message: StreamMessage; ticket: number }[] = [];
  #source: StreamSource | undefined;
  #accepted = 0;
  #draining = false;

  constructor(options: { onError?: SinkErrorHandler } = {}) {
    this.#onError = options.onError ?? rethrowLater;
  }

  async start(): Promise<void> {}

  /** Nothing comes from elsewhere. */
  setPatience(): void {}

  async stop(): Promise<void> {
    for (const [stream, openings] of this.#openings) {
      for (const opening of openings) opening.closed = true;
      this.#source?.close(stream);
    }
    this.#openings.clear();
    this.#queue.length = 0;
  }

  serve(source: StreamSource): void {
    assert(this.#source === undefined, 'bus: a source is registered already');
    this.#source = source;
    for (const [stream, openings] of this.#openings) {
      for (const opening of openings) this.#deliverHead(stream, opening);
    }
  }

  open(stream: string, sink: BusSink): BusSubscription {
    const opening: Opening = { sink, after: Infinity, closed: false };
    // Lists are replaced, never changed: a sink may open and close streams while one is being walked.
    this.#openings.set(stream, [...(this.#openings.get(stream) ?? []), opening]);
    if (this.#source !== undefined) this.#deliverHead(stream, opening);
    return { close: () => this.#close(stream, opening) };
  }

  /** Also when called from within a sink: the message waits its turn, so that every sink sees one order. */
  publish(message: StreamMessage): void {
    this.#accepted += 1;
    const openings = this.#openings.get(message.stream);
    if (openings === undefined) return;
    const direct = !this.#draining && this.#queue.length === 0;
    if (!direct) this.#queue.push({ message, ticket: this.#accepted });
    if (this.#draining) return;
    this.#draining = true;
    try {
      if (direct) this.#deliverTo(openings, message, this.#accepted);
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        this.#deliverTo(this.#openings.get(next.message.stream) ?? [], next.message, next.ticket);
      }
    } finally {
      this.#draining = false;
    }
  }

  #deliverTo(openings: readonly Opening[], message: StreamMessage, ticket: number): void {
    const delivery: BusDelivery = { type: 'message', message };
    for (const opening of openings) {
      if (ticket > opening.after) this.#deliver(message.stream, opening, delivery);
    }
  }

  #deliverHead(stream: string, opening: Opening): void {
    const head: StreamHead | null = this.#source!.open(stream);
    opening.after = this.#accepted;
    if (head === null) this.#deliver(stream, opening, { type: 'lost', stream, reason: 'nobody serves this stream' });
    else this.#deliver(stream, opening, { type: 'head', stream, head });
  }

  #deliver(stream: string, opening: Opening, delivery: BusDelivery): void {
    if (opening.closed) return;
    try {
      opening.sink(delivery);
    } catch (error) {
      this.#onError(error, stream);
    }
  }

  #close(stream: string, opening: Opening): void {
    if (opening.closed) return;
    opening.closed = true;
    const rest = (this.#openings.get(stream) ?? []).filter((each) => each !== opening);
    if (rest.length > 0) {
      this.#openings.set(stream, rest);
      return;
    }
    this.#openings.delete(stream);
    this.#source?.close(stream);
  }
}

export function createMemoryBus(options: { onError?: SinkErrorHandler } = {}): MarketBus {
  return new MemoryBus(options);
}

/** With nobody to report to, a sink's fault ends up where unhandled faults end up; it is never swallowed. */
function rethrowLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
