import { BookState, bookChecksum } from '../protocol/book.ts';
import type { Envelope, Level } from '../protocol/messages.ts';
import { isFields } from './frame.ts';
import type { KeeperVerdict, StreamKeeper } from './stream-keeper.ts';

/** An order book at one place of its stream: best level first, prices and sizes as decimal text. Never changes after it was made. */
export type Book = Readonly<{
  stream: string;
  epoch: string;
  seq: number;
  bids: readonly Level[];
  asks: readonly Level[];
  /** CRC-32 of the top 10 levels, of this client's own copy. */
  checksum: number;
  /** The newest sequence number whose checksum from the server agreed with this copy; the server sends one at least every second that brings changes. */
  provedSeq: number;
  /** The exchange's own update id and clock (Unix ms), where it has them. */
  exchangeSeq?: number;
  exchangeTs?: number;
  ingestTs: number;
}>;

/** A book that is believed only while its checksums agree. After any disagreement it is empty until the next snapshot. */
export class VerifiedBook implements StreamKeeper {
  readonly needsSnapshot = true;
  readonly losesByGap = false;
  readonly #state = new BookState();
  #envelope: Envelope | undefined;
  #book: Book | undefined;
  #provedSeq = 0;

  get hasData(): boolean {
    return this.#envelope !== undefined;
  }

  /** The current book; the same object until the next message. */
  get book(): Book | null {
    if (!this.#envelope) return null;
    this.#book ??= bookOf(this.#envelope, this.#state, this.#provedSeq);
    return this.#book;
  }

  apply(envelope: Envelope): KeeperVerdict {
    const change = readChange(envelope.data);
    if (!change) return this.#refuse('malformed');
    if (envelope.kind === 'snapshot') this.#state.reset(change);
    else if (this.#envelope) this.#state.apply(change);
    else return 'no_snapshot';
    if (change.checksum !== undefined && change.checksum !== this.#state.checksum()) {
      return this.#refuse('checksum_mismatch');
    }
    if (change.checksum !== undefined) this.#provedSeq = envelope.seq;
    this.#envelope = envelope;
    this.#book = undefined;
    return 'applied';
  }

  clear(): void {
    this.#envelope = undefined;
    this.#book = undefined;
    this.#state.reset({ bids: [], asks: [] });
  }

  snapshotData(): unknown {
    const { book } = this;
    return book ? { bids: book.bids, asks: book.asks, checksum: book.checksum } : undefined;
  }

  #refuse(verdict: KeeperVerdict): KeeperVerdict {
    this.clear();
    return verdict;
  }
}

function bookOf(envelope: Envelope, state: BookState, provedSeq: number): Book {
  return {
    stream: envelope.stream,
    epoch: envelope.epoch,
    seq: envelope.seq,
    bids: state.bids.slice(),
    asks: state.asks.slice(),
    checksum: bookChecksum(state.bids, state.asks),
    provedSeq,
    ...(envelope.exchangeSeq === undefined ? {} : { exchangeSeq: envelope.exchangeSeq }),
    ...(envelope.exchangeTs === undefined ? {} : { exchangeTs: envelope.exchangeTs }),
    ingestTs: envelope.ingestTs,
  };
}

type BookChange = { bids: Level[]; asks: Level[]; checksum?: number };

function readChange(data: unknown): BookChange | undefined {
  const wellFormed = isFields(data) && isSide(data.bids) && isSide(data.asks);
  return wellFormed ? (data as BookChange) : undefined;
}

function isSide(value: unknown): value is Level[] {
  return (
    Array.isArray(value) &&
    value.every((level) => Array.isArray(level) && typeof level[0] === 'string' && typeof level[1] === 'string')
  );
}
