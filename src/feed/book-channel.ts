import { MAX_BOOK_DEPTH } from '../modules/market/upstream.ts';
import { bestLevels, isCrossed, isSpoiled, middlePrice, rangeOf, sameLevels } from './book-guard.ts';
import { BookImage } from './book-image.ts';
import type { Snapshot } from './book-range.ts';
import type { CcxtBook } from './ccxt-surface.ts';
import type { Channel, ChannelContext } from './channel.ts';
import { exchangeTime } from './normalize.ts';
import type { BookEvent } from './thread-protocol.ts';

/** A book whose known range has become narrow is asked for again at most this often. */
const REFRESH_PAUSE_MS = 5_000;

/** The image of a book follows what is stored; this often it is compared with the book itself. */
const VERIFY_INTERVAL_MS = 2_000;

/** A state to be newer than. */
type Past = Readonly<{ bids: Float64Array; asks: Float64Array; nonce: number | undefined }>;

/** Believes ccxt's live book only while every check holds, and copies its best levels at the moment they are posted. */
export class BookChannel implements Channel {
  readonly #context: ChannelContext;
  /** Touched by the frame being handled, not judged yet. */
  #candidate: CcxtBook | undefined;
  /** Judged and found good. */
  #book: CcxtBook | undefined;
  #bookTs: number | undefined;
  #ingestTs = 0;
  #lastNonce: number | undefined;
  #image: BookImage | undefined;
  #verifiedMs = -Infinity;
  /** The image is what was posted last. */
  #posted: Readonly<{ nonce: number | undefined }> | undefined;
  #newerThan: Past | undefined;
  #refreshedMs = -Infinity;
  #further: Readonly<{ book: CcxtBook; snapshot: Snapshot }> | undefined;

  constructor(context: ChannelContext) {
    this.#context = context;
  }

  take(result: unknown): void {
    if (!isBook(result)) return;
    const stored = this.#context.exchange.orderbooks[this.#context.upstream.symbol];
    // A snapshot that was asked for before the book was dropped still arrives, in an object that ccxt keeps no more.
    if (stored !== undefined && stored !== result) return;
    const first = this.#candidate === undefined;
    this.#candidate = result;
    if (first) this.#context.touched();
  }

  settle(): void {
    const book = this.#candidate;
    this.#candidate = undefined;
    if (book === undefined) return;
    const context = this.#context;
    if (isSpoiled(book)) return context.doubt('impossible value', true);
    // Not whole yet is no fault: the exchange's snapshot was late, and ccxt will find out with the next change.
    if (!context.complete(book)) return;
    if (isCrossed(book)) return context.doubt('crossed book', true);
    const older = this.#lastNonce !== undefined && book.nonce !== undefined && book.nonce < this.#lastNonce;
    if (older && context.live) return context.doubt('older than before', true);
    const nowMs = context.monotonic();
    const middle = middlePrice(book);
    if (middle !== undefined && !context.band.accept(middle, nowMs)) {
      return context.doubt('absurd price', true);
    }
    if (!this.#isNewer(book)) return;
    this.#keepRange(book, nowMs);
    this.#newerThan = undefined;
    this.#book = book;
    this.#lastNonce = book.nonce;
    this.#ingestTs = context.ingestTs;
    this.#bookTs = exchangeTime(book.timestamp, context.ingestTs);
    context.delayed(this.#bookTs);
    context.verified();
    context.outbox.bookChanged(context.key);
  }

  /** For the outbox: reads the live book now. Null when there is nothing new or nothing to be believed. */
  read(): BookEvent | null {
    const book = this.#book;
    if (book === undefined || !this.#context.live) return null;
    const image = this.#upToDate(book);
    if (image === null) return null;
    const { bids, asks } = image;
    const event: { -readonly [Key in keyof BookEvent]: BookEvent[Key] } = {
      type: 'book',
      key: this.#context.key,
      bids,
      asks,
      ingestTs: this.#ingestTs,
    };
    if (this.#context.quirks.bookIds && book.nonce !== undefined) event.exchangeSeq = book.nonce;
    if (this.#bookTs !== undefined) event.exchangeTs = this.#bookTs;
    return event;
  }

  /** Null when nothing has changed since the last post. */
  #upToDate(book: CcxtBook): BookImage | null {
    if (this.#image?.isOf(book) !== true) this.#image = new BookImage(book, MAX_BOOK_DEPTH);
    const image = this.#image;
    let changed = image.update();
    const nowMs = this.#context.monotonic();
    if (nowMs - this.#verifiedMs >= VERIFY_INTERVAL_MS) {
      this.#verifiedMs = nowMs;
      if (!image.verify()) {
        changed = true;
        this.#context.note(`${this.#context.key}: a level changed unseen`);
      }
    }
    if (!changed && this.#posted !== undefined && this.#posted.nonce === book.nonce) return null;
    this.#posted = { nonce: book.nonce };
    return image;
  }

  subscribing(): void {}

  forget(): void {
    const { exchange, upstream } = this.#context;
    delete exchange.orderbooks[upstream.symbol];
    // Coinbase answers for BTC/USDC under the name of BTC/USD: then the book is stored under another symbol.
    const held = this.#book ?? this.#candidate;
    for (const [symbol, book] of Object.entries(exchange.orderbooks)) {
      if (book === held) delete exchange.orderbooks[symbol];
    }
    this.#book = undefined;
    this.#candidate = undefined;
    // The next state is a fresh start and must be posted even if it equals the last one.
    this.#posted = undefined;
  }

  awaitNewer(): void {
    if (this.#newerThan !== undefined || this.#posted === undefined || this.#image === undefined) return;
    const { bids, asks } = this.#image;
    this.#newerThan = { bids: bids.slice(), asks: asks.slice(), nonce: this.#posted.nonce };
  }

  repeat(): void {
    this.#posted = undefined;
    if (this.#book !== undefined) this.#context.outbox.bookChanged(this.#context.key);
  }

  /** Uses a further snapshot that has come, asks for one when the market is running out of the known range. */
  #keepRange(book: CcxtBook, nowMs: number): void {
    const { quirks } = this.#context;
    const range = rangeOf(book);
    if (quirks.window === true) book.limit();
    if (range === undefined || quirks.snapshot === undefined) return;
    range.trim();
    const further = this.#further;
    if (further !== undefined && further.book === book && book.nonce !== undefined) {
      // Only now does the stream hold everything that the snapshot holds.
      if (book.nonce < further.snapshot.nonce) return;
      range.widen(further.snapshot);
      this.#further = undefined;
    }
    if (nowMs - this.#refreshedMs < REFRESH_PAUSE_MS || !range.isNarrow(quirks.snapshot.refreshBelow)) return;
    this.#refreshedMs = nowMs;
    void this.#askFurther(book, quirks.snapshot.levels);
  }

  async #askFurther(book: CcxtBook, levels: number): Promise<void> {
    const range = rangeOf(book)!;
    const askedAt = book.nonce ?? 0;
    range.prepare();
    try {
      const snapshot = await this.#context.exchange.fetchOrderBook(this.#context.upstream.symbol, levels);
      // An answer from a cache, older than the question, misses changes that were not noted.
      if (isSnapshot(snapshot) && snapshot.nonce >= askedAt) this.#further = { book, snapshot };
      else range.abandon();
    } catch (error) {
      // The book stays as it is, right but shallow; the next attempt comes after the pause.
      range.abandon();
      this.#context.note(`${this.#context.key}: no further levels: ${String(error).slice(0, 300)}`);
    }
  }

  #isNewer(book: CcxtBook): boolean {
    const than = this.#newerThan;
    if (than === undefined) return true;
    if (than.nonce !== undefined && book.nonce !== undefined) return book.nonce > than.nonce;
    const bids = bestLevels(book, book.bids, MAX_BOOK_DEPTH);
    return !sameLevels(bids, than.bids) || !sameLevels(bestLevels(book, book.asks, MAX_BOOK_DEPTH), than.asks);
  }
}

function isSnapshot(value: unknown): value is Snapshot {
  const snapshot = value as Partial<Snapshot> | null | undefined;
  return (
    typeof snapshot === 'object' &&
    snapshot !== null &&
    Number.isSafeInteger(snapshot.nonce) &&
    Array.isArray(snapshot.bids) &&
    Array.isArray(snapshot.asks)
  );
}

function isBook(value: unknown): value is CcxtBook {
  const book = value as Partial<CcxtBook> | null | undefined;
  return typeof book === 'object' && book !== null && Array.isArray(book.bids) && Array.isArray(book.asks);
}
