import type { FeedCandle, FeedTicker, FeedTrade } from '../modules/market/upstream.ts';
import type { Batch, BookEvent, Doubt, ThreadEvent } from './thread-protocol.ts';

/** One post: larger ones would keep the main thread from everything else. The rest leaves with the next. */
const EVENTS_PER_BATCH = 500;
/** Running candles that wait for the main thread; there is one open candle per timeframe, so more are repetitions. */
const CANDLES_WAITING = 600;

export type OutboxSetup = Readonly<{
  post: (batch: Batch) => void;
  /** Monotonic milliseconds. */
  now: () => number;
  bookIntervalMs: number;
  creditBatches: number;
  tradesWaiting: number;
}>;

type TradesEvent = { type: 'trades'; key: string; trades: FeedTrade[]; ingestTs: number };
type Lane = {
  readonly key: string;
  /** At most six: data (history and running candles are two), a doubt, its end, data again. Whatever else comes is merged. */
  events: ThreadEvent[];
  bookDirty: boolean;
  bookDueMs: number;
  readonly readBook: (() => BookEvent | null) | undefined;
};

/**
 * What is on its way to the main thread. Bounded however slow that is: books are read when they leave, tickers and candles
 * keep the latest, trades are all kept up to a limit and then become a doubt.
 */
export class Outbox {
  readonly #setup: OutboxSetup;
  readonly #lanes = new Map<string, Lane>();
  readonly #pending = new Set<Lane>();
  #batch = 0;
  #acked = 0;
  #trades = 0;
  #conflated = 0;
  #immediate: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerDueMs = Infinity;
  /** Something other than books waits: it leaves at the end of the turn, and books with it. */
  #prompt = false;
  #booksDueMs = -Infinity;

  constructor(setup: OutboxSetup) {
    this.#setup = setup;
  }

  /** Messages that were merged into others because the main thread had not taken enough. */
  get conflated(): number {
    return this.#conflated;
  }

  /** `readBook` answers the book as it is now, or null when there is nothing new. */
  open(key: string, readBook?: () => BookEvent | null): void {
    this.#lanes.set(key, { key, events: [], bookDirty: false, bookDueMs: -Infinity, readBook });
  }

  close(key: string): void {
    const lane = this.#lanes.get(key);
    if (lane === undefined) return;
    this.#forget(lane, 0);
    this.#pending.delete(lane);
    this.#lanes.delete(key);
  }

  bookChanged(key: string): void {
    const lane = this.#lanes.get(key);
    if (lane === undefined) return;
    if (lane.bookDirty) {
      // It is on its way to be read, by a flush that is due or, while blocked, by the one that follows the next acknowledgement.
      if (this.#blocked) this.#conflated += 1;
      return;
    }
    lane.bookDirty = true;
    this.#pending.add(lane);
    if (this.#prompt) return;
    const nowMs = this.#setup.now();
    const dueMs = this.#booksDueMs;
    if (dueMs <= nowMs) this.#scheduleFlush();
    else this.#wakeAt(dueMs, nowMs);
  }

  /** False when too many wait: they are dropped, and the caller owes a doubt. */
  trades(key: string, trades: readonly FeedTrade[], ingestTs: number): boolean {
    const lane = this.#lane(key);
    if (this.#trades + trades.length > this.#setup.tradesWaiting) return false;
    const last = lane.events.at(-1);
    if (last?.type === 'trades') (last as TradesEvent).trades.push(...trades);
    else lane.events.push({ type: 'trades', key, trades: [...trades], ingestTs });
    this.#trades += trades.length;
    this.#schedule(lane);
    return true;
  }

  ticker(key: string, fields: FeedTicker['fields'], exchangeTs: number | undefined, ingestTs: number): void {
    const lane = this.#lane(key);
    const last = lane.events.at(-1);
    const stamp = exchangeTs === undefined ? {} : { exchangeTs };
    if (last?.type === 'ticker') {
      if (this.#blocked) this.#conflated += 1;
      lane.events[lane.events.length - 1] = { ...last, ...stamp, ingestTs, fields: { ...last.fields, ...fields } };
    } else lane.events.push({ type: 'ticker', key, fields, ...stamp, ingestTs });
    this.#schedule(lane);
  }

  candles(key: string, candles: readonly FeedCandle[], history: boolean, ingestTs: number): void {
    const lane = this.#lane(key);
    const at = lane.events.findLastIndex((event) => event.type !== 'candles' || event.history === history);
    const waiting = lane.events[at];
    if (waiting?.type === 'candles') {
      if (this.#blocked) this.#conflated += 1;
      const byTime = new Map([...waiting.candles, ...candles].map((candle) => [candle.ts, candle]));
      const merged = [...byTime.values()].toSorted((a, b) => a.ts - b.ts).slice(-CANDLES_WAITING);
      lane.events[at] = { ...waiting, candles: merged, ingestTs };
    } else lane.events.push({ type: 'candles', key, candles, history, ingestTs });
    this.#schedule(lane);
  }

  /** What waits and is older than the doubt is sound and leaves first; a doubt upon a doubt changes nothing. */
  doubt(key: string, doubt: Doubt): void {
    const lane = this.#lane(key);
    const standing = lane.events.findIndex((event) => event.type === 'doubt');
    if (standing === -1) lane.events.push({ type: 'doubt', key, doubt });
    else this.#forget(lane, standing + 1);
    lane.bookDirty = false;
    this.#schedule(lane);
  }

  fresh(key: string): void {
    const lane = this.#lane(key);
    if (lane.events.at(-1)?.type === 'fresh') return;
    lane.events.push({ type: 'fresh', key });
    this.#schedule(lane);
  }

  refused(key: string, reason: string): void {
    const lane = this.#lane(key);
    this.#forget(lane, 0);
    lane.events.push({ type: 'refused', key, reason });
    this.#schedule(lane);
  }

  ack(batch: number): void {
    this.#acked = Math.max(this.#acked, batch);
    if (this.#pending.size > 0) this.#scheduleFlush();
  }

  stop(): void {
    clearImmediate(this.#immediate);
    clearTimeout(this.#timer);
    this.#pending.clear();
    this.#lanes.clear();
  }

  get #blocked(): boolean {
    return this.#batch - this.#acked >= this.#setup.creditBatches;
  }

  #lane(key: string): Lane {
    const lane = this.#lanes.get(key);
    // A late message of a stream that was given up in the same tick: nobody is to receive it.
    return lane ?? { key, events: [], bookDirty: false, bookDueMs: 0, readBook: undefined };
  }

  #schedule(lane: Lane): void {
    if (!this.#lanes.has(lane.key)) return;
    this.#pending.add(lane);
    this.#prompt = true;
    this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    // After the frames that have already arrived: a burst is one batch.
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#blocked) return;
    const nowMs = this.#setup.now();
    const events: ThreadEvent[] = [];
    // A turn of the main thread costs more than what is in the batch: books of one venue share one, and join others' for nothing.
    const gatheredMs = this.#prompt ? nowMs : this.#booksDueMs;
    let nextBookMs = Infinity;
    let books = 0;
    this.#prompt = false;
    for (const lane of this.#pending) {
      if (events.length >= EVENTS_PER_BATCH) {
        this.#prompt = true;
        break;
      }
      // A book that comes after a doubt cannot wait: the end of the doubt has just left.
      const dueMs = lane.events.length > 0 ? nowMs : Math.max(gatheredMs, lane.bookDueMs);
      if (lane.events.length > 0) this.#takeEvents(lane, events);
      if (lane.bookDirty && dueMs > nowMs) {
        nextBookMs = Math.min(nextBookMs, dueMs);
        continue;
      }
      this.#pending.delete(lane);
      if (lane.bookDirty && this.#takeBook(lane, nowMs, events)) books += 1;
    }
    if (books > 0) {
      // On a grid, so that a market which changes at an even pace is also posted at an even pace.
      const { bookIntervalMs } = this.#setup;
      this.#booksDueMs = (Math.floor(nowMs / bookIntervalMs) + 1) * bookIntervalMs;
    }
    if (events.length > 0) {
      this.#batch += 1;
      this.#setup.post({ batch: this.#batch, events });
    }
    if (this.#prompt) this.#scheduleFlush();
    else if (nextBookMs < Infinity) this.#wakeAt(nextBookMs, nowMs);
  }

  #takeEvents(lane: Lane, events: ThreadEvent[]): void {
    for (const event of lane.events) {
      if (event.type === 'trades') this.#trades -= event.trades.length;
      events.push(event);
    }
    lane.events = [];
  }

  #takeBook(lane: Lane, nowMs: number, events: ThreadEvent[]): boolean {
    lane.bookDirty = false;
    const book = lane.readBook?.();
    if (book === null || book === undefined) return false;
    // Half of it: two posts of one market may be a turn of the grid apart, and a timer is never exact.
    lane.bookDueMs = nowMs + this.#setup.bookIntervalMs / 2;
    events.push(book);
    return true;
  }

  #wakeAt(dueMs: number, nowMs: number): void {
    if (this.#timerDueMs <= dueMs) return;
    clearTimeout(this.#timer);
    this.#timerDueMs = dueMs;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#timerDueMs = Infinity;
        this.#scheduleFlush();
      },
      Math.max(1, Math.ceil(dueMs - nowMs)),
    );
  }

  /** Drops the events from `from` on. */
  #forget(lane: Lane, from: number): void {
    for (const event of lane.events.splice(from)) {
      if (event.type === 'trades') this.#trades -= event.trades.length;
    }
  }
}
