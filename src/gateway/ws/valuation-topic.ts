import { randomUUID } from 'node:crypto';
import type { Clock } from '../../kernel/clock.ts';
import type { PortfolioDesk } from '../../modules/portfolio/index.ts';
import type { Log } from '../../platform/log.ts';
import { PreparedMessage } from '../../protocol/envelope.ts';
import type { MessageKind, StreamPosition, StreamState } from '../../protocol/messages.ts';
import { VALUATION_STREAM } from '../../protocol/trading.ts';
import type { Portfolio } from '../../protocol/trading.ts';

/** Between two valuations of one user; longer when there are so many users that one round takes longer. */
const ROUND_MS = 1_000;
/** Portfolios valued at a time: each reads the database. */
const VALUED_AT_ONCE = 4;

export interface ValuationRecipient {
  valued(topic: ValuationTopic, prepared: PreparedMessage): void;
}

/** What one user's portfolio is worth at live prices. Latest wins: numbers of this stream live as long as the topic. */
export class ValuationTopic {
  readonly userId: string;
  readonly epoch = randomUUID().slice(0, 8);
  readonly recipients = new Set<ValuationRecipient>();
  /** Resolves with the first value. Rejects with `DatabaseFailure`. */
  readonly ready: Promise<void>;
  readonly #deps: ValuationDeps;
  holders = 0;
  state: StreamState;
  #seq = 0;
  #value: Portfolio | null = null;
  #fingerprint = '';

  constructor(userId: string, deps: ValuationDeps) {
    this.userId = userId;
    this.#deps = deps;
    this.state = { status: 'live', since: deps.clock.now(), reason: '' };
    this.ready = this.value();
  }

  get position(): StreamPosition {
    return { epoch: this.epoch, seq: this.#seq };
  }

  /** Values it now and tells everybody when anything but the time has changed. Rejects with `DatabaseFailure`. */
  async value(): Promise<void> {
    const value = await this.#deps.portfolio.portfolio(this.userId);
    const fingerprint = fingerprintOf(value);
    if (fingerprint === this.#fingerprint) return;
    this.#fingerprint = fingerprint;
    this.#value = value;
    this.#seq += 1;
    this.#tell(this.message('update'));
  }

  tellState(status: StreamState['status'], reason: string): void {
    if (this.state.status === status) return;
    this.state = { status, since: this.#deps.clock.now(), reason };
    this.#seq += 1;
    this.#tell(this.message('state'));
  }

  message(kind: MessageKind, conflatedFrom?: number): PreparedMessage {
    const { epoch } = this;
    const { clock } = this.#deps;
    const seq = this.#seq;
    const ingestTs = clock.now();
    const data = kind === 'state' ? this.state : this.#value;
    const conflated = conflatedFrom === undefined ? {} : { conflated: { from: conflatedFrom, to: seq } };
    return new PreparedMessage({ stream: VALUATION_STREAM, epoch, seq, kind, ingestTs, data, ...conflated }, () =>
      clock.now(),
    );
  }

  #tell(prepared: PreparedMessage): void {
    for (const recipient of this.recipients) recipient.valued(this, prepared);
  }
}

/** Ages and the time itself change without anything having happened. */
function fingerprintOf({ at: _at, positions, ...rest }: Portfolio): string {
  return JSON.stringify([rest, positions.map(({ priceAgeMs: _age, ...position }) => position)]);
}

type ValuationDeps = Readonly<{ portfolio: PortfolioDesk; clock: Clock; log: Log }>;

/** Values the portfolios that connections of this process look at, round after round. */
export class ValuationTopics {
  readonly #deps: ValuationDeps;
  readonly #byUser = new Map<string, ValuationTopic>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(deps: ValuationDeps) {
    this.#deps = deps;
  }

  /** To be given back with `letGo`, whether or not a subscription came of it. */
  hold(userId: string): ValuationTopic {
    let topic = this.#byUser.get(userId);
    if (topic === undefined) {
      topic = new ValuationTopic(userId, this.#deps);
      this.#byUser.set(userId, topic);
      const failed = topic;
      topic.ready.catch(() => this.#forget(failed));
      this.#schedule();
    }
    topic.holders += 1;
    return topic;
  }

  letGo(topic: ValuationTopic): void {
    topic.holders -= 1;
    if (topic.holders === 0) this.#forget(topic);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#byUser.clear();
  }

  #forget(topic: ValuationTopic): void {
    if (this.#byUser.get(topic.userId) === topic) this.#byUser.delete(topic.userId);
  }

  #schedule(): void {
    if (this.#stopped || this.#timer !== undefined || this.#byUser.size === 0) return;
    this.#timer = setTimeout(() => void this.#round(), ROUND_MS);
  }

  async #round(): Promise<void> {
    const topics = [...this.#byUser.values()];
    const work = async (): Promise<void> => {
      for (let topic = topics.pop(); topic !== undefined; topic = topics.pop()) await this.#value(topic);
    };
    await Promise.all(Array.from({ length: VALUED_AT_ONCE }, work));
    this.#timer = undefined;
    this.#schedule();
  }

  async #value(topic: ValuationTopic): Promise<void> {
    if (this.#stopped || topic.recipients.size === 0) return;
    try {
      await topic.value();
      topic.tellState('live', '');
    } catch (error) {
      this.#deps.log.warn({ event: 'valuation_failed', err: error });
      topic.tellState('stale', 'the portfolio cannot be read at the moment');
    }
  }
}
