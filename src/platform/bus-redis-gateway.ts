import type { StreamPosition } from '../protocol/messages.ts';
import type { BusDelivery, BusSink, BusSubscription } from './bus.ts';
import type { BusChannels, DataFrame, FeedFrame, WantFrame } from './bus-redis-frames.ts';
import { PATIENCE_LIMIT_MS, STREAMS_PER_FRAME, headOf, partitionFor } from './bus-redis-frames.ts';

/** Feeds heard on one partition; more than an installation has. Strangers past it are not followed, and forgotten when silent. */
const FEEDS_PER_PARTITION_LIMIT = 256;

export type GatewaySideSetup = Readonly<{
  nodeRun: string;
  partitions: number;
  channels: BusChannels;
  /** A feed that was not heard for so long on a partition where it serves us is lost. */
  feedSilenceMs: number;
  headRetryMs: number;
  monotonic: () => number;
  isUp: () => boolean;
  send: (channel: string, text: string) => void;
  subscribe: (channel: string) => Promise<boolean>;
  unsubscribe: (channel: string) => Promise<void>;
  onLost: (reason: string) => void;
  onSinkError: (error: unknown, stream: string) => void;
}>;

type Opening = { readonly sink: BusSink; synced: boolean; closed: boolean };
type RemoteStream = {
  readonly name: string;
  readonly partition: Partition;
  openings: readonly Opening[];
  /** Which feed's head it stands on, and where; null while it stands on nothing. */
  feed: string | null;
  position: StreamPosition | null;
  askedMs: number;
  waitingSinceMs: number;
  told: boolean;
};
type Feed = { count: number; heardMs: number };
type Partition = {
  readonly index: number;
  readonly streams: Set<RemoteStream>;
  readonly feeds: Map<string, Feed>;
  subscription: 'none' | 'pending' | 'confirmed';
};

/** The receiving half: the streams that this process wants from feeds elsewhere, each either proved gapless or said to be lost. */
export class GatewaySide {
  readonly #setup: GatewaySideSetup;
  readonly #streams = new Map<string, RemoteStream>();
  readonly #partitions = new Map<number, Partition>();
  #askScheduled = false;
  #patienceMs = 0;

  constructor(setup: GatewaySideSetup) {
    this.#setup = setup;
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** The most feeds heard on any one partition. */
  get feeds(): number {
    return Math.max(0, ...[...this.#partitions.values()].map((partition) => partition.feeds.size));
  }

  open(name: string, sink: BusSink): BusSubscription {
    let stream = this.#streams.get(name);
    if (stream === undefined) {
      const partition = this.#partition(partitionFor(name, this.#setup.partitions));
      const waitingSinceMs = this.#setup.monotonic();
      const fresh = { askedMs: -Infinity, waitingSinceMs, told: false, feed: null, position: null };
      stream = { name, partition, openings: [], ...fresh };
      this.#streams.set(name, stream);
      partition.streams.add(stream);
    }
    const held = stream;
    if (isSynced(held)) held.waitingSinceMs = this.#setup.monotonic();
    const opening: Opening = { sink, synced: false, closed: false };
    held.openings = [...held.openings, opening];
    // Its head must be asked for even if others have theirs: only a feed knows a whole state.
    held.askedMs = -Infinity;
    held.told = false;
    if (!this.#setup.isUp()) this.#deliver(held, opening, lost(name, 'the bus is not connected'));
    this.#askSoon();
    return { close: () => this.#close(held, opening) };
  }

  onData(index: number, frame: DataFrame): void {
    const partition = this.#partitions.get(index);
    if (partition === undefined || partition.subscription !== 'confirmed') return;
    if (!this.#follow(partition, frame) || frame.t === 'beat') return;
    const stream = this.#streams.get(frame.t === 'message' ? frame.m.stream : frame.s);
    if (stream === undefined || stream.partition !== partition) return;
    if (frame.t === 'head') this.#onHead(stream, frame);
    else if (stream.feed !== frame.f) return;
    else if (frame.t === 'closed') this.#lose(stream, 'the feed gave the stream up');
    else this.#onMessage(stream, frame);
  }

  onFeed(frame: FeedFrame): void {
    const node = nodeOf(frame.f);
    for (const stream of this.#streams.values()) {
      if (stream.feed !== null && nodeOf(stream.feed) === node) {
        this.#lose(stream, frame.t === 'bye' ? 'the feed stopped' : 'the feed started or reconnected');
      }
      if (frame.t === 'hello' && !isSynced(stream)) stream.askedMs = -Infinity;
    }
    this.#askSoon();
  }

  onUp(): void {
    this.#askSoon();
  }

  onDown(): void {
    for (const partition of this.#partitions.values()) {
      partition.subscription = 'none';
      partition.feeds.clear();
    }
    for (const stream of this.#streams.values()) this.#lose(stream, 'the bus connection was lost');
  }

  /** About once a second: feeds that fell silent, heads that did not come. */
  tick(): void {
    const nowMs = this.#setup.monotonic();
    for (const partition of this.#partitions.values()) {
      for (const [feed, { heardMs }] of partition.feeds) {
        if (nowMs - heardMs <= this.#setup.feedSilenceMs) continue;
        this.#loseFeed(partition, feed, 'the feed fell silent');
        hearAnew(partition);
      }
    }
    for (const stream of this.#streams.values()) {
      if (isSynced(stream) || nowMs - stream.waitingSinceMs <= this.#setup.feedSilenceMs) continue;
      stream.waitingSinceMs = nowMs;
      hearAnew(stream.partition);
      if (stream.told) continue;
      stream.told = true;
      for (const opening of stream.openings) {
        if (!opening.synced) this.#deliver(stream, opening, lost(stream.name, 'no feed answers'));
      }
    }
    this.#askSoon();
  }

  /** Told at once; a frame that is lost is made good by the next renewal. */
  setPatience(ms: number): void {
    const patienceMs = Math.min(PATIENCE_LIMIT_MS, Math.max(0, Math.round(ms)));
    if (patienceMs === this.#patienceMs) return;
    this.#patienceMs = patienceMs;
    this.#sendWant({ t: 'want', s: [], heads: false });
  }

  /** Keeps the leases at the feeds from running out. */
  renew(): void {
    this.#sendWants('want', [...this.#streams.keys()], false);
  }

  stop(): void {
    this.#sendWants('drop', [...this.#streams.keys()], false);
    this.#streams.clear();
    this.#partitions.clear();
  }

  #onHead(stream: RemoteStream, frame: Extract<DataFrame, { t: 'head' }>): void {
    const other = stream.feed !== null && stream.feed !== frame.f;
    // Two feeds serve one stream: the one that has it keeps it until it fails.
    if (other && stream.openings.some((opening) => opening.synced)) return;
    const head = headOf(frame);
    const { position } = stream;
    const moved = position !== null && (position.epoch !== head.position.epoch || position.seq !== head.position.seq);
    if (moved && stream.openings.some((opening) => opening.synced)) this.#lose(stream, 'the feed jumped');
    stream.feed = frame.f;
    stream.position = head.position;
    stream.told = false;
    for (const opening of stream.openings) {
      if (opening.synced) continue;
      opening.synced = true;
      this.#deliver(stream, opening, { type: 'head', stream: stream.name, head });
    }
  }

  #onMessage(stream: RemoteStream, frame: Extract<DataFrame, { t: 'message' }>): void {
    const { position } = stream;
    if (position === null) return;
    const { m: message, json } = frame;
    const next =
      message.epoch === position.epoch
        ? message.seq === position.seq + 1
        : message.seq === 1 && message.kind === 'snapshot';
    if (!next) return this.#lose(stream, 'messages are missing');
    stream.position = { epoch: message.epoch, seq: message.seq };
    for (const opening of stream.openings) {
      if (opening.synced) this.#deliver(stream, opening, { type: 'message', message, json });
    }
  }

  /**
   * A feed's count on a partition rises by one with each frame; a beat repeats it, so that a lost tail shows too.
   * False: not a feed that we can follow, so nothing of it may be used.
   */
  #follow(partition: Partition, frame: DataFrame): boolean {
    const heardMs = this.#setup.monotonic();
    const feed = partition.feeds.get(frame.f);
    if (feed === undefined) {
      if (partition.feeds.size >= FEEDS_PER_PARTITION_LIMIT) return false;
      partition.feeds.set(frame.f, { count: frame.n, heardMs });
      return true;
    }
    feed.heardMs = heardMs;
    const expected = frame.t === 'beat' ? feed.count : feed.count + 1;
    feed.count = frame.n;
    if (frame.n !== expected) this.#loseFeed(partition, frame.f, 'frames are missing on the bus', feed);
    return true;
  }

  #loseFeed(partition: Partition, name: string, reason: string, keep?: Feed): void {
    partition.feeds.delete(name);
    if (keep) partition.feeds.set(name, keep);
    for (const stream of partition.streams) {
      if (stream.feed === name) this.#lose(stream, reason);
    }
  }

  #lose(stream: RemoteStream, reason: string): void {
    stream.askedMs = -Infinity;
    this.#askSoon();
    if (stream.feed === null) return;
    stream.feed = null;
    stream.position = null;
    stream.waitingSinceMs = this.#setup.monotonic();
    // Its receivers are told below; one that joins later and waits in vain is told by the clock.
    stream.told = true;
    this.#setup.onLost(reason);
    for (const opening of stream.openings) {
      if (!opening.synced) continue;
      opening.synced = false;
      this.#deliver(stream, opening, lost(stream.name, reason));
    }
  }

  #deliver(stream: RemoteStream, opening: Opening, delivery: BusDelivery): void {
    if (opening.closed) return;
    try {
      opening.sink(delivery);
    } catch (error) {
      this.#setup.onSinkError(error, stream.name);
    }
  }

  #close(stream: RemoteStream, opening: Opening): void {
    if (opening.closed) return;
    opening.closed = true;
    stream.openings = stream.openings.filter((each) => each !== opening);
    if (stream.openings.length > 0 || this.#streams.get(stream.name) !== stream) return;
    this.#streams.delete(stream.name);
    this.#sendWants('drop', [stream.name], false);
    const { partition } = stream;
    partition.streams.delete(stream);
    if (partition.streams.size > 0) return;
    this.#partitions.delete(partition.index);
    void this.#setup.unsubscribe(this.#setup.channels.partition(partition.index));
  }

  #partition(index: number): Partition {
    let partition = this.#partitions.get(index);
    if (partition === undefined) {
      partition = { index, streams: new Set(), feeds: new Map(), subscription: 'none' };
      this.#partitions.set(index, partition);
    }
    return partition;
  }

  /** One request for all that became due in this turn of the event loop. */
  #askSoon(): void {
    if (this.#askScheduled) return;
    this.#askScheduled = true;
    setImmediate(() => {
      this.#askScheduled = false;
      this.#ask();
    });
  }

  #ask(): void {
    if (!this.#setup.isUp()) return;
    for (const partition of this.#partitions.values()) {
      if (partition.subscription === 'none') void this.#subscribe(partition);
    }
    const nowMs = this.#setup.monotonic();
    const due: string[] = [];
    for (const stream of this.#streams.values()) {
      if (isSynced(stream) || stream.partition.subscription !== 'confirmed') continue;
      if (nowMs - stream.askedMs < this.#setup.headRetryMs) continue;
      stream.askedMs = nowMs;
      due.push(stream.name);
    }
    this.#sendWants('want', due, true);
  }

  /** Heads are asked for only once Redis has confirmed that we hear the answers. */
  async #subscribe(partition: Partition): Promise<void> {
    partition.subscription = 'pending';
    const confirmed = await this.#setup.subscribe(this.#setup.channels.partition(partition.index));
    if (partition.subscription !== 'pending') return;
    partition.subscription = confirmed ? 'confirmed' : 'none';
    if (confirmed) this.#askSoon();
  }

  #sendWants(t: WantFrame['t'], names: readonly string[], heads: boolean): void {
    for (let from = 0; from < names.length; from += STREAMS_PER_FRAME) {
      this.#sendWant({ t, s: names.slice(from, from + STREAMS_PER_FRAME), heads });
    }
  }

  #sendWant(wanted: Pick<WantFrame, 't' | 's' | 'heads'>): void {
    const frame: WantFrame = { ...wanted, g: this.#setup.nodeRun, p: this.#patienceMs };
    this.#setup.send(this.#setup.channels.wants, JSON.stringify(frame));
  }
}

/**
 * Whoever hears nobody may be deaf: Redis has been seen to drop a subscription without a word. While somebody is heard, asking again
 * would do harm: until it is confirmed, what comes is not used, and so is missing.
 */
function hearAnew(partition: Partition): void {
  if (partition.feeds.size === 0) partition.subscription = 'none';
}

function isSynced(stream: RemoteStream): boolean {
  return stream.openings.every((opening) => opening.synced);
}

function lost(stream: string, reason: string): BusDelivery {
  return { type: 'lost', stream, reason };
}

/** A process is named `node/run`: the node stays through restarts, the run does not. */
function nodeOf(nodeRun: string): string {
  return nodeRun.slice(0, nodeRun.lastIndexOf('/'));
}
