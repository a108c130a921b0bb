import { crc32 } from '../kernel/crc32.ts';
import { seededRandom } from '../kernel/random.ts';
import type { Feed, FeedLimits, VenueSettings } from '../feed/index.ts';
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
/** States kept for comparison: what the feed posts is at most this many changes old. */
const STATES_KEPT = 50_000;

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
  /** Levels compared where an exchange's protocol cannot prove more (Kraken: 10) and frames are lost on purpose. */
  provenLevels?: Readonly<Record<string, number>>;
  /** Default: at once. */
  startWhen?: 'now' | 'first-subscriber' | 'manual';
  faults?: string;
  limits?: Partial<FeedLimits>;
  /** Default: every venue by its own name, told where the sandbox is. */
  settings?: (venue: string, sandboxUrl: string) => VenueSettings;
}>;

/** A feed in front of a sandbox, with an account of what the exchange really did. */
export async function startFeedRig(options: RigOptions): Promise<FeedRig> {
  const log = createLog({ level: 'silent' });
  const truth = new Truth(options.provenLevels ?? {});
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
    venues: sandbox.venues.map((venue) => (options.settings ?? settingsFor)(venue, sandbox.url)),
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

function settingsFor(venue: string, sandboxUrl: string): VenueSettings {
  return { venue, ccxtId: venue, source: 'simulation', sandboxUrl };
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
  readonly #provenLevels: Readonly<Record<string, number>>;
  readonly #byId = new Map<string, { bids: Float64Array; asks: Float64Array }>();
  readonly #states = new Map<string, Set<number>>();
  readonly #tradePlaces = new Map<string, Map<string, number>>();

  constructor(provenLevels: Readonly<Record<string, number>>) {
    this.#provenLevels = provenLevels;
  }

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
    if (book.exchangeSeq !== undefined) {
      const theirs = this.#byId.get(`${key} ${book.exchangeSeq}`);
      if (theirs === undefined) return `at ${book.exchangeSeq}: no such id`;
      const right = startsWith(theirs.bids, book.bids) && startsWith(theirs.asks, book.asks);
      return right ? undefined : `at ${book.exchangeSeq}: other levels`;
    }
    const proven = 2 * (this.#provenLevels[book.venue] ?? MAX_BOOK_DEPTH);
    const ours = stateOf({ bids: book.bids.subarray(0, proven), asks: book.asks.subarray(0, proven) });
    return this.#states.get(key)?.has(ours) === true ? undefined : 'is no state that the exchange ever had';
  }

  silentHoles(told: readonly Told[]): string[] {
    const runs = new Map<string, Set<number>>();
    const holes: string[] = [];
    const close = (upstream: string): void => {
      const run = runs.get(upstream);
      runs.delete(upstream);
      if (run === undefined || run.size === 0) return;
      const missing = Math.max(...run) - Math.min(...run) + 1 - run.size;
      if (missing > 0)
        holes.push(`${upstream}: ${missing} missing between ${Math.min(...run)} and ${Math.max(...run)}`);
    };
    for (const one of told) {
      if (one.type === 'state' && one.state.status !== 'live') close(one.upstream);
      if (one.type !== 'trades') continue;
      const run = runs.get(one.upstream) ?? new Set();
      runs.set(one.upstream, run);
      for (const trade of one.trades) {
        // Unknown: from before the account began; an exchange tells its last trades with a subscription.
        const place = this.#tradePlaces.get(one.upstream)?.get(trade.id);
        if (place !== undefined) run.add(place);
      }
    }
    for (const upstream of runs.keys()) close(upstream);
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
    const levels = { bids: numbers(book.bids), asks: numbers(book.asks) };
    const proven = 2 * (this.#provenLevels[source.venue] ?? MAX_BOOK_DEPTH);
    const state = stateOf({ bids: levels.bids.subarray(0, proven), asks: levels.asks.subarray(0, proven) });
    this.#byId.set(`${key} ${book.lastId}`, levels);
    if (this.#byId.size > STATES_KEPT) this.#byId.delete(this.#byId.keys().next().value!);
    const states = this.#states.get(key) ?? new Set<number>();
    this.#states.set(key, states.size < STATES_KEPT ? states : new Set());
    this.#states.get(key)!.add(state);
  }
}

function stateOf({ bids, asks }: { bids: Float64Array; asks: Float64Array }): number {
  return crc32(`${bids.join(' ')}|${asks.join(' ')}`);
}

/** A book may be shallower than the exchange's, where that gives no more at once; what it shows must be right. */
function startsWith(theirs: Float64Array, ours: Float64Array): boolean {
  return ours.length <= theirs.length && ours.every((value, index) => value === theirs[index]);
}

function numbers(levels: TapeBook['bids']): Float64Array {
  return new Float64Array(levels.slice(0, MAX_BOOK_DEPTH).flatMap(([price, size]) => [Number(price), Number(size)]));
}
