import type { StreamMessage, StreamPosition, StreamState } from '../protocol/messages.ts';

/**
 * The market-data bus: one source (the sequencers of all feed processes) and many sinks (one stream cache per gateway).
 * Guarantees to a sink, per stream: first a `head`, then every later message in order and exactly once; when the bus
 * cannot keep that promise (a connection lost, a message missing) it delivers `lost` and, as soon as it can, a new `head`.
 */
export type StreamHead = Readonly<{
  position: StreamPosition;
  state: StreamState;
  /** The whole state at `position` as a message of kind `snapshot`; null while the stream never had data in this epoch. */
  snapshot: StreamMessage | null;
}>;

export type BusDelivery =
  | Readonly<{ type: 'head'; stream: string; head: StreamHead }>
  /** `json`: the message as text, where it came as one. */
  | Readonly<{ type: 'message'; message: StreamMessage; json?: string }>
  | Readonly<{ type: 'lost'; stream: string; reason: string }>;

export type BusSink = (delivery: BusDelivery) => void;

/** The sequencer's side. */
export interface StreamSource {
  /** Somebody wants the stream: start it if need be and answer its head at once (position seq 0 when nothing was published yet). Null: not ours. */
  open(stream: string): StreamHead | null;
  /** Nobody wants the stream any more. */
  close(stream: string): void;
}

export interface BusSubscription {
  close(): void;
}

export interface MarketBus {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Registers this process's source; called once, before any publish. */
  serve(source: StreamSource): void;
  /** Never waits and never throws for a slow or absent sink. Messages of one stream keep their order. */
  publish(message: StreamMessage): void;
  /** Opens a stream for this process; the bus multiplexes equal streams of one process. `sink` is called synchronously in order. */
  open(stream: string, sink: BusSink): BusSubscription;
  /** How long the sinks of this process keep what they hear anyway, in milliseconds: what comes from elsewhere may be so late. At first 0. */
  setPatience(ms: number): void;
  /** `degraded`: local delivery goes on, remote delivery may not. */
  readonly health: 'ok' | 'degraded';
}
