import type { PaperOrder } from './paper-order.ts';

/** Our orders in the book on one side: best price first, then in the order of their arrival. */
export class RestingSide {
  readonly #sells: boolean;
  readonly #byPrice = new Map<bigint, PaperOrder[]>();
  readonly #priceOf = new Map<string, bigint>();
  #prices: bigint[] = [];
  /** Prices of ours that the book did not reach when it was last looked. */
  readonly blind = new Set<bigint>();

  constructor(side: 'buy' | 'sell') {
    this.#sells = side === 'sell';
  }

  get size(): number {
    return this.#priceOf.size;
  }

  get best(): bigint | undefined {
    return this.#prices[0];
  }

  /** A copy: whoever walks it may take orders out. */
  get prices(): readonly bigint[] {
    return this.#prices.slice();
  }

  at(price: bigint): readonly PaperOrder[] {
    return this.#byPrice.get(price) ?? [];
  }

  /** True when an order at `price` would trade with one at `other` of the other side. */
  reaches(price: bigint, other: bigint): boolean {
    return this.#sells ? price <= other : price >= other;
  }

  has(order: PaperOrder): boolean {
    return this.#priceOf.has(order.id);
  }

  add(order: PaperOrder, price: bigint): void {
    this.#priceOf.set(order.id, price);
    if (order.place.ahead === null) this.blind.add(price);
    const there = this.#byPrice.get(price);
    if (there !== undefined) {
      there.push(order);
      return;
    }
    this.#byPrice.set(price, [order]);
    const at = this.#prices.findIndex((each) => (this.#sells ? each > price : each < price));
    this.#prices.splice(at === -1 ? this.#prices.length : at, 0, price);
  }

  remove(order: PaperOrder): void {
    const price = this.#priceOf.get(order.id);
    if (price === undefined) return;
    this.#priceOf.delete(order.id);
    const rest = this.#byPrice.get(price)!.filter((each) => each !== order);
    if (rest.length > 0) this.#byPrice.set(price, rest);
    else {
      this.#byPrice.delete(price);
      this.blind.delete(price);
      this.#prices = this.#prices.filter((each) => each !== price);
    }
  }
}
