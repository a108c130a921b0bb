import type { WireEnvelope } from './door.ts';

export type Position = Readonly<{ epoch: string; seq: number }>;

/**
 * `first`: nothing to compare with. `next`: in sequence. `rebased`: an announced new start (snapshot, gap, new epoch).
 * `repeated`: already had. `silent_gap`: messages are missing and nobody said so: the one thing that must never happen.
 */
export type AuditVerdict = 'first' | 'next' | 'rebased' | 'repeated' | 'silent_gap';

/** Follows one stream's sequence across connections. */
export class StreamAudit {
  #position: Position | undefined;
  /** A reply said that nothing is recovered: a snapshot or a gap has to come before anything else. */
  #owed = false;

  get position(): Position | undefined {
    return this.#position;
  }

  /** What subscribing answered. */
  joined(result: Position & Readonly<{ recovered: boolean }>): void {
    this.#owed = !result.recovered;
    // Without data there is no snapshot: the reply's position is then what the next message follows.
    if (!this.#position || this.#owed) this.#position = { epoch: result.epoch, seq: result.seq };
  }

  /** Everything up to `target` is there. A stream that never had data (seq 0) has nothing to come; a newer epoch has passed it. */
  has(target: Position): boolean {
    const here = this.#position;
    if (!here || here.epoch !== target.epoch) return here !== undefined;
    return here.seq >= target.seq && (!this.#owed || target.seq === 0);
  }

  take(envelope: WireEnvelope): AuditVerdict {
    const before = this.#position;
    const { epoch, seq, kind } = envelope;
    if (!before) {
      this.#move(envelope);
      return 'first';
    }
    const newStart = kind === 'snapshot' || kind === 'gap';
    if (epoch !== before.epoch) {
      this.#move(envelope);
      return newStart || kind === 'state' ? 'rebased' : 'silent_gap';
    }
    if (newStart && (this.#owed || seq > before.seq)) {
      const says = announcedFrom(envelope);
      const isLess = !this.#owed && says !== undefined && says > before.seq + 1;
      this.#move(envelope);
      if (isLess) return 'silent_gap';
      return seq === before.seq + 1 && kind !== 'gap' ? 'next' : 'rebased';
    }
    if (seq <= before.seq) return 'repeated';
    this.#move(envelope);
    return seq === before.seq + 1 ? 'next' : 'silent_gap';
  }

  #move({ epoch, seq, kind }: WireEnvelope): void {
    this.#position = { epoch, seq };
    if (kind !== 'state') this.#owed = false;
  }
}

/** The first message that a gap or a conflated snapshot stands for; undefined when it does not say. */
function announcedFrom({ kind, conflated, data }: WireEnvelope): number | undefined {
  return kind === 'gap' ? (data as { from?: number }).from : conflated?.from;
}
