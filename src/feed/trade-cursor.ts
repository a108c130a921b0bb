/** Ids remembered per market: exchanges repeat up to 1,000 trades after a reconnect. */
const SEEN_LIMIT = 2_000;

/**
 * Finds the new trades in ccxt's trade cache. The cache is read where the handler has just filled it, so nothing is lost
 * however many frames come between two `watch` calls; the array that `watchTrades` answers is never used.
 */
export class TradeCursor {
  #cache: readonly unknown[] | undefined;
  #last: unknown;
  readonly #seen = new Set<string>();

  /** The objects appended since the last call, oldest first. */
  appended(cache: readonly unknown[]): unknown[] {
    const last = cache === this.#cache ? this.#last : undefined;
    let start = cache.length;
    // By identity and from the end: a cache drops its oldest entries, so positions mean nothing.
    while (start > 0 && cache[start - 1] !== last) start -= 1;
    this.#cache = cache;
    this.#last = cache.at(-1);
    // Not `slice`: on ccxt's subclass of Array it runs the cache's whole constructor, at a tenth of all our CPU for trades.
    const found: unknown[] = [];
    for (let index = start; index < cache.length; index++) found.push(cache[index]);
    return found;
  }

  /** The cache may now be refilled with trades from before its last one (a snapshot after a reconnect): look at all of it once. */
  rewind(): void {
    this.#cache = undefined;
    this.#last = undefined;
  }

  /** True the first time. `identity` must hold more than the id where an exchange may number anew. */
  isNew(identity: string): boolean {
    if (this.#seen.has(identity)) return false;
    this.#seen.add(identity);
    if (this.#seen.size > SEEN_LIMIT) {
      for (const oldest of this.#seen) {
        this.#seen.delete(oldest);
        break;
      }
    }
    return true;
  }
}
