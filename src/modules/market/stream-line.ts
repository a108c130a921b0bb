import type { Clock } from '../../kernel/clock.ts';
import type { MarketBus, StreamHead } from '../../platform/bus.ts';
import type { MessageKind, StreamMessage, StreamState } from '../../protocol/messages.ts';

/** Where data came from in time; copied onto every message that carries it. */
export type Stamp = Readonly<{ exchangeTs?: number; exchangeSeq?: number; ingestTs: number }>;
export type Content = Readonly<{ data: unknown; stamp: Stamp }>;

/** What all lines of a sequencer share. */
export type LineSetup = Readonly<{
  bus: MarketBus;
  clock: Clock;
  nextEpoch: () => string;
  onPublished: (channel: string) => void;
  onEpoch: (reason: string) => void;
}>;

const REASON_LIMIT_CHARS = 200;

/** Only integers that JSON carries faithfully may leave as times and sequence numbers. */
export function stampOf(source: { exchangeTs?: number; exchangeSeq?: number; ingestTs: number }): Stamp {
  const stamp: { exchangeTs?: number; exchangeSeq?: number; ingestTs: number } = {
    ingestTs: Math.trunc(source.ingestTs),
  };
  if (source.exchangeTs !== undefined && Number.isFinite(source.exchangeTs)) {
    stamp.exchangeTs = Math.trunc(source.exchangeTs);
  }
  if (Number.isSafeInteger(source.exchangeSeq)) stamp.exchangeSeq = source.exchangeSeq!;
  return stamp;
}

/**
 * One stream's position and state. `seq` rises by exactly 1 with everything published, states included; an epoch begins
 * with a snapshot (seq 1) and `state live` (seq 2). The owner changes its content first and then publishes, so that a head
 * asked for from within a delivery is true to the position.
 */
export class StreamLine {
  readonly name: string;
  readonly channel: string;
  readonly #setup: LineSetup;
  readonly #content: () => Content | null;
  #epoch: string;
  #seq = 0;
  #hasData = false;
  #flowing = false;
  #state: StreamState;

  /** `content` is the published state: what snapshot and messages up to the current position add up to. */
  constructor(name: string, setup: LineSetup, content: () => Content | null) {
    this.name = name;
    this.channel = name.slice(0, name.indexOf(':'));
    this.#setup = setup;
    this.#content = content;
    this.#epoch = setup.nextEpoch();
    this.#state = { status: 'resyncing', since: setup.clock.now(), reason: 'starting' };
  }

  /** Data of this epoch may be published. False until the first data, and from a doubt to the data after it. */
  get flowing(): boolean {
    return this.#flowing;
  }

  head(): StreamHead {
    const content = this.#hasData ? this.#content() : null;
    return {
      position: { epoch: this.#epoch, seq: this.#seq },
      state: this.#state,
      snapshot: content === null ? null : this.#message('snapshot', content.data, content.stamp),
    };
  }

  publish(kind: MessageKind, data: unknown, stamp: Stamp): void {
    this.#seq += 1;
    this.#setup.onPublished(this.channel);
    this.#setup.bus.publish(this.#message(kind, data, stamp));
  }

  /** A fresh start with the content as it stands. An epoch in which nothing was said yet is good enough to start in. */
  begin(content: Content): void {
    if (this.#seq > 0) {
      this.#epoch = this.#setup.nextEpoch();
      this.#seq = 0;
      this.#setup.onEpoch(this.#state.status === 'live' ? 'rebuild' : this.#state.status);
    }
    this.#flowing = true;
    this.#hasData = true;
    this.publish('snapshot', content.data, content.stamp);
    this.#say({ status: 'live', since: this.#setup.clock.now(), reason: '' });
  }

  /** For a line that joins content that is known and live already: there is nobody to tell yet. */
  adopt(): void {
    this.#seq = 1;
    this.#hasData = true;
    this.#flowing = true;
    this.#state = { status: 'live', since: this.#setup.clock.now(), reason: '' };
  }

  /** For a line that joins a source in doubt. */
  adoptDoubt(state: StreamState): void {
    this.#flowing = false;
    this.#state = bounded(state);
  }

  doubt(state: StreamState): void {
    this.#flowing = false;
    if (state.status === this.#state.status && state.reason === this.#state.reason) return;
    this.#say(bounded(state));
  }

  #say(state: StreamState): void {
    this.#state = state;
    this.publish('state', state, { ingestTs: this.#setup.clock.now() });
  }

  #message(kind: MessageKind, data: unknown, stamp: Stamp): StreamMessage {
    const { ingestTs, exchangeTs, exchangeSeq } = stamp;
    const stream = this.name;
    const epoch = this.#epoch;
    const seq = this.#seq;
    // The common case by name: copying whatever a stamp has is several times slower.
    if (exchangeTs !== undefined && exchangeSeq !== undefined) {
      return { stream, epoch, seq, kind, ingestTs, exchangeTs, exchangeSeq, data };
    }
    return { stream, epoch, seq, kind, ...stamp, data };
  }
}

function bounded(state: StreamState): StreamState {
  return {
    status: state.status,
    since: Math.trunc(state.since),
    reason: state.reason.slice(0, REASON_LIMIT_CHARS),
  };
}
