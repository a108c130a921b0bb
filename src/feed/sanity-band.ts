/** Between two messages of one market no price moves this much; a fault of the exchange's does. */
const BAND_FACTOR = 100;
/** A price outside is believed after this many messages agree on it over this long: markets are relisted and rescaled. */
const CONFIRMATIONS = 3;
const CONFIRM_AFTER_MS = 2_000;

/** Holds back prices that jump by orders of magnitude. One per market, shared by its channels. */
export class SanityBand {
  #reference: number | undefined;
  #candidate: { price: number; count: number; sinceMs: number } | undefined;

  /** Whether `price` may pass. Time is monotonic milliseconds. */
  accept(price: number, nowMs: number): boolean {
    if (this.#reference === undefined || within(price, this.#reference)) {
      this.#reference = price;
      this.#candidate = undefined;
      return true;
    }
    if (this.#candidate === undefined || !within(price, this.#candidate.price)) {
      this.#candidate = { price, count: 1, sinceMs: nowMs };
      return false;
    }
    this.#candidate.count += 1;
    if (this.#candidate.count < CONFIRMATIONS || nowMs - this.#candidate.sinceMs < CONFIRM_AFTER_MS) return false;
    this.#reference = price;
    this.#candidate = undefined;
    return true;
  }
}

function within(price: number, reference: number): boolean {
  return price < reference * BAND_FACTOR && price > reference / BAND_FACTOR;
}

/** Markets remembered, wanted or not. */
const BANDS_LIMIT = 5_000;

export class SanityBands {
  readonly #bands = new Map<string, SanityBand>();

  of(symbol: string): SanityBand {
    const band = this.#bands.get(symbol) ?? new SanityBand();
    this.#bands.delete(symbol);
    this.#bands.set(symbol, band);
    if (this.#bands.size > BANDS_LIMIT) {
      // Maps keep the order of insertion: the first is the one not asked for the longest.
      for (const oldest of this.#bands.keys()) {
        this.#bands.delete(oldest);
        break;
      }
    }
    return band;
  }
}
