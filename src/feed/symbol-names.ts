import type { CcxtExchange } from './ccxt-surface.ts';

/** Market ids remembered; the largest exchanges list some 5,000. */
const NAMES_LIMIT = 20_000;

/** The unified symbols of market ids, for as long as the exchange's listing stands: ccxt looks an id up anew with every frame. */
export class SymbolNames {
  readonly #names = new Map<string, string>();

  of(exchange: CcxtExchange, marketId: string): string {
    const known = this.#names.get(marketId);
    if (known !== undefined) return known;
    const symbol = exchange.safeSymbol(marketId, undefined, '-', 'spot');
    if (this.#names.size >= NAMES_LIMIT) this.#names.clear();
    this.#names.set(marketId, symbol);
    return symbol;
  }

  clear(): void {
    this.#names.clear();
  }
}
