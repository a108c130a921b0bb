import type { Doubt, Pulse } from './thread-protocol.ts';

/** Enough for a median; a busy exchange would give thousands in each pulse. */
const LAG_SAMPLES = 200;
/** A larger difference is not a delay but another clock: a recording plays years ago. */
const LAG_LIMIT_MS = 3_600_000;

/** Counts of one venue's thread, in total since its start except for the lag samples. */
export class SessionGauges {
  #frames = 0;
  #garbage = 0;
  #reconnects = 0;
  #lastMessageTs: number | null = null;
  #lagMs: number[] = [];
  readonly #doubts: Partial<Record<Doubt, number>> = {};

  frame(nowMs: number): void {
    this.#frames += 1;
    this.#lastMessageTs = nowMs;
  }

  garbage(): void {
    this.#garbage += 1;
  }

  lost(): void {
    this.#reconnects += 1;
  }

  doubt(doubt: Doubt): void {
    this.#doubts[doubt] = (this.#doubts[doubt] ?? 0) + 1;
  }

  delayed(exchangeTs: number | undefined, ingestTs: number): void {
    if (exchangeTs === undefined || this.#lagMs.length >= LAG_SAMPLES) return;
    const lagMs = ingestTs - exchangeTs;
    if (Math.abs(lagMs) <= LAG_LIMIT_MS) this.#lagMs.push(lagMs);
  }

  /** Takes the lag samples away. */
  read(): Pick<Pulse, 'frames' | 'garbage' | 'reconnects' | 'lastMessageTs' | 'lagMs' | 'doubts'> {
    const lagMs = this.#lagMs;
    this.#lagMs = [];
    return {
      frames: this.#frames,
      garbage: this.#garbage,
      reconnects: this.#reconnects,
      lastMessageTs: this.#lastMessageTs,
      lagMs,
      doubts: { ...this.#doubts },
    };
  }
}
