import type { UserLog } from '../../modules/portfolio/index.ts';
import { PreparedMessage } from '../../protocol/envelope.ts';
import type { StreamMessage, StreamPosition } from '../../protocol/messages.ts';
import type { PrivateStream } from '../../protocol/trading.ts';
import { messageOf } from './user-topic.ts';
import type { LogRecipient, UserTopic } from './user-topic.ts';

/** Events read from the log at a time; what one subscription keeps in memory at most. */
const PAGE_EVENTS = 100;
/** Notifications that somebody gets who does not say, or cannot say, where to go on. */
export const NOTIFICATIONS_KEPT = 100;

/** The sending half of a connection, as far as private streams use it. */
export interface PrivateOutlet {
  /** False: there is no room now, and `pump` is called when there is. Otherwise it is sent, in order, and never thrown away. */
  pushPrivate(prepared: PreparedMessage): boolean;
  /** What was asked of the database cannot be had: the connection is closed, so that its client comes back and resumes. */
  fail(error: unknown): void;
}

/** From where a subscription goes on, and what it is owed first. */
export type LogStart = Readonly<{
  recovered: boolean;
  /** What the reply says. */
  seq: number;
  /** Where the client stands before `owed` has come. */
  at: number;
  owed: readonly StreamMessage[];
  /** The stream's newest event when it was read. */
  head: number;
}>;

/** Reads, after the topic is ready, what the client is owed. Rejects with `DatabaseFailure`. */
export async function readStart(
  log: UserLog,
  userId: string,
  stream: PrivateStream,
  since: StreamPosition | undefined,
  nowMs: number,
): Promise<LogStart> {
  if (since?.epoch === log.epoch) {
    const { events, head } = await log.streamSince(userId, stream, since.seq, PAGE_EVENTS);
    // A client that is ahead of us has seen what this database has lost: nothing of its state can be built on.
    if (since.seq <= head) {
      const owed = events.map((event) => messageOf(event, log.epoch));
      return { recovered: true, seq: head, at: since.seq, owed, head };
    }
  }
  if (stream === 'notifications') return readLastNotifications(log, userId, since, nowMs);
  const { streamSeq: seq, logSeq, data } = await log.snapshot(userId, stream);
  const message = { stream, epoch: log.epoch, seq, kind: 'snapshot' as const, ingestTs: nowMs };
  return {
    recovered: false,
    seq,
    at: seq,
    owed: [{ ...message, data: { logSeq, ...(data as object) } }],
    head: seq,
  };
}

async function readLastNotifications(
  log: UserLog,
  userId: string,
  since: StreamPosition | undefined,
  nowMs: number,
): Promise<LogStart> {
  const stream = 'notifications';
  const { epoch } = log;
  const { head: newest } = await log.streamSince(userId, stream, 0, 1);
  const from = Math.max(0, newest - NOTIFICATIONS_KEPT);
  const { events, head } = await log.streamSince(userId, stream, from, PAGE_EVENTS);
  const lost = since === undefined ? from > 0 : true;
  const gap: StreamMessage = {
    stream,
    epoch,
    seq: from,
    kind: 'gap',
    ingestTs: nowMs,
    // Of another epoch nobody can say how much was in it.
    data: { from: since === undefined ? 1 : 0, to: from, reason: since === undefined ? 'expired' : 'upstream' },
  };
  return {
    recovered: false,
    seq: from,
    at: from,
    owed: [...(lost ? [gap] : []), ...events.map((event) => messageOf(event, epoch))],
    head,
  };
}

/**
 * One connection's hold on one private stream. Live events go straight through while there is room. Whoever has no room stops
 * being live and is owed what follows `at`, read from the log page by page as room comes: nothing waits in memory without
 * bound, nothing is merged, left out or sent twice.
 */
export class LogSubscription implements LogRecipient {
  readonly stream: PrivateStream;
  readonly #topic: UserTopic;
  readonly #log: UserLog;
  readonly #outlet: PrivateOutlet;
  readonly #onLag: () => void;
  readonly #now: () => number;
  #phase: 'owed' | 'live' | 'ended' = 'owed';
  #at = 0;
  #owed: StreamMessage[] = [];
  #knownHead = 0;
  #reading = false;
  /** Of the start that a read under way belongs to: what an older one brings is thrown away. */
  #generation = 0;
  #quiet = true;

  constructor(setup: {
    stream: PrivateStream;
    topic: UserTopic;
    log: UserLog;
    outlet: PrivateOutlet;
    /** It was live and is not any more: the connection had no room. */
    onLag: () => void;
    now: () => number;
  }) {
    this.stream = setup.stream;
    this.#topic = setup.topic;
    this.#log = setup.log;
    this.#outlet = setup.outlet;
    this.#onLag = setup.onLag;
    this.#now = setup.now;
    this.#topic.recipients.add(this);
  }

  get topic(): UserTopic {
    return this.#topic;
  }

  get position(): StreamPosition {
    return { epoch: this.#log.epoch, seq: this.#at };
  }

  /** Takes up a position, the first or a new one. Sends nothing yet: the reply goes first. */
  start({ at, owed, head }: LogStart): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'owed';
    this.#generation += 1;
    this.#reading = false;
    this.#at = at;
    this.#owed = [...owed];
    this.#knownHead = head;
  }

  live(streamSeq: number, prepared: PreparedMessage): void {
    // What is owed will be read from the log, this event included.
    if (this.#phase !== 'live' || streamSeq <= this.#at) return;
    if (streamSeq === this.#at + 1 && this.#outlet.pushPrivate(prepared)) this.#sent(streamSeq);
    else {
      this.#phase = 'owed';
      this.#onLag();
      this.pump();
    }
  }

  /** Pays what is owed, as far as there is room; goes live in the same step in which nothing is owed any more. */
  pump(): void {
    if (this.#phase !== 'owed') return;
    for (let next = this.#owed[0]; next !== undefined; next = this.#owed[0]) {
      if (!this.#outlet.pushPrivate(new PreparedMessage(next, this.#now))) return;
      this.#sent(next.seq);
      this.#owed.shift();
    }
    if (this.#reading) return;
    if (this.#at >= Math.max(this.#knownHead, this.#topic.headOf(this.stream))) this.#phase = 'live';
    else void this.#readOn();
  }

  /** The position, when it is certain and nothing was sent since the last heartbeat. */
  takeQuiet(): StreamPosition | null {
    const quiet = this.#quiet && this.#phase === 'live';
    this.#quiet = true;
    return quiet ? this.position : null;
  }

  end(): void {
    this.#phase = 'ended';
    this.#owed = [];
    this.#topic.recipients.delete(this);
  }

  #sent(seq: number): void {
    this.#at = seq;
    this.#quiet = false;
  }

  async #readOn(): Promise<void> {
    const generation = this.#generation;
    this.#reading = true;
    try {
      const { events, head } = await this.#log.streamSince(this.#topic.userId, this.stream, this.#at, PAGE_EVENTS);
      if (generation !== this.#generation || this.#phase !== 'owed') return;
      this.#reading = false;
      this.#owed = events.map((event) => messageOf(event, this.#log.epoch));
      this.#knownHead = head;
      if (events.length === 0 && head > this.#at)
        throw new Error(`the log of ${this.stream} has a hole at ${this.#at}`);
    } catch (error) {
      if (generation === this.#generation && this.#phase === 'owed') this.#outlet.fail(error);
      return;
    }
    this.pump();
  }
}
