import type { Clock } from '../../kernel/clock.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { BookSnapshot, Ticker } from '../../protocol/messages.ts';
import type { StreamCache, StreamLease } from '../market/index.ts';
import type { BookSource, BookView } from './books.ts';

/** Markets whose books are kept open for pricing; past it the one that was asked for longest ago is let go. */
const MARKETS_LIMIT = 200;
/** Nobody asked for it this long: it costs a subscription at the exchange, and the next who asks waits a moment. */
const IDLE_MS = 120_000;
const SWEEP_MS = 10_000;
/** The first book of a market that nobody looked at before. */
const FIRST_BOOK_LIMIT_MS = 3_000;

export interface LiveBooks extends BookSource {
  stop(): void;
}

type Entry = { readonly book: StreamLease; readonly ticker: StreamLease; usedMs: number };
/** Nothing is done as messages come: whoever prices an order reads the view as it is then. */
const UNHEARD = { onMessage: () => {}, onReset: () => {} };

/** Books for pricing from the same copy of the streams that clients see, so that a quote can be checked against its stream and seq. */
export function createLiveBooks(setup: { cache: StreamCache; clock: Clock; metrics: Metrics }): LiveBooks {
  const { cache, clock, metrics } = setup;
  /** In the order of use. */
  const entries = new Map<string, Entry>();
  metrics.collectedGauge('orders_priced_markets', 'Markets whose books are kept open for pricing', [], () => [
    [{}, entries.size],
  ]);
  const drop = (key: string): void => {
    const entry = entries.get(key);
    entries.delete(key);
    entry?.book.release();
    entry?.ticker.release();
  };
  const use = (venue: string, symbol: string): Entry => {
    const key = `${venue}:${symbol}`;
    const entry = entries.get(key) ?? {
      book: cache.lease(bookStream(venue, symbol), UNHEARD),
      ticker: cache.lease(`ticker:${venue}:${symbol}`, UNHEARD),
      usedMs: 0,
    };
    entry.usedMs = clock.monotonic();
    entries.delete(key);
    entries.set(key, entry);
    if (entries.size > MARKETS_LIMIT) drop(entries.keys().next().value!);
    return entry;
  };
  const sweep = setInterval(() => {
    const beforeMs = clock.monotonic() - IDLE_MS;
    for (const [key, entry] of entries) if (entry.usedMs < beforeMs) drop(key);
  }, SWEEP_MS);
  return {
    book(venue, symbol) {
      const entry = use(venue, symbol);
      const known = viewOf(entry, clock.now());
      return known ?? firstBook(entry, clock);
    },
    stop() {
      clearInterval(sweep);
      for (const key of entries.keys()) drop(key);
    },
  };
}

/** The deepest tier at its fastest pace: what the paper engine fills from as well. */
function bookStream(venue: string, symbol: string): string {
  return `book:${venue}:${symbol}:100:100ms`;
}

async function firstBook(entry: Entry, clock: Clock): Promise<BookView | null> {
  const untilMs = clock.monotonic() + FIRST_BOOK_LIMIT_MS;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FIRST_BOOK_LIMIT_MS);
  });
  await Promise.race([entry.book.ready, late]);
  clearTimeout(timer);
  // The head of a stream that was just opened may come before its first data.
  while (clock.monotonic() < untilMs && entry.book.view.snapshot() === null) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return viewOf(entry, clock.now());
}

function viewOf({ book, ticker }: Entry, nowMs: number): BookView | null {
  const snapshot = book.view.snapshot();
  if (snapshot === null) return null;
  const { stream, epoch, seq, exchangeSeq, ingestTs, data } = snapshot.message;
  const { bids, asks } = data as BookSnapshot;
  const last = ticker.view.snapshot()?.message.data as Ticker | undefined;
  return {
    stream,
    epoch,
    seq,
    exchangeSeq: exchangeSeq ?? null,
    ageMs: Math.max(0, nowMs - ingestTs),
    status: book.view.state.status,
    bids,
    asks,
    last: ticker.view.state.status === 'live' ? (last?.last ?? null) : null,
  };
}
