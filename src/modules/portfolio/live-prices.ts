import { Decimal } from 'decimal.js';
import type { Clock } from '../../kernel/clock.ts';
import type { Ticker } from '../../protocol/messages.ts';
import type { MarketDirectory, StreamCache, StreamLease } from '../market/index.ts';
import type { PriceSource } from './portfolio.ts';
import { decimalText } from './valuation.ts';

/** Pairs whose tickers are kept; past it the one that nobody has asked about for longest is let go. */
const PAIRS_LIMIT = 1_000;
/** Venues whose ticker is kept for one pair: a second one to fall back on. */
const VENUES_PER_PAIR = 2;
/** A pair that nobody asks about is let go after this. */
const LINGER_MS = 60_000;
const LINGER_CHECK_MS = 10_000;
/** A ticker that says nothing for so long is no price, even while its venue is well. */
const AGE_LIMIT_MS = 600_000;

export type Pair = readonly [base: string, quote: string];
export interface LivePrices {
  /** Keeps the pair's tickers from now on; null until the first has come. Codes as exchanges spell them. */
  readonly price: PriceSource;
  /** Resolves once each of these that is traded anywhere has a price, or after `limitMs`. Never rejects. */
  warm(pairs: readonly Pair[], limitMs: number): Promise<void>;
  stop(): void;
}
export type LivePricesDeps = Readonly<{
  cache: Pick<StreamCache, 'lease'>;
  directory: Pick<MarketDirectory, 'find'>;
  /** The first that has a fresh price is believed. */
  venues: readonly string[];
  clock: Clock;
}>;

type Source = { readonly venue: string; readonly lease: StreamLease; at: string; price: string | null; timeMs: number };
type Entry = { readonly sources: readonly Source[]; readonly waiting: Set<() => void>; askedMs: number };

export function createLivePrices(deps: LivePricesDeps): LivePrices {
  return new TickerPrices(deps);
}

class TickerPrices implements LivePrices {
  readonly price: PriceSource = (base, quote) => {
    const entry = this.#entry(base, quote);
    return entry && this.#priceOf(entry);
  };
  readonly #deps: LivePricesDeps;
  /** Least recently asked first. */
  readonly #entries = new Map<string, Entry>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(deps: LivePricesDeps) {
    this.#deps = deps;
  }

  async warm(pairs: readonly Pair[], limitMs: number): Promise<void> {
    const missing = pairs.flatMap(([base, quote]) => {
      const entry = this.#entry(base, quote);
      return entry && this.#priceOf(entry) === null ? [entry] : [];
    });
    if (missing.length === 0) return;
    const ends: (() => void)[] = [];
    const come = missing.map((entry) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      entry.waiting.add(resolve);
      ends.push(() => entry.waiting.delete(resolve));
      return promise;
    });
    const { promise: late, resolve: onLate } = Promise.withResolvers<void>();
    const timer = setTimeout(onLate, limitMs);
    await Promise.race([late, Promise.all(come)]);
    clearTimeout(timer);
    for (const end of ends) end();
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    for (const key of this.#entries.keys()) this.#drop(key);
  }

  /** Null: no venue of ours trades it. Asked again each time, for market lists come late and change. */
  #entry(base: string, quote: string): Entry | null {
    const key = `${base}/${quote}`;
    const known = this.#entries.get(key);
    if (known) {
      known.askedMs = this.#deps.clock.monotonic();
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known;
    }
    const venues = this.#stopped ? [] : this.#deps.venues.filter((venue) => this.#trades(venue, key));
    if (venues.length === 0) return null;
    if (this.#entries.size >= PAIRS_LIMIT) this.#drop(this.#entries.keys().next().value!);
    const waiting = new Set<() => void>();
    const sources = venues.slice(0, VENUES_PER_PAIR).map((venue) => this.#open(venue, key, waiting));
    const entry: Entry = { sources, waiting, askedMs: this.#deps.clock.monotonic() };
    this.#entries.set(key, entry);
    this.#timer ??= setInterval(() => this.#dropForgotten(), LINGER_CHECK_MS);
    return entry;
  }

  #trades(venue: string, symbol: string): boolean {
    const answer = this.#deps.directory.find(venue, symbol);
    return answer.found === 'market' && answer.market.active && answer.market.type === 'spot';
  }

  #open(venue: string, symbol: string, waiting: Set<() => void>): Source {
    const tell = (): void => {
      for (const done of waiting) if (readTicker(source) !== null) done();
    };
    const lease = this.#deps.cache.lease(`ticker:${venue}:${symbol}`, { onMessage: tell, onReset: tell });
    const source: Source = { venue, lease, at: '', price: null, timeMs: 0 };
    void lease.ready.then(tell);
    return source;
  }

  #priceOf(entry: Entry): ReturnType<PriceSource> {
    const nowMs = this.#deps.clock.now();
    for (const source of entry.sources) {
      const price = readTicker(source);
      const ageMs = Math.max(0, nowMs - source.timeMs);
      if (price !== null && ageMs <= AGE_LIMIT_MS) return { price, ageMs, venue: source.venue };
    }
    return null;
  }

  #dropForgotten(): void {
    const oldestMs = this.#deps.clock.monotonic() - LINGER_MS;
    for (const [key, { askedMs }] of this.#entries) {
      if (askedMs > oldestMs) break;
      this.#drop(key);
    }
    if (this.#entries.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #drop(key: string): void {
    for (const { lease } of this.#entries.get(key)!.sources) lease.release();
    this.#entries.delete(key);
  }
}

/** The last price, or the middle of the best bid and ask where the venue does not say; null while the stream is in doubt. */
function readTicker(source: Source): string | null {
  const { view } = source.lease;
  if (view.state.status !== 'live' || view.position === undefined) return null;
  const at = `${view.position.epoch} ${view.position.seq}`;
  if (at !== source.at) {
    const message = view.snapshot()?.message;
    source.at = at;
    source.timeMs = message?.ingestTs ?? 0;
    source.price = message === undefined ? null : priceIn(message.data as Ticker);
  }
  return source.price;
}

function priceIn({ last, bid, ask }: Ticker): string | null {
  if (last !== null) return Number(last) > 0 ? last : null;
  if (bid === null || ask === null) return null;
  const middle = new Decimal(bid).plus(ask).dividedBy(2);
  return middle.isPositive() && !middle.isZero() ? decimalText(middle) : null;
}
