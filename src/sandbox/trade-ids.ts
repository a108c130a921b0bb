/** Object ids (KuCoin): 24 hex digits of which the first 8 are Unix seconds. */
const OBJECT_ID = /^[0-9a-f]{24}$/;
const INTEGER_ID = /^[0-9]+$/;

/** One symbol's trade ids over a looping tape: later passes get ids that go on where the last pass ended. */
export class TradeIds {
  #least: bigint | undefined;
  #greatest = 0n;
  #shift = 0n;
  #pass = 0;

  /** The id to use for a recorded id in the present pass; `shiftMs` is how far the pass's times are moved. */
  take(id: string, shiftMs: number): string {
    if (INTEGER_ID.test(id)) return this.#integer(BigInt(id)).toString();
    if (this.#pass === 0) return id;
    if (!OBJECT_ID.test(id)) return `${id}~${this.#pass}`;
    const seconds = Number.parseInt(id.slice(0, 8), 16) + Math.ceil(shiftMs / 1000);
    return seconds.toString(16).padStart(8, '0').slice(-8) + id.slice(8);
  }

  wrap(): void {
    this.#pass += 1;
    if (this.#least !== undefined) this.#shift = this.#greatest + 1n - this.#least;
  }

  #integer(id: bigint): bigint {
    if (this.#pass === 0 && (this.#least === undefined || id < this.#least)) this.#least = id;
    const shifted = id + this.#shift;
    if (shifted > this.#greatest) this.#greatest = shifted;
    return shifted;
  }
}
