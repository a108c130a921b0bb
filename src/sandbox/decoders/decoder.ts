import type { SandboxVenue, TapeEvent, TapeLevel, TapeMarket } from '../tape.ts';

/** A whole book, in-band or from REST. */
export type DecodedSnapshot = Readonly<{
  kind: 'snapshot';
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

/** [[price, size, ...]] as texts. */
export function asLevels(value: unknown): TapeLevel[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((level): TapeLevel[] =>
    Array.isArray(level) && level.length >= 2 ? [[asText(level[0]), asText(level[1])]] : [],
  );
}

/** Gives the frame to the first of its events; see `TapeEvent`. */
export function framed(events: readonly TapeEvent[], raw: string): TapeEvent[] {
  return events.map((event, index) => ({ ...event, raw: index === 0 ? raw : '' }));
}
