import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { SignalTopic, Signals } from './signals.ts';
import { SIGNAL_TEXT_LIMIT_BYTES } from './signals.ts';

export type SignalDrop = 'too_long' | 'backlog' | 'not_connected';
export type SignalHandlers = Readonly<{
  /** A listener threw: its fault must stop neither the other listeners nor the publisher. */
  onError: (error: unknown, topic: SignalTopic) => void;
  onDrop: (reason: SignalDrop) => void;
}>;

/** Texts that listeners publish while others are being told; past it they go round in circles, and the rest is dropped. */
const QUEUE_LIMIT = 10_000;

type Surroundings = Readonly<{ log: Log; metrics: Metrics }>;

/** Signals of one process, without Redis. */
export function createMemorySignals(setup: Surroundings): Signals {
  return new MemorySignals(signalHandlers(setup));
}

export function signalHandlers({ log, metrics }: Surroundings): SignalHandlers {
  const dropped = metrics.counter('signals_dropped_total', 'Hints that other processes or listeners missed', [
    'reason',
  ]);
  const faults = metrics.counter('signals_listener_faults_total', 'Listeners that threw');
  return {
    onError(error, topic) {
      faults.inc({});
      log.error({ event: 'signals_listener_fault', topic, err: error });
    },
    onDrop: (reason) => dropped.inc({ reason }),
  };
}

type Subscription = { readonly listener: (text: string) => void; ended: boolean };

/** The signals of a single process; also the local half of those over Redis. */
export class MemorySignals implements Signals {
  readonly health = 'ok';
  readonly #onError: SignalHandlers['onError'];
  readonly #onDrop: (reason: SignalDrop) => void;
  readonly #subscriptions = new Map<SignalTopic, readonly Subscription[]>();
  readonly #queue: { topic: SignalTopic; text: string }[] = [];
  #telling = false;

  constructor(handlers: SignalHandlers) {
    this.#onError = handlers.onError;
    this.#onDrop = handlers.onDrop;
  }

  async stop(): Promise<void> {
    for (const subscriptions of this.#subscriptions.values()) {
      for (const each of subscriptions) each.ended = true;
    }
    this.#subscriptions.clear();
    this.#queue.length = 0;
  }

  /** Also when called from within a listener: the text waits its turn, so that every listener sees one order. */
  publish(topic: SignalTopic, text: string): void {
    if (!this.#subscriptions.has(topic)) return;
    if (!fitsSignal(text)) return this.#onDrop('too_long');
    if (this.#queue.length >= QUEUE_LIMIT) return this.#onDrop('backlog');
    this.#queue.push({ topic, text });
    if (this.#telling) return;
    this.#telling = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) this.#tell(next);
    this.#telling = false;
  }

  subscribe(topic: SignalTopic, listener: (text: string) => void): () => void {
    const subscription: Subscription = { listener, ended: false };
    // Lists are replaced, never changed: a listener may come and go while one is being walked.
    this.#subscriptions.set(topic, [...(this.#subscriptions.get(topic) ?? []), subscription]);
    return () => {
      if (subscription.ended) return;
      subscription.ended = true;
      const rest = (this.#subscriptions.get(topic) ?? []).filter((each) => each !== subscription);
      if (rest.length > 0) this.#subscriptions.set(topic, rest);
      else this.#subscriptions.delete(topic);
    };
  }

  #tell({ topic, text }: { topic: SignalTopic; text: string }): void {
    for (const subscription of this.#subscriptions.get(topic) ?? []) {
      if (subscription.ended) continue;
      try {
        subscription.listener(text);
      } catch (error) {
        this.#onError(error, topic);
      }
    }
  }
}

/** A text has at most three bytes of UTF-8 per unit, so that short ones need no counting. */
export function fitsSignal(text: string): boolean {
  return text.length * 3 <= SIGNAL_TEXT_LIMIT_BYTES || Buffer.byteLength(text) <= SIGNAL_TEXT_LIMIT_BYTES;
}
