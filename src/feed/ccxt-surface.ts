/**
 * The part of ccxt that we touch, written down by hand: its own types describe neither clients nor stored books,
 * and they take longer to check than all of our code. Checked against ccxt 4.5.84.
 */
export type CcxtExchange = {
  readonly id: string;
  readonly has: Record<string, unknown>;
  readonly timeframes: Record<string, unknown> | undefined;
  readonly precisionMode: number;
  readonly markets: Record<string, CcxtMarket> | undefined;
  readonly currencies: unknown;
  urls: Record<string, unknown>;
  options: Record<string, unknown>;
  /** How numbers leave ccxt: `Number`, or `String` to keep the exchange's text. */
  number: NumberConstructor | StringConstructor;
  clients: Record<string, CcxtClient>;
  orderbooks: Record<string, CcxtBook>;
  trades: Record<string, unknown>;
  tickers: Record<string, unknown>;
  bidsasks: Record<string, unknown>;
  ohlcvs: Record<string, Record<string, unknown>>;
  log: (...parts: unknown[]) => void;

  loadHttpProxyAgent(): Promise<unknown>;
  loadMarkets(reload?: boolean): Promise<unknown>;
  setMarkets(markets: unknown, currencies?: unknown): unknown;
  safeSymbol(marketId: string | undefined, market?: unknown, delimiter?: string, marketType?: string): string;
  fetchOrderBook(symbol: string, limit?: number): Promise<unknown>;
  fetchOHLCV(symbol: string, timeframe: string, since?: number, limit?: number): Promise<unknown>;
  watchOrderBook(symbol: string, limit?: number, params?: object): Promise<unknown>;
  watchTrades(symbol: string, since?: number, limit?: number, params?: object): Promise<unknown>;
  watchTicker(symbol: string, params?: object): Promise<unknown>;
  watchBidsAsks(symbols: readonly string[], params?: object): Promise<unknown>;
  watchOHLCV(symbol: string, timeframe: string): Promise<unknown>;

  // What we wrap on the instance.
  client(url: string): CcxtClient;
  watch(url: string, hash: string, message?: unknown, subscribeHash?: string, subscription?: unknown): Promise<unknown>;
  watchMultiple(
    url: string,
    hashes: readonly string[],
    message?: unknown,
    subscribeHashes?: readonly string[],
    subscription?: unknown,
  ): Promise<unknown>;
  handleMessage(client: CcxtClient, message: unknown): void;
  onConnected(client: CcxtClient, message?: unknown): void;
  onError(client: CcxtClient, error: unknown): void;
  onClose(client: CcxtClient, event: unknown): void;
  orderBook(snapshot?: object, depth?: number): CcxtBook;
  indexedOrderBook(snapshot?: object, depth?: number): CcxtBook;
  countedOrderBook(snapshot?: object, depth?: number): CcxtBook;
  fetch(url: string, method?: string, headers?: unknown, body?: unknown): Promise<unknown>;
  onRestResponse(status: number, statusText: string, url: string, method: string, ...rest: unknown[]): unknown;
};

/** One WebSocket of ccxt's. */
export type CcxtClient = {
  readonly url: string;
  readonly connection: { readonly readyState: number; terminate(): void } | undefined;
  readonly futures: Record<string, Promise<unknown>>;
  readonly subscriptions: Record<string, unknown>;
  readonly rejections: Record<string, unknown>;
  readonly lastPong: number | undefined;
  onMessage(event: { data: unknown }): void;
  readonly connected: Promise<unknown>;
  connect(backoffDelay?: number): Promise<unknown>;
  onPingInterval(): void;
  resolve(result: unknown, hash: string | undefined): unknown;
  reject(error: unknown, hash?: string): unknown;
  send(message: unknown): Promise<unknown>;
  future(hash: string): Promise<unknown>;
  reset(error: unknown): void;
};

export type CcxtLevel = [price: number, size: number, ...unknown[]];
export type CcxtSide = CcxtLevel[] & { depth: number; storeArray(level: unknown[]): void; limit(): void };
/** ccxt's live, mutable book. `cache` holds changes that wait for a snapshot. */
export type CcxtBook = {
  bids: CcxtSide;
  asks: CcxtSide;
  cache: unknown[];
  nonce: number | undefined;
  timestamp: number | undefined;
  symbol: string | undefined;
  limit(): CcxtBook;
  reset(snapshot?: unknown): CcxtBook;
};

export type CcxtMarket = {
  readonly id: string;
  readonly symbol: string;
  readonly base: string;
  readonly quote: string;
  readonly type: string;
  readonly active?: boolean | undefined;
  readonly precision: { readonly price?: number; readonly amount?: number };
  readonly limits: { readonly amount?: { readonly min?: number }; readonly cost?: { readonly min?: number } };
  readonly info: Record<string, unknown>;
};

/** ccxt's own error classes all descend from its BaseError; a handler's TypeError does not. */
export function isExchangeError(error: unknown): boolean {
  for (let proto: unknown = error; proto !== null && proto !== undefined; proto = Object.getPrototypeOf(proto)) {
    if ((proto as { constructor?: { name?: string } }).constructor?.name === 'BaseError') return true;
  }
  return false;
}
