import type { Clock } from '../../kernel/clock.ts';
import { CHECKSUM_DEPTH, bookChecksum } from '../../protocol/book.ts';
import type { BookDelta, BookSnapshot, StreamState } from '../../protocol/messages.ts';
import type { BookDepth } from '../../protocol/streams.ts';
import { PublishedSide } from './book-sides.ts';
import type { FeedBook } from './upstream.ts';
import type { LevelTexts } from './market-text.ts';
import { Pacer } from './pacer.ts';
import type { Content, LineSetup, Stamp } from './stream-line.ts';
import { StreamLine, stampOf } from './stream-line.ts';

/** A checksum costs about as much as a delta; once a second bounds how long a wrong book can go unnoticed. */
const CHECKSUM_INTERVAL_MS = 1_000;
/** An unchanged tier still says once a second which exchange update it stands at, so that anyone can compare there. */
const POSITION_INTERVAL_MS = 1_000;

/** Where a tier finds the newest book and its texts. */
export type BookView = Readonly<{ latest: () => FeedBook | null; texts: () => LevelTexts }>;

/** One stream of a book: its depth, its pace, and the levels that its subscribers have. */
export class BookTier {
  readonly line: StreamLine;
  readonly #view: BookView;
  readonly #clock: Clock;
  readonly #pacer: Pacer;
  readonly #bids: PublishedSide;
  readonly #asks: PublishedSide;
  #stamp: Stamp;
  #checksumMs = -Infinity;

  constructor(name: string, tier: { depth: BookDepth; rateMs: number }, setup: LineSetup, view: BookView) {
    this.line = new StreamLine(name, setup, () => this.#content());
    this.#view = view;
    this.#clock = setup.clock;
    this.#pacer = new Pacer(tier.rateMs, setup.clock, () => this.#publish());
    this.#bids = new PublishedSide(-1, tier.depth);
    this.#asks = new PublishedSide(1, tier.depth);
    this.#stamp = { ingestTs: setup.clock.now() };
  }

  /** Takes the newest book as published without telling anyone: for a tier that nobody has seen yet. */
  adopt(book: FeedBook): void {
    this.#take(book);
    this.line.adopt();
  }

  bookChanged(): void {
    if (this.line.flowing) this.#pacer.request();
    else this.#pacer.runNow();
  }

  /** The texts of the levels have changed: only a fresh start says so. */
  textsChanged(): void {
    const book = this.#view.latest();
    if (book === null || !this.line.flowing) return;
    this.#pacer.cancel();
    this.#begin(book);
  }

  doubt(state: StreamState): void {
    this.#pacer.cancel();
    this.line.doubt(state);
  }

  stop(): void {
    this.#pacer.cancel();
  }

  #begin(book: FeedBook): boolean {
    this.#take(book);
    this.#checksumMs = this.#clock.monotonic();
    this.line.begin(this.#content());
    return true;
  }

  #publish(): boolean {
    const book = this.#view.latest();
    if (book === null) return false;
    if (!this.line.flowing) return this.#begin(book);
    const stamp = stampOf(book);
    const texts = this.#view.texts();
    const bids = this.#bids.change(book.bids, texts);
    const asks = this.#asks.change(book.asks, texts);
    if (bids.length === 0 && asks.length === 0) {
      if (stamp.exchangeSeq === this.#stamp.exchangeSeq) return false;
      const waitMs = POSITION_INTERVAL_MS - this.#pacer.idleMs;
      if (waitMs > 0) {
        this.#pacer.wakeIn(waitMs);
        return false;
      }
    }
    this.#stamp = stamp;
    const delta: BookDelta = { bids, asks };
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#checksumMs >= CHECKSUM_INTERVAL_MS) {
      this.#checksumMs = nowMs;
      delta.checksum = this.#checksum();
    }
    this.line.publish('delta', delta, stamp);
    return true;
  }

  #take(book: FeedBook): void {
    const texts = this.#view.texts();
    this.#bids.replace(book.bids, texts);
    this.#asks.replace(book.asks, texts);
    this.#stamp = stampOf(book);
  }

  #checksum(): number {
    const texts = this.#view.texts();
    return bookChecksum(this.#bids.levels(texts, CHECKSUM_DEPTH), this.#asks.levels(texts, CHECKSUM_DEPTH));
  }

  #content(): Content {
    const texts = this.#view.texts();
    const bids = this.#bids.levels(texts);
    const asks = this.#asks.levels(texts);
    const data: BookSnapshot = { bids, asks, checksum: bookChecksum(bids, asks) };
    return { data, stamp: this.#stamp };
  }
}
