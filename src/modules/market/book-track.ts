import type { Clock } from '../../kernel/clock.ts';
import { assert } from '../../kernel/assert.ts';
import type { StreamState } from '../../protocol/messages.ts';
import type { StreamSpec } from '../../protocol/streams.ts';
import { BOOK_RATES_MS } from '../../protocol/streams.ts';
import { isSoundBook } from './book-sides.ts';
import { BookTier } from './book-tier.ts';
import type { FeedBook } from './upstream.ts';
import { MAX_BOOK_DEPTH } from './upstream.ts';
import type { MarketDecimals } from './market-text.ts';
import { LevelTexts } from './market-text.ts';
import type { LineSetup, StreamLine } from './stream-line.ts';
import type { Refuse, Track } from './track.ts';

/** The newest book of one symbol, and the tiers that are published from it. */
export class BookTrack implements Track {
  readonly #setup: LineSetup;
  readonly #clock: Clock;
  readonly #decimals: () => MarketDecimals;
  readonly #refuse: Refuse;
  readonly #tiers = new Map<string, BookTier>();
  #texts: LevelTexts;
  /** Null while in doubt: nothing is published from a book that may be wrong. */
  #latest: FeedBook | null = null;
  /** The newest book that was believed, for tiers that open during a doubt: they show it with the doubt. */
  #lastKnown: FeedBook | null = null;
  #state: StreamState | null = null;
  /** Our own doubt: a malformed book was refused, so the last one is out of date. Ends with the next sound book. */
  #refusal: StreamState | null = null;

  constructor(setup: LineSetup, decimals: () => MarketDecimals, refuse: Refuse) {
    this.#setup = setup;
    this.#clock = setup.clock;
    this.#decimals = decimals;
    this.#refuse = refuse;
    this.#texts = new LevelTexts(decimals());
  }

  open(spec: StreamSpec): StreamLine {
    assert(spec.channel === 'book', 'book track: not a book stream');
    const known = this.#tiers.get(spec.name);
    if (known !== undefined) return known.line;
    const view = { latest: () => this.#latest, texts: () => this.#texts };
    const tier = new BookTier(spec.name, { depth: spec.depth, rateMs: BOOK_RATES_MS[spec.rate] }, this.#setup, view);
    this.#tiers.set(spec.name, tier);
    if (this.#lastKnown !== null) tier.adopt(this.#lastKnown);
    if (this.#state !== null) tier.line.adoptDoubt(this.#state);
    return tier.line;
  }

  close(name: string): void {
    this.#tiers.get(name)?.stop();
    this.#tiers.delete(name);
  }

  onBook(book: FeedBook): void {
    if (this.#state !== null && this.#state !== this.#refusal) return;
    if (!isSoundBook(book, MAX_BOOK_DEPTH)) {
      this.#refuse('book');
      this.#setDoubt(this.#refusal ?? this.#refuseBooks());
      return;
    }
    this.#state = this.#refusal = null;
    this.#latest = this.#lastKnown = book;
    for (const tier of this.#tiers.values()) tier.bookChanged();
  }

  doubt(state: StreamState): void {
    this.#refusal = null;
    this.#setDoubt(state);
  }

  trust(): void {
    if (this.#refusal === null) this.#state = null;
  }

  /** Texts change with the precision, and with them the checksums: a new epoch for all tiers. */
  marketChanged(): void {
    this.#texts = new LevelTexts(this.#decimals());
    if (this.#latest === null || this.#state !== null) return;
    for (const tier of this.#tiers.values()) tier.textsChanged();
  }

  stop(): void {
    for (const tier of this.#tiers.values()) tier.stop();
  }
  #refuseBooks(): StreamState {
    this.#refusal = { status: 'resyncing', since: this.#clock.now(), reason: 'the exchange sent a malformed book' };
    return this.#refusal;
  }

  #setDoubt(state: StreamState): void {
    this.#state = state;
    this.#latest = null;
    for (const tier of this.#tiers.values()) tier.doubt(state);
  }
}
