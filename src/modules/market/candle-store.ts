import type { Candle } from '../../protocol/messages.ts';

export type CandleValues = Readonly<Omit<Candle, 'closed' | 'rev'>>;

/** The newest candles of one symbol and timeframe, oldest first. A closed candle changes only as a correction: `rev` rises. */
export class CandleStore {
  readonly #limit: number;
  #candles: Candle[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Replaced on change, never changed in place. */
  get candles(): readonly Candle[] {
    return this.#candles;
  }

  get newest(): Candle | undefined {
    return this.#candles.at(-1);
  }

  get(ts: number): Candle | undefined {
    return this.#candles.findLast((candle) => candle.ts === ts);
  }

  clear(): void {
    this.#candles = [];
  }

  dropOpen(): void {
    this.#candles = this.#candles.filter((candle) => candle.closed);
  }

  /** Answers the candle if this changed anything. A closed candle never opens again. */
  put(values: CandleValues, closed: boolean): Candle | null {
    const known = this.get(values.ts);
    if (known === undefined) return this.#insert({ ...values, closed, rev: 1 });
    const same = sameValues(known, values);
    if (known.closed ? same : same && !closed) return null;
    const next: Candle = known.closed
      ? { ...values, closed: true, rev: known.rev + 1 }
      : { ...values, closed, rev: known.rev };
    this.#candles = this.#candles.map((candle) => (candle === known ? next : candle));
    return next;
  }

  /** Closes the candles that opened before `ts`; answers them. */
  closeBefore(ts: number): Candle[] {
    const closing = this.#candles.filter((candle) => !candle.closed && candle.ts < ts);
    return closing.map((candle) => this.put(candle, true)!);
  }

  #insert(candle: Candle): Candle | null {
    const full = this.#candles.length >= this.#limit;
    if (full && candle.ts < this.#candles[0]!.ts) return null;
    const at = this.#candles.findLastIndex((each) => each.ts < candle.ts) + 1;
    this.#candles = this.#candles.toSpliced(at, 0, candle);
    if (full) this.#candles = this.#candles.slice(1);
    return candle;
  }
}

function sameValues(left: CandleValues, right: CandleValues): boolean {
  return (
    left.open === right.open &&
    left.high === right.high &&
    left.low === right.low &&
    left.close === right.close &&
    left.volume === right.volume
  );
}
