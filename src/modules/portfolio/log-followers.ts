import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { databaseFailureIn } from '../../platform/postgres.ts';
import type { SignalTopic, Signals } from '../../platform/signals.ts';
import type { SyncEvent } from '../../protocol/trading.ts';
import { EVENTS_LIMIT, READERS_LIMIT } from '../ledger/index.ts';
import type { Ledger } from '../ledger/index.ts';
import { readHint, userTopic } from './log-hints.ts';
import { syncEvents } from './sync-event.ts';
import type { AssetScales } from './sync-event.ts';

/** How often everybody's log is looked at, told or not. */
const SWEEP_INTERVAL_MS = 1_000;
/** Users whose news are read in one query; the others come with the next. */
const USERS_PER_READ = 250;
/** One user's news in one query, so that a long absence of one does not keep the others waiting. */
const EVENTS_PER_USER = 100;

export type FollowersSetup = Readonly<{
  ledger: Pick<Ledger, 'news' | 'usersBehind'>;
  scales: AssetScales;
  signals: Signals;
  log: Log;
  metrics: Metrics;
}>;

/** `seq`: the last event that it was told, or that it has from elsewhere. */
type Listener = { readonly tell: (events: readonly SyncEvent[]) => void; seq: number };
type Followed = { readonly userId: string; readonly listeners: Set<Listener> };
type Counter = Readonly<{ inc(labels: Readonly<Record<string, string>>, by?: number): void }>;

/**
 * Everybody who follows a user's log in this process. Hints say when to look; one sweep over all users a second finds what
 * nobody hinted at. Reads are batched and one at a time: while one is under way, others collect.
 */
export class LogFollowers {
  readonly #setup: FollowersSetup;
  readonly #followed = new Map<string, Followed>();
  /** Users of each topic that is subscribed to. */
  readonly #topics = new Map<SignalTopic, { users: number; end: () => void }>();
  /** Users whose news are to be read; who waits longest is first. */
  readonly #behind = new Set<Followed>();
  readonly #found: Counter;
  readonly #faults: Counter;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;
  #sweeping: Promise<void> | undefined;
  #stopped = false;

  constructor(setup: FollowersSetup) {
    this.#setup = setup;
    const { metrics } = setup;
    this.#found = metrics.counter('user_log_swept_total', 'Users whose news a sweep found: no hint had come');
    this.#faults = metrics.counter('user_log_faults_total', 'Reads that failed and listeners that threw', ['what']);
    metrics.collectedGauge(
      'user_log_followed',
      'Users whose log is followed, and those with news to be read',
      ['state'],
      () => [
        [{ state: 'all' }, this.#followed.size],
        [{ state: 'behind' }, this.#behind.size],
      ],
    );
  }

  follow(userId: string, afterSeq: number, tell: (events: readonly SyncEvent[]) => void): () => void {
    if (this.#stopped) return () => {};
    const listener: Listener = { tell, seq: afterSeq };
    const followed = this.#followed.get(userId) ?? this.#add(userId);
    followed.listeners.add(listener);
    // Nobody hints at what was written before.
    this.#look(followed);
    return () => {
      if (followed.listeners.delete(listener) && followed.listeners.size === 0) this.#remove(followed);
    };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const followed of this.#followed.values()) {
      followed.listeners.clear();
      this.#remove(followed);
    }
    await this.#reading;
    await this.#sweeping;
  }

  #add(userId: string): Followed {
    const followed: Followed = { userId, listeners: new Set() };
    this.#followed.set(userId, followed);
    this.#timer ??= setInterval(() => this.#startSweep(), SWEEP_INTERVAL_MS);
    const topic = userTopic(userId);
    const joined = this.#topics.get(topic);
    if (joined) joined.users += 1;
    else this.#topics.set(topic, { users: 1, end: this.#setup.signals.subscribe(topic, (text) => this.#onHint(text)) });
    return followed;
  }

  #remove(followed: Followed): void {
    this.#behind.delete(followed);
    if (this.#followed.get(followed.userId) !== followed) return;
    this.#followed.delete(followed.userId);
    const topic = userTopic(followed.userId);
    const joined = this.#topics.get(topic)!;
    joined.users -= 1;
    if (joined.users === 0) {
      joined.end();
      this.#topics.delete(topic);
    }
    if (this.#followed.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #onHint(text: string): void {
    const hint = readHint(text);
    const followed = hint && this.#followed.get(hint.userId);
    if (followed && leastSeq(followed) < hint.seq) this.#look(followed);
  }

  #look(followed: Followed): void {
    this.#behind.add(followed);
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = undefined;
    });
  }

  /** Until nobody is behind any more, or the database fails: the next sweep then finds them again. */
  async #readAll(): Promise<void> {
    // Whoever begins to follow, or is hinted at, in the same turn comes with the same query.
    await Promise.resolve();
    while (this.#behind.size > 0) {
      try {
        await this.#read([...this.#behind].slice(0, USERS_PER_READ));
      } catch (error) {
        this.#behind.clear();
        this.#onFailure(error, 'read');
      }
    }
  }

  async #read(batch: readonly Followed[]): Promise<void> {
    // From here on whoever is hinted at, or followed from an older place, counts as behind again.
    for (const followed of batch) this.#behind.delete(followed);
    const readers = batch.map((followed) => ({ userId: followed.userId, seq: leastSeq(followed) }));
    const { ledger, scales } = this.#setup;
    const news = await ledger.news(readers, EVENTS_PER_USER);
    const byUser = Map.groupBy(await syncEvents(news, scales), (_, index) => news[index]!.userId);
    for (const [index, followed] of batch.entries()) {
      const own = byUser.get(followed.userId) ?? [];
      if (own.length > 0 && own[0]!.seq !== readers[index]!.seq + 1)
        this.#onGap(followed, readers[index]!.seq, own[0]!);
      for (const listener of followed.listeners) this.#tell(followed, listener, own);
      const cut = own.length === EVENTS_PER_USER || news.length === EVENTS_LIMIT;
      if (cut && followed.listeners.size > 0) this.#behind.add(followed);
    }
  }

  #tell(followed: Followed, listener: Listener, events: readonly SyncEvent[]): void {
    const due = events.filter(({ seq }) => seq > listener.seq);
    // One that came while these were read may want older ones first: it is behind and gets all of them together.
    if (due[0]?.seq !== listener.seq + 1 || !followed.listeners.has(listener)) return;
    listener.seq = due.at(-1)!.seq;
    try {
      listener.tell(due);
    } catch (error) {
      this.#faults.inc({ what: 'listener' });
      this.#setup.log.error({ event: 'user_log_listener_fault', userId: followed.userId, err: error });
    }
  }

  #startSweep(): void {
    this.#sweeping ??= this.#sweep()
      .catch((error: unknown) => this.#onFailure(error, 'sweep'))
      .finally(() => {
        this.#sweeping = undefined;
      });
  }

  async #sweep(): Promise<void> {
    const readers = [...this.#followed.values()].map((followed) => ({
      userId: followed.userId,
      seq: leastSeq(followed),
    }));
    for (let from = 0; from < readers.length; from += READERS_LIMIT) {
      for (const userId of await this.#setup.ledger.usersBehind(readers.slice(from, from + READERS_LIMIT))) {
        const followed = this.#followed.get(userId);
        if (!followed || this.#behind.has(followed)) continue;
        this.#found.inc({});
        this.#look(followed);
      }
    }
  }

  /** The numbers of a log have no gaps; this is damage that nobody may take for the truth. */
  #onGap({ userId }: Followed, after: number, { seq }: SyncEvent): void {
    this.#faults.inc({ what: 'gap' });
    this.#setup.log.error({ event: 'user_log_gap', userId, after, seq });
  }

  #onFailure(error: unknown, what: 'read' | 'sweep'): void {
    if (this.#stopped || databaseFailureIn(error)?.kind === 'stopped') return;
    this.#faults.inc({ what });
    this.#setup.log.warn({ event: 'user_log_unread', what, err: error });
  }
}

function leastSeq(followed: Followed): number {
  let least = Infinity;
  for (const { seq } of followed.listeners) least = Math.min(least, seq);
  return least;
}
