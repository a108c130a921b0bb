import type { PreparedMessage } from '../../protocol/envelope.ts';
import { assert } from '../../kernel/assert.ts';

export type Retention = Readonly<{ messages: number; bytes: number; ageMs: number }>;

type Retained = Readonly<{ prepared: PreparedMessage; bytes: number; addedMs: number }>;

/** The last messages of one epoch, without a hole, for clients that return. Whichever limit is met first decides what is forgotten. */
export class RetainedMessages {
  readonly #limits: Retention;
  /** Forgotten entries leave `undefined` behind until the array is compacted: they must not hold their messages until then. */
  #entries: (Retained | undefined)[] = [];
  #start = 0;
  #bytes = 0;

  constructor(limits: Retention) {
    this.#limits = limits;
  }

  get length(): number {
    return this.#entries.length - this.#start;
  }

  get bytes(): number {
    return this.#bytes;
  }

  clear(): void {
    this.#entries = [];
    this.#start = 0;
    this.#bytes = 0;
  }

  /** `bytes` is what the message weighs about; `nowMs` is monotonic. */
  add(prepared: PreparedMessage, bytes: number, nowMs: number): void {
    const last = this.#entries.at(-1)?.prepared.message;
    const follows = this.length === 0 || prepared.message.seq === last!.seq + 1;
    assert(follows, 'retained messages: a hole');
    this.#entries.push({ prepared, bytes, addedMs: nowMs });
    this.#bytes += bytes;
    this.expire(nowMs);
  }

  expire(nowMs: number): void {
    while (this.length > 0 && this.#isOver(nowMs)) {
      this.#bytes -= this.#entries[this.#start]!.bytes;
      this.#entries[this.#start] = undefined;
      this.#start += 1;
    }
    if (this.#start * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start);
      this.#start = 0;
    }
  }

  /** Everything after `seq`; null when the oldest of it is gone. `newestSeq` is the stream's own position. */
  after(seq: number, newestSeq: number): PreparedMessage[] | null {
    if (seq === newestSeq) return [];
    const oldest = this.#entries[this.#start]?.prepared.message.seq;
    if (oldest === undefined || seq < oldest - 1 || seq > newestSeq) return null;
    return this.#entries.slice(this.#start + (seq + 1 - oldest)).map((entry) => entry!.prepared);
  }

  #isOver(nowMs: number): boolean {
    return (
      this.length > this.#limits.messages ||
      this.#bytes > this.#limits.bytes ||
      nowMs - this.#entries[this.#start]!.addedMs > this.#limits.ageMs
    );
  }
}
