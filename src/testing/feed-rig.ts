import { crc32 } from '../kernel/crc32.ts';
import { seededRandom } from '../kernel/random.ts';
import type { Feed, FeedLimits } from '../feed/index.ts';
import { createFeed } from '../feed/index.ts';
import type { FeedBook, FeedCandles, FeedTicker, FeedTrade, Upstream } from '../modules/market/upstream.ts';
import { MAX_BOOK_DEPTH, upstreamKey } from '../modules/market/upstream.ts';
import { createLog } from '../platform/log.ts';
import { createMetrics } from '../platform/metrics.ts';
import type { StreamState } from '../protocol/messages.ts';
import type { Sandbox } from '../sandbox/index.ts';
import { startSandbox } from '../sandbox/index.ts';
import type { TapeBook, TapeEvent, TapeSource } from '../sandbox/tape.ts';

const POLL_MS = 10;
const WAIT_MS = 30_000;
/** States of one market that a book without an id may equal: what the feed posts is at most this many changes old. */
const STATES_KEPT = 100_000;

/** One thing that the feed has told, in its order. */
export type Told = Readonly<{ atMs: number; upstream: string }> &
  Readonly<
    | { type: 'state'; state: StreamState }
    | { type: 'book'; book: FeedBook }
    | { type: 'trades'; trades: readonly FeedTrade[] }
    | { type: 'ticker'; ticker: FeedTicker }
    | { type: 'candles'; candles: FeedCandles }
  >;

export type FeedRig = Readonly<{
  feed: Feed;
  sandbox: Sandbox;
  told: Told[];
  venueStates: StreamState[];
  metrics(): Promise<string>;
  want(...upstreams: Upstream[]): void;
  state(upstream: Upstream): StreamState | undefined;
  /** Of one upstream. */
  of<T extends Told['type']>(upstream: Upstream, type: T): Extract<Told, { type: T }>[];
  /** Books told that the exchange never had, or had under another id. */
  wrongBooks(): string[];
  booksChecked(): number;
  /** Places where a trade is missing between two that were told without a doubt in between. */
  silentHoles(): string[];
  until(condition: () => boolean, what: string, waitMs?: number): Promise<void>;
  stop(): Promise<void>;
}>;

export type RigOptions = Readonly<{
  sources: readonly TapeSource[];
  /** Default: at once. */
  startWhen?: 'now' | 'first-subscriber' | 'manual';
  faults?: string;
  limits?: Partial<FeedLimits>;
  venue?: Partial<Parameters<typeof createFeed>[0]['venues'][number]>;
}>;

/** A feed in front of a sandbox, with an account of what the exchange really did. */
export async function startFeedRig(options: RigOptions): Promise<FeedRig> {
  const log = createLog({ level: 'silent' });
  const truth = new Truth();
  const sandbox = await startSandbox({
    sources: options.sources.map((source) => truth.watching(source)),
    log,
    startWhen: options.startWhen ?? 'now',
    ...(options.faults === undefined ? {} : { faults: options.faults }),
  });
  const metrics = createMetrics({ processMetrics: false });
  const told: Told[] = [];
  const states = new Map<string, StreamState>();
  const venueStates: StreamState[] = [];
  const wrong: string[] = [];
  let checked = 0;
  const tell = (one: Told): void => void told.push(one);
  const at = (upstream: string) => ({ atMs: performance.now(), upstream });
  const feed = createFeed({
    venues: sandbox.venues.map((venue) => ({
      venue,
      ccxtId: venue,
      source: 'simulation',
      sandboxUrl: sandbox.url,
      ...options.venue,
    })),
    log,
    metrics,
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    random: seededRandom(7),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ingest: {
      markets: () => {},
      venueHealth: () => {},
      venueState: (_venue, state) => void venueStates.push(state),
      upstreamState(upstream, state) {
        states.set(upstreamKey(upstream), state);
        tell({ ...at(upstreamKey(upstream)), type: 'state', state });
      },
      book(book) {
        checked += 1;
        const key = `book:${book.venue}:${book.symbol}`;
        const problem = truth.bookProblem(book);
        if (problem !== undefined) wrong.push(`${key} ${problem}`);
        if (states.get(key)?.status !== 'live') wrong.push(`${key} told while ${states.get(key)?.status}`);
        tell({ ...at(key), type: 'book', book });
      },
      trades: ({ venue, symbol, trades }) => tell({ ...at(`trades:${venue}:${symbol}`), type: 'trades', trades }),
      ticker: (ticker) => tell({ ...at(`ticker:${ticker.venue}:${ticker.symbol}`), type: 'ticker', ticker }),
      candles: (candles) => tell({ ...at(upstreamKey({ ...candles, channel: 'candles' })), type: 'candles', candles }),
    },
  });
  await feed.start();
  return {
    feed,
    sandbox,
    told,
    venueStates,
    metrics: () => metrics.render(),
    want: (...upstreams) => upstreams.forEach((upstream) => feed.want(upstream)),
    state: (upstream) => states.get(upstreamKey(upstream)),
    of: <T extends Told['type']>(upstream: Upstream, type: T) =>
      told.filter(
        (one): one is Extract<Told, { type: T }> => one.type === type && one.upstream === upstreamKey(upstream),
      ),
    wrongBooks: () => wrong,
    booksChecked: () => checked,
    silentHoles: () => truth.silentHoles(told),
    until,
    stop: async () => {
      await feed.stop();
      await sandbox.stop();
      options.sources.forEach((source) => source.stop());
    },
  };
}

export async function until(condition: () => boolean, what: string, waitMs = WAIT_MS): Promise<void> {
  const giveUpMs = performance.now() + waitMs;
  while (!condition()) {
    if (performance.now() > giveUpMs) throw new Error(`waited ${waitMs} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** What the exchange did, noted where it happens. */
class Truth {
  readonly #byId = new Map<string, number>();
  readonly #states = new Map<string, Set<number>>();
  readonly #tradePlaces = new Map<string, Map<string, number>>();

  watching(source: TapeSource): TapeSource {
    for (const { symbol } of source.markets) this.#noteBook(source, symbol);
    const start: TapeSource['start'] = (sink, drained) =>
      source.start((event) => {
        this.#note(source, event);
        sink(event);
      }, drained);
    return new Proxy(source, {
      get: (target, name) => {
        if (name === 'start') return start;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  /** Undefined when the exchange's own book was like this, at that id where it has ids. */
  bookProblem(book: FeedBook): string | undefined {
    const key = `${book.venue} ${book.symbol}`;
    const ours = crc32(`${pairs(book.bids)}|${pairs(book.asks)}`);
    if (book.exchangeSeq !== undefined) {
      const theirs = this.#byId.get(`${key} ${book.exchangeSeq}`);
      return theirs === ours
        ? undefined
        : `at ${book.exchangeSeq}: ${theirs === undefined ? 'no such id' : 'other levels'}`;
    }
    return this.#states.get(key)?.has(ours) === true ? undefined : 'is no state that the exchange ever had';
  }

  silentHoles(told: readonly Told[]): string[] {
    const last = new Map<string, number>();
    const holes: string[] = [];
    for (const one of told) {
      if (one.type === 'state' && one.state.status !== 'live') last.delete(one.upstream);
      if (one.type !== 'trades') continue;
      const places = this.#tradePlaces.get(one.upstream) ?? new Map<string, number>();
      for (const trade of one.trades) {
        const place = places.get(trade.id) ?? Number.NaN;
        const before = last.get(one.upstream);
        if (before !== undefined && place !== before + 1) holes.push(`${one.upstream} ${before} -> ${place}`);
        last.set(one.upstream, place);
      }
    }
    return holes;
  }

  #note(source: TapeSource, event: TapeEvent): void {
    if (event.kind === 'trade') {
      const key = `trades:${source.venue}:${event.symbol}`;
      const places = this.#tradePlaces.get(key) ?? new Map<string, number>();
      this.#tradePlaces.set(key, places);
      places.set(event.id, places.size);
    }
    if (event.kind === 'book') this.#noteBook(source, event.symbol);
  }

  #noteBook(source: TapeSource, symbol: string): void {
    const book = source.book(symbol);
    if (book === undefined) return;
    const key = `${source.venue} ${symbol}`;
    const state = crc32(`${texts(book.bids)}|${texts(book.asks)}`);
    this.#byId.set(`${key} ${book.lastId}`, state);
    const states = this.#states.get(key) ?? new Set<number>();
    this.#states.set(key, states.size < STATES_KEPT ? states : new Set());
    this.#states.get(key)!.add(state);
  }
}

function pairs(levels: Float64Array): string {
  return levels.join(' ');
}

function texts(levels: TapeBook['bids']): string {
  return levels
    .slice(0, MAX_BOOK_DEPTH)
    .map(([price, size]) => `${Number(price)} ${Number(size)}`)
    .join(' ');
}
