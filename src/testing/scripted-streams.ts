import type { Random } from '../kernel/random.ts';
import { BookState } from '../protocol/book.ts';
import type { Envelope, Gap, Level, StreamPosition, StreamState, Trade } from '../protocol/messages.ts';

const RETAINED_MESSAGES = 20;
const RECENT_TRADES = 100;
export const TOP_PRICE = 1_000;
const PRICE_STEPS = 12;

/** A stream as the server knows it: epoch, sequence, retained window; what it holds is the subclass's. */
export abstract class ScriptedStream {
  readonly stream: string;
  readonly retained: Envelope[] = [];
  state: StreamState = { status: 'live', since: 0, reason: '' };
  epoch = '';
  seq = 0;
  #epochs = 0;

  constructor(stream: string) {
    this.stream = stream;
  }

  get position(): StreamPosition {
    return { epoch: this.epoch, seq: this.seq };
  }

  /** A new epoch, as the sequencer begins one: a snapshot of seq 1, then the state. */
  begin(random: Random): Envelope[] {
    this.epoch = `e${++this.#epochs}`;
    this.seq = 0;
    this.retained.length = 0;
    this.renew(random);
    return [this.publish('snapshot', this.snapshotData()), this.say('live')];
  }

  say(status: StreamState['status']): Envelope {
    this.state = { status, since: Date.now(), reason: status === 'live' ? '' : 'scripted' };
    return this.publish('state', this.state);
  }

  after(since: StreamPosition): Envelope[] | null {
    if (since.epoch !== this.epoch || since.seq > this.seq) return null;
    const missed = this.retained.filter((each) => each.seq > since.seq);
    return missed.length === this.seq - since.seq ? missed : null;
  }

  abstract change(random: Random): Envelope;
  /** What a client gets that starts from nothing, or that stands at `at` and cannot have what followed. */
  abstract base(at: StreamPosition | undefined, reason: Gap['reason']): Envelope[];
  protected abstract renew(random: Random): void;
  protected abstract snapshotData(): unknown;
  protected published(): void {}

  protected publish(kind: Envelope['kind'], data: unknown): Envelope {
    this.seq += 1;
    const envelope = this.envelope(kind, data);
    this.retained.push(envelope);
    if (this.retained.length > RETAINED_MESSAGES) this.retained.shift();
    this.published();
    return envelope;
  }

  protected envelope(kind: Envelope['kind'], data: unknown): Envelope {
    return { stream: this.stream, ...this.position, kind, ingestTs: Date.now(), sentTs: Date.now(), data };
  }
}

/** An order book that remembers what it was at every position that it ever had. */
export class ScriptedBook extends ScriptedStream {
  readonly truth = new Map<string, string>();
  readonly book = new BookState();

  change(random: Random): Envelope {
    const delta = { bids: levels(random, -1, 2), asks: levels(random, 1, 2) };
    this.book.apply(delta);
    return this.publish('delta', random() < 0.3 ? { ...delta, checksum: this.book.checksum() } : delta);
  }

  base(at: StreamPosition | undefined, reason: Gap['reason']): Envelope[] {
    const snapshot = this.envelope('snapshot', this.snapshotData());
    if (!at || reason !== 'slow_consumer') return [snapshot];
    return [{ ...snapshot, conflated: { from: at.seq + 1, to: this.seq } }];
  }

  protected renew(random: Random): void {
    this.book.reset({ bids: [], asks: [] });
    this.book.apply({ bids: levels(random, -1, 8), asks: levels(random, 1, 8) });
  }

  protected snapshotData(): unknown {
    return { bids: this.book.bids.slice(), asks: this.book.asks.slice(), checksum: this.book.checksum() };
  }

  protected override published(): void {
    this.truth.set(`${this.epoch}/${this.seq}`, JSON.stringify([this.book.bids, this.book.asks]));
  }
}

/** Trades numbered from 1 over all epochs; `madeAt` tells the message that carried each. */
export class ScriptedTrades extends ScriptedStream {
  readonly madeAt = new Map<string, StreamPosition>();
  #recent: Trade[] = [];
  #made = 0;

  change(random: Random): Envelope {
    const trades = Array.from({ length: 1 + Math.floor(random() * 3) }, () => this.#make());
    const message = this.publish('update', { trades });
    for (const { id } of trades) this.madeAt.set(id, this.position);
    return message;
  }

  base(at: StreamPosition | undefined, reason: Gap['reason']): Envelope[] {
    const snapshot = this.envelope('snapshot', this.snapshotData());
    if (!at) return [snapshot];
    const from = at.epoch === this.epoch ? at.seq + 1 : 0;
    const gap = this.envelope('gap', { from, to: this.seq, reason } satisfies Gap);
    return reason === 'slow_consumer' ? [gap] : [gap, snapshot];
  }

  /** A new epoch of trades starts with nobody's memory of what came before. */
  protected renew(): void {
    this.#recent = [];
  }

  protected snapshotData(): unknown {
    return { trades: this.#recent.slice() };
  }

  #make(): Trade {
    const id = `${++this.#made}`;
    const trade: Trade = { id, price: '1.0', size: '1', side: 'buy', ts: this.#made };
    this.#recent = [...this.#recent, trade].slice(-RECENT_TRADES);
    return trade;
  }
}

function levels(random: Random, direction: 1 | -1, count: number): Level[] {
  return Array.from({ length: count }, () => {
    const price = TOP_PRICE + direction * (1 + Math.floor(random() * PRICE_STEPS));
    return [`${price}.00`, random() < 0.3 ? '0' : `${Math.ceil(random() * 900)}.5`];
  });
}
