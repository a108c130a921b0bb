import type { Timeframe } from '../protocol/streams.ts';

/** Exchanges whose wire protocol the sandbox speaks; each is one file in `venues/`. */
export const SANDBOX_VENUES = ['binance', 'binanceusdm', 'kraken', 'coinbase', 'kucoin', 'okx'] as const;
export type SandboxVenue = (typeof SANDBOX_VENUES)[number];

/** Price and absolute size as decimal text; size "0" deletes. */
export type TapeLevel = readonly [price: string, size: string];

/**
 * What happens at an exchange, in an exchange's order, free of any wire format. `symbol` is unified (`BTC/USDT`), `ts` is the
 * exchange's clock in Unix milliseconds. A recorded event carries the frame it came from, so that it can leave byte for byte;
 * where one frame holds several events (three trades in one message) the first carries it and the others carry `raw: ''`.
 * `previousId` is the `lastId` of the event before, given where an exchange's ids have holes by design (Binance futures).
 */
export type TapeEvent = Readonly<
  { symbol: string; ts: number; raw?: string } & (
    | {
        kind: 'book';
        firstId: number;
        lastId: number;
        previousId?: number;
        bids: readonly TapeLevel[];
        asks: readonly TapeLevel[];
      }
    | { kind: 'top'; id: number; bid: TapeLevel; ask: TapeLevel }
    | { kind: 'trade'; id: string; price: string; size: string; takerSide: 'buy' | 'sell' }
    | ({ kind: 'ticker' } & TapeTicker)
    | ({ kind: 'candle'; timeframe: Timeframe; closed: boolean } & TapeCandle)
  )
>;
export type TapeTicker = Readonly<{
  last: string;
  open: string;
  high: string;
  low: string;
  baseVolume: string;
  quoteVolume: string;
  bid?: string;
  bidSize?: string;
  ask?: string;
  askSize?: string;
}>;
/** `openTs` is the candle's open time. */
export type TapeCandle = Readonly<{
  openTs: number;
  open: string;
  high: string;
  low: string;
  close: string;
  volume: string;
  quoteVolume: string;
  trades: number;
}>;
/** `raw` is the exchange's own JSON text about this market, where a recording has it. */
export type TapeMarket = Readonly<{
  symbol: string;
  raw?: string;
  base: string;
  quote: string;
  tickSize: string;
  lotSize: string;
  minSize: string;
  minNotional: string;
}>;
export type TapeTrade = Extract<TapeEvent, { kind: 'trade' }>;
export type TapeBook = Readonly<{ lastId: number; ts: number; bids: readonly TapeLevel[]; asks: readonly TapeLevel[] }>;

/** One exchange's market data: a recording or a simulation. What the getters answer is always true to the playing position. */
export interface TapeSource {
  readonly venue: SandboxVenue;
  readonly origin: 'recording' | 'simulation';
  readonly markets: readonly TapeMarket[];
  /** False: the recorded exchange numbers no book change, `lastId` is the source's own count. */
  readonly numbered?: boolean;
  /** Levels per side that the recorded book stream carries, where its clients have to cut the book themselves (Kraken). */
  readonly bookDepth?: number | undefined;
  /** The venue's clock, Unix milliseconds. */
  now(): number;
  /**
   * Starts playing. `sink` is called synchronously, after the source's own state has taken the event in. A source that plays
   * as fast as it can awaits `drained` between slices; undefined from it means that no client is behind.
   */
  start(sink: (event: TapeEvent) => void, drained?: () => Promise<void> | undefined): void;
  stop(): void;
  /** Full depth, best first; the arrays may be live, good until the next event. Undefined: no book known (yet) for this symbol. */
  book(symbol: string): TapeBook | undefined;
  trades(symbol: string, limit: number): readonly TapeTrade[];
  ticker(symbol: string): TapeTicker | undefined;
  /** Oldest first; the last one may still be open. */
  candles(symbol: string, timeframe: Timeframe, limit: number): readonly TapeCandle[];
}
