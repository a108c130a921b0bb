import { BATCH_LIMITS } from '../../protocol/limits.ts';
import type { Codec } from './codec.ts';
import { Frame } from './frame.ts';
import type { GatheredFrames } from './gathered-frames.ts';

const INITIAL_ROOM = 1_024;

/** A row as it was gathered, in the raw column, and what is sent for it; `made` is null for one that was sent as it is. */
type Memo = { at: number; count: number; made: number[] | null; messages: number };

let rounds = 0;

/**
 * What one flush sends: a table of frames, and per socket a row of places in it. Rows that are equal are worked on once: what is to be
 * one message (a batch) is encoded once for all sockets that get the same, and other rows become one piece when they occur again.
 */
export class FrameRows {
  readonly #gathered: GatheredFrames;
  /** The table: frames and, for the native writer, their bytes. */
  readonly #frames: Frame[] = [];
  readonly buffers: Buffer[] = [];
  /** Rows behind one another: descriptor, number of places, places. */
  program = new Int32Array(INITIAL_ROOM);
  length = 0;
  /** Of the row that was put last. */
  bytes = 0;
  messages = 0;
  /** Places with the mark of a batch in the lowest bit. */
  #raw = new Int32Array(INITIAL_ROOM);
  #rawUsed = 0;
  readonly #memos = new Map<number, Memo>();
  #round = 0;

  constructor(gathered: GatheredFrames) {
    this.#gathered = gathered;
  }

  /** Forgets the last flush. A frame knows its place in one round's table only. */
  begin(): void {
    rounds += 1;
    this.#round = rounds;
    this.#frames.length = 0;
    this.buffers.length = 0;
    this.length = 0;
    this.#rawUsed = 0;
    this.#memos.clear();
  }

  /** Puts the list that begins at `head` as a row; answers where it stands. */
  put(descriptor: number, head: number, codec: Codec): number {
    const rowAt = this.length;
    const rawAt = this.#rawUsed;
    let hash = 0;
    let batched = 0;
    for (let entry = head; entry !== -1; entry = this.#gathered.after(entry)) {
      const mark = this.#gathered.isBatched(entry) ? 1 : 0;
      const place = (this.#placeOf(this.#gathered.frame(entry)) << 1) | mark;
      if (this.#rawUsed === this.#raw.length) this.#raw = doubled(this.#raw);
      this.#raw[this.#rawUsed++] = place;
      hash = Math.imul(hash ^ place, 0x01000193);
      batched |= mark;
    }
    this.bytes = 0;
    this.#append(descriptor);
    this.#append(0);
    const count = this.#rawUsed - rawAt;
    if (count === 1) this.#putRaw(rawAt, count);
    else this.#putShared(hash, rawAt, count, batched === 1 ? codec : null);
    this.program[rowAt + 1] = this.length - rowAt - 2;
    return rowAt;
  }

  /** Where the row behind the one at `rowAt` stands. */
  after(rowAt: number): number {
    return rowAt + 2 + this.program[rowAt + 1]!;
  }

  /** A row's bytes as one piece. */
  joined(rowAt: number): Buffer {
    const count = this.program[rowAt + 1]!;
    if (count === 1) return this.buffers[this.program[rowAt + 2]!]!;
    const pieces: Buffer[] = [];
    for (let index = 0; index < count; index++) pieces.push(this.buffers[this.program[rowAt + 2 + index]!]!);
    return Buffer.concat(pieces);
  }

  #putShared(hash: number, rawAt: number, count: number, codec: Codec | null): void {
    const known = this.#memos.get(hash);
    if (known !== undefined && this.#same(known, rawAt, count)) {
      known.made ??= [this.#placeOf(this.#join(known))];
      this.#rawUsed = rawAt;
      return this.#putMade(known.made, known.messages);
    }
    const memo: Memo = { at: rawAt, count, made: null, messages: count };
    if (codec === null) this.#putRaw(rawAt, count);
    else {
      memo.made = this.#batch(rawAt, count, codec);
      memo.messages = memo.made.length;
      this.#putMade(memo.made, memo.messages);
    }
    // Of two different rows with one hash the first is remembered.
    if (known === undefined) this.#memos.set(hash, memo);
  }

  #same(memo: Memo, rawAt: number, count: number): boolean {
    if (memo.count !== count) return false;
    const raw = this.#raw;
    for (let index = 0; index < count; index++) if (raw[memo.at + index] !== raw[rawAt + index]) return false;
    return true;
  }

  #join({ at, count }: Memo): Frame {
    const pieces: Buffer[] = [];
    for (let index = 0; index < count; index++) pieces.push(this.buffers[this.#raw[at + index]! >> 1]!);
    return new Frame(Buffer.concat(pieces));
  }

  /** Neighbours that may be batched become one message, within bounds; answers places. */
  #batch(rawAt: number, count: number, codec: Codec): number[] {
    const made: number[] = [];
    let run: Frame[] = [];
    let runBytes = 0;
    const endRun = (): void => {
      if (run.length > 0) made.push(this.#placeOf(run.length === 1 ? run[0]! : codec.batch(run)));
      run = [];
      runBytes = 0;
    };
    for (let index = 0; index < count; index++) {
      const raw = this.#raw[rawAt + index]!;
      const frame = this.#frames[raw >> 1]!;
      if ((raw & 1) === 0) {
        endRun();
        made.push(raw >> 1);
        continue;
      }
      if (run.length >= BATCH_LIMITS.envelopes || runBytes + frame.bytes.length > BATCH_LIMITS.bytes) endRun();
      run.push(frame);
      runBytes += frame.bytes.length;
    }
    endRun();
    return made;
  }

  #putMade(made: readonly number[], messages: number): void {
    for (const place of made) this.#append(place);
    for (const place of made) this.bytes += this.buffers[place]!.length;
    this.messages = messages;
  }

  #putRaw(rawAt: number, count: number): void {
    for (let index = 0; index < count; index++) {
      const place = this.#raw[rawAt + index]! >> 1;
      this.#append(place);
      this.bytes += this.buffers[place]!.length;
    }
    this.messages = count;
  }

  #append(value: number): void {
    if (this.length === this.program.length) this.program = doubled(this.program);
    this.program[this.length++] = value;
  }

  #placeOf(frame: Frame): number {
    if (frame.round !== this.#round) {
      frame.round = this.#round;
      frame.place = this.#frames.length;
      this.#frames.push(frame);
      this.buffers.push(frame.bytes);
    }
    return frame.place;
  }
}

function doubled(column: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(column.length * 2);
  larger.set(column);
  return larger;
}
