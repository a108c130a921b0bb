import type { WireError } from '../protocol/errors.ts';
import type { Envelope, SystemEvents } from '../protocol/messages.ts';
import type { MethodName } from '../protocol/methods.ts';

/** A push that belongs to the connection rather than to a stream. */
export type SystemEvent = {
  [K in keyof SystemEvents]: Readonly<{ name: K; data: SystemEvents[K] }>;
}[keyof SystemEvents];
export type RequestReply = Readonly<{ ok: true; result: unknown } | { ok: false; error: WireError }>;
export type OutboundRequest = Readonly<{ id: number; method: MethodName; params?: unknown }>;

/** One thing that came from the server. `ignored` is well formed but unknown to this version; it still proves that the connection lives. */
export type InboundFrame =
  | Readonly<{ type: 'message'; envelope: Envelope }>
  | Readonly<{ type: 'event'; event: SystemEvent }>
  | Readonly<{ type: 'reply'; id: number; reply: RequestReply }>
  /** Several pushes that came in one message. */
  | Readonly<{ type: 'batch'; frames: readonly InboundFrame[] }>
  | Readonly<{ type: 'ignored' }>
  | Readonly<{ type: 'malformed'; problem: string }>;

/** `onClose` is called once, and nothing is called after it. All calls are synchronous, in the order of the wire. */
export type TransportHandlers = Readonly<{
  onOpen(): void;
  onFrame(frame: InboundFrame): void;
  onClose(code: number, reason: string): void;
}>;

export interface TransportConnection {
  send(request: OutboundRequest): void;
  /** Gives the connection up at once and without a call of `onClose`: a dead peer never answers a close handshake. */
  abandon(): void;
}

/** A way to the server: one live connection at a time. Reconnecting is the client's business. */
export interface Transport {
  connect(handlers: TransportHandlers): TransportConnection;
}

/** For a close that the transport cannot name better: RFC 6455's "closed abnormally". */
export const CLOSED_ABNORMALLY = 1006;
