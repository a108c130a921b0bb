import { randomUUID } from 'node:crypto';
import type { Clock } from '../../kernel/clock.ts';
import type { Valuations } from '../../modules/portfolio/index.ts';
import { PreparedMessage } from '../../protocol/envelope.ts';
import type { MessageKind, StreamPosition } from '../../protocol/messages.ts';
import { VALUATION_STREAM } from '../../protocol/trading.ts';
import type { Portfolio } from '../../protocol/trading.ts';

const EPOCH_CHARS = 8;

export interface ValuationRecipient {
  valued(prepared: PreparedMessage): void;
}

/** What one user's portfolio is worth at live prices. Latest wins: numbers of this stream live as long as the topic. */
export class ValuationTopic {
  readonly userId: string;
  readonly epoch = randomUUID().slice(0, EPOCH_CHARS);
  readonly recipients = new Set<ValuationRecipient>();
  /** Resolves with the first value, which may take as long as the database is away. */
  readonly ready: Promise<void>;
  readonly #clock: Clock;
  readonly #stopFollowing: () => void;
  holders = 0;
  #seq = 0;
  #value: Portfolio | null = null;

  constructor(userId: string, deps: ValuationDeps) {
    this.userId = userId;
    this.#clock = deps.clock;
    const first = Promise.withResolvers<void>();
    this.ready = first.promise;
    this.#stopFollowing = deps.valuations.follow(userId, (value) => {
      this.#value = value;
      this.#seq += 1;
      first.resolve();
      const prepared = this.message('update');
      for (const recipient of this.recipients) recipient.valued(prepared);
    });
  }

  get position(): StreamPosition {
    return { epoch: this.epoch, seq: this.#seq };
  }

  /** The latest value; `conflatedFrom`: the first of the messages that it stands for. */
  message(kind: MessageKind, conflatedFrom?: number): PreparedMessage {
    const now = (): number => this.#clock.now();
    const seq = this.#seq;
    const conflated = conflatedFrom === undefined ? {} : { conflated: { from: conflatedFrom, to: seq } };
    const place = { stream: VALUATION_STREAM, epoch: this.epoch, seq, kind, ingestTs: now() };
    return new PreparedMessage({ ...place, data: this.#value, ...conflated }, now);
  }

  release(): void {
    this.#stopFollowing();
  }
}

type ValuationDeps = Readonly<{ valuations: Valuations; clock: Clock }>;

/** The users whose valuation connections of this process look at. */
export class ValuationTopics {
  readonly #deps: ValuationDeps;
  readonly #byUser = new Map<string, ValuationTopic>();

  constructor(deps: ValuationDeps) {
    this.#deps = deps;
  }

  /** To be given back with `letGo`, whether or not a subscription came of it. */
  hold(userId: string): ValuationTopic {
    let topic = this.#byUser.get(userId);
    if (topic === undefined) {
      topic = new ValuationTopic(userId, this.#deps);
      this.#byUser.set(userId, topic);
    }
    topic.holders += 1;
    return topic;
  }

  letGo(topic: ValuationTopic): void {
    topic.holders -= 1;
    if (topic.holders > 0) return;
    this.#byUser.delete(topic.userId);
    topic.release();
  }

  stop(): void {
    for (const topic of this.#byUser.values()) topic.release();
    this.#byUser.clear();
  }
}
