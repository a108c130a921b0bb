import type { StreamMessage } from '../protocol/messages.ts';
import type { StreamHead } from './bus.ts';
import type { BusChannels, DataFrame, WantFrame } from './bus-redis-frames.ts';
import { messageFrame, partitionFor } from './bus-redis-frames.ts';

/** Streams that other processes may want from this one; past it they get no answer, and it is counted. */
const LEASED_STREAMS_LIMIT = 20_000;
/** Gateways that may want one stream. */
const LEASES_PER_STREAM_LIMIT = 1_000;
/** Gateways whose patience is known. More of them are served like the others. */
const GATEWAYS_LIMIT = 1_000;
/** Heads are the largest frames: a gateway that comes back asks for all at once, and live messages must get through in between. */
const HEADS_PER_TURN = 20;
const HEADS_PAUSE_MS = 10;
const BACKLOG_PAUSE_BYTES = 4_194_304;

export type FeedSideSetup = Readonly<{
  nodeRun: string;
  partitions: number;
  channels: BusChannels;
  wantTtlMs: number;
  monotonic: () => number;
  /** Opens the stream on behalf of other processes; null: not ours. */
  open: (stream: string) => StreamHead | null;
  close: (stream: string) => void;
  send: (channel: string, text: string) => void;
  backlogBytes: () => number;
  /** A limit was met: somebody gets no answer. */
  onRefused: () => void;
}>;

type Leases = Map<string, number>;
type Outgoing =
  | Omit<Extract<DataFrame, { t: 'closed' }>, 'f' | 'n'>
  | Readonly<{ t: 'head'; s: string; h: StreamHead }>;

/** The serving half: which streams other processes want, for how long, and what they are sent. */
export class FeedSide {
  readonly #setup: FeedSideSetup;
  /** Per stream, when each gateway's lease ends. */
  readonly #leases = new Map<string, Leases>();
  readonly #counts: number[];
  readonly #wanted: number[];
  /** The counts at the last tick. */
  readonly #beaten: number[];
  /** Per gateway, how late messages may be, and when that is not true any more. */
  readonly #patience = new Map<string, Readonly<{ ms: number; endsMs: number }>>();
  #windowMs = 0;
  readonly #owedHeads = new Set<string>();
  #headTimer: NodeJS.Timeout | undefined;

  constructor(setup: FeedSideSetup) {
    this.#setup = setup;
    this.#counts = Array.from({ length: setup.partitions }, () => 0);
    this.#wanted = Array.from({ length: setup.partitions }, () => 0);
    this.#beaten = Array.from({ length: setup.partitions }, () => 0);
  }

  get streams(): number {
    return this.#leases.size;
  }

  /** How long messages may wait for each other: the least patient gateway decides. */
  get windowMs(): number {
    return this.#windowMs;
  }

  holds(stream: string): boolean {
    return this.#leases.has(stream);
  }

  hello(): void {
    this.#announce('hello');
  }

  bye(): void {
    this.#announce('bye');
  }

  publish(message: StreamMessage): void {
    if (!this.#leases.has(message.stream)) return;
    const index = this.#partition(message.stream);
    const text = messageFrame(this.#setup.nodeRun, this.#next(index), message);
    this.#setup.send(this.#setup.channels.partition(index), text);
  }

  onWant(frame: WantFrame): void {
    if (this.#patience.has(frame.g) || this.#patience.size < GATEWAYS_LIMIT) {
      this.#patience.set(frame.g, { ms: frame.p, endsMs: this.#setup.monotonic() + this.#setup.wantTtlMs });
      this.#chooseWindow();
    }
    for (const stream of frame.s) {
      if (frame.t === 'drop') this.#unlease(stream, frame.g);
      else this.#lease(stream, frame.g, frame.heads);
    }
  }

  /** About once a second: beats where anybody listens and nothing was said since the last, and leases that ran out. */
  tick(): void {
    const { channels, nodeRun, send } = this.#setup;
    this.#wanted.forEach((streams, index) => {
      const n = this.#counts[index]!;
      const spoke = n !== this.#beaten[index];
      this.#beaten[index] = n;
      // A lost frame shows by the next one's count; only the last of a partition that fell quiet needs a beat.
      if (streams === 0 || spoke) return;
      const beat: DataFrame = { t: 'beat', f: nodeRun, n };
      send(channels.partition(index), JSON.stringify(beat));
    });
    const nowMs = this.#setup.monotonic();
    for (const [gateway, { endsMs }] of this.#patience) if (endsMs <= nowMs) this.#patience.delete(gateway);
    this.#chooseWindow();
    for (const [stream, leases] of this.#leases) {
      for (const [gateway, endsMs] of leases) {
        if (endsMs <= nowMs) this.#unlease(stream, gateway);
      }
    }
  }

  stop(): void {
    clearTimeout(this.#headTimer);
    for (const stream of this.#leases.keys()) this.#setup.close(stream);
    this.#leases.clear();
    this.#owedHeads.clear();
  }

  #chooseWindow(): void {
    const all = [...this.#patience.values()].map(({ ms }) => ms);
    this.#windowMs = all.length === 0 ? 0 : Math.min(...all);
  }

  #lease(stream: string, gateway: string, wantsHead: boolean): void {
    let leases = this.#leases.get(stream);
    if (leases === undefined) {
      if (this.#leases.size >= LEASED_STREAMS_LIMIT) return this.#setup.onRefused();
      if (this.#setup.open(stream) === null) return;
      leases = new Map();
      this.#leases.set(stream, leases);
      this.#wanted[this.#partition(stream)]! += 1;
    }
    const isNew = !leases.has(gateway);
    if (isNew && leases.size >= LEASES_PER_STREAM_LIMIT) return this.#setup.onRefused();
    leases.set(gateway, this.#setup.monotonic() + this.#setup.wantTtlMs);
    if (wantsHead || isNew) this.#owe(stream);
  }

  #unlease(stream: string, gateway: string): void {
    const leases = this.#leases.get(stream);
    if (leases === undefined || !leases.delete(gateway) || leases.size > 0) return;
    // Told to all: a gateway whose renewals were lost would wait for messages for ever.
    this.#send(stream, { t: 'closed', s: stream });
    this.#leases.delete(stream);
    this.#owedHeads.delete(stream);
    this.#wanted[this.#partition(stream)]! -= 1;
    this.#setup.close(stream);
  }

  #owe(stream: string): void {
    this.#owedHeads.add(stream);
    this.#headTimer ??= setTimeout(() => this.#payHeads(), 0);
  }

  /** One head answers all who asked for it meanwhile, since all hear it. */
  #payHeads(): void {
    this.#headTimer = undefined;
    let left = this.#setup.backlogBytes() > BACKLOG_PAUSE_BYTES ? 0 : HEADS_PER_TURN;
    for (const stream of this.#owedHeads) {
      if (left === 0) break;
      left -= 1;
      this.#owedHeads.delete(stream);
      const head = this.#setup.open(stream);
      if (head !== null) this.#send(stream, { t: 'head', s: stream, h: head });
    }
    if (this.#owedHeads.size > 0) this.#headTimer = setTimeout(() => this.#payHeads(), HEADS_PAUSE_MS);
  }

  #send(stream: string, frame: Outgoing): void {
    const index = this.#partition(stream);
    const numbered = { ...frame, f: this.#setup.nodeRun, n: this.#next(index) };
    this.#setup.send(this.#setup.channels.partition(index), JSON.stringify(numbered));
  }

  /** The count rises whether or not the frame gets out: that is how a gateway learns that one did not. */
  #next(index: number): number {
    return (this.#counts[index] = this.#counts[index]! + 1);
  }

  #announce(t: 'hello' | 'bye'): void {
    this.#setup.send(this.#setup.channels.feeds, JSON.stringify({ t, f: this.#setup.nodeRun }));
  }

  #partition(stream: string): number {
    return partitionFor(stream, this.#setup.partitions);
  }
}
