import type { SandboxVenue, TapeEvent, TapeLevel, TapeMarket } from '../tape.ts';

/** A whole book, from the stream itself (`inBand`) or from REST. `lastId` 0: this exchange numbers nothing. */
export type DecodedSnapshot = Readonly<{
  kind: 'snapshot';
  inBand: boolean;
  symbol: string;
  ts: number;
  lastId: number;
  bids: readonly TapeLevel[];
  asks: readonly TapeLevel[];
}>;
export type Decoded = TapeEvent | DecodedSnapshot;
export type DecodedHttp = DecodedSnapshot | Readonly<{ kind: 'markets'; markets: readonly TapeMarket[] }>;

/**
 * Turns recorded frames of one exchange into tape events. Book events of exchanges without ids carry `lastId: 0`; whoever keeps
 * the book numbers them. Throws for text that is not this exchange's JSON.
 */
export interface Decoder {
  readonly venue: SandboxVenue;
  /** Events in the frame's order, the first with `raw`; nothing for acks, heartbeats and channels that no stream is made of. */
  frame(raw: string, receivedMs: number): readonly Decoded[];
  http(url: string, raw: string): DecodedHttp | undefined;
  /** Levels per side of the recorded book stream, where clients must cut the book to it; see `TapeSource.bookDepth`. */
  bookDepth?(snapshots: Iterable<DecodedSnapshot>): number;
  /** Tells the decoder which markets exist, so that ids without a separator can be split. */
  learn(markets: readonly TapeMarket[]): void;
}

/** A JSON object whose fields are still to be checked. */
export type Json = Readonly<Record<string, unknown>>;

export function asObject(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

export function asObjects(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(asObject) : [];
}

export function asText(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' ? String(value) : '';
}

/** Unix milliseconds of an ISO 8601 time with any number of fraction digits. */
export function asTime(value: unknown, otherwise: number): number {
  const ts = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ts) ? otherwise : ts;
}

/** [[price, size, ...]] as texts. */
export function asLevels(value: unknown): TapeLevel[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((level): TapeLevel[] =>
    Array.isArray(level) && level.length >= 2 ? [[asText(level[0]), asText(level[1])]] : [],
  );
}

/** Gives the frame to the first of its events; see `TapeEvent`. A frame about several symbols cannot leave as it is. */
export function framed(events: readonly TapeEvent[], raw: string): TapeEvent[] {
  if (events.some((event) => event.symbol !== events[0]!.symbol)) return [...events];
  return events.map((event, index) => ({ ...event, raw: index === 0 ? raw : '' }));
}
