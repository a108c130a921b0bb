import type { UserLog } from '../../modules/portfolio/index.ts';
import { PreparedMessage } from '../../protocol/envelope.ts';
import type { StreamMessage } from '../../protocol/messages.ts';
import type { PrivateStream, SyncEvent } from '../../protocol/trading.ts';

/** A subscriber to one stream of one user. Called synchronously, in the stream's order. */
export interface LogRecipient {
  readonly stream: PrivateStream;
  live(streamSeq: number, prepared: PreparedMessage): void;
}

/** One user's log, followed once for all connections of that user in this process. */
export class UserTopic {
  readonly userId: string;
  readonly recipients = new Set<LogRecipient>();
  /**
   * Resolves once every event committed from now on will be told. Whoever reads the log after that, and then listens, misses
   * nothing. Rejects with `DatabaseFailure`.
   */
  readonly ready: Promise<void>;
  /** The newest event of each stream that was told; 0 before the first. */
  readonly #heads: Record<PrivateStream, number> = { orders: 0, portfolio: 0, notifications: 0 };
  readonly #log: UserLog;
  readonly #now: () => number;
  #stopFollowing: (() => void) | null = null;
  #released = false;
  /** Requests that hold the topic before (or without) subscribing. */
  holders = 0;

  constructor(userId: string, log: UserLog, now: () => number) {
    this.userId = userId;
    this.#log = log;
    this.#now = now;
    this.ready = this.#start();
  }

  headOf(stream: PrivateStream): number {
    return this.#heads[stream];
  }

  release(): void {
    this.#released = true;
    this.#stopFollowing?.();
  }

  async #start(): Promise<void> {
    const { head } = await this.#log.since(this.userId, 0, 1);
    if (this.#released) return;
    this.#stopFollowing = this.#log.follow(this.userId, head, (events) => this.#tell(events));
  }

  #tell(events: readonly SyncEvent[]): void {
    for (const event of events) {
      const { stream, streamSeq } = event;
      this.#heads[stream] = streamSeq;
      // Encoded at the first receiver, for all of them.
      const prepared = new PreparedMessage(messageOf(event, this.#log.epoch), this.#now);
      for (const recipient of this.recipients) if (recipient.stream === stream) recipient.live(streamSeq, prepared);
    }
  }
}

/** An event of the log as its stream pushes it. */
export function messageOf(event: SyncEvent, epoch: string): StreamMessage {
  const { stream, streamSeq: seq, seq: logSeq, ts, data } = event;
  return { stream, epoch, seq, kind: 'update', ingestTs: ts, data: { logSeq, event: data } };
}

/** The users whose private streams connections of this process have. */
export class UserTopics {
  readonly #log: UserLog;
  readonly #now: () => number;
  readonly #byUser = new Map<string, UserTopic>();

  constructor(log: UserLog, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  get size(): number {
    return this.#byUser.size;
  }

  /** To be given back with `letGo`, whether or not a subscription came of it. */
  hold(userId: string): UserTopic {
    let topic = this.#byUser.get(userId);
    if (topic === undefined) {
      topic = new UserTopic(userId, this.#log, this.#now);
      this.#byUser.set(userId, topic);
      // A topic that could not start is of no use to the next who asks; whoever waits for it is told.
      const failed = topic;
      topic.ready.catch(() => this.#forget(failed));
    }
    topic.holders += 1;
    return topic;
  }

  letGo(topic: UserTopic): void {
    topic.holders -= 1;
    if (topic.holders === 0) this.#forget(topic);
  }

  stop(): void {
    for (const topic of this.#byUser.values()) topic.release();
    this.#byUser.clear();
  }

  #forget(topic: UserTopic): void {
    if (this.#byUser.get(topic.userId) === topic) this.#byUser.delete(topic.userId);
    topic.release();
  }
}
