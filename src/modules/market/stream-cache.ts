import type { PreparedMessage } from '../../protocol/envelope.ts';
import type { StreamPosition, StreamState } from '../../protocol/messages.ts';

/**
 * A gateway's own copy of the streams that its clients use: current state, and the last messages for resume.
 * HTTP and both socket doors read the same copy, so a REST snapshot and a socket snapshot at one seq are equal.
 */
export interface StreamView {
  readonly stream: string;
  /** Undefined until the first head has come over the bus. */
  readonly position: StreamPosition | undefined;
  readonly state: StreamState;
  /** The state at `position` as a snapshot message, shared by all who ask at this position; null while there is no data in this epoch. */
  snapshot(): PreparedMessage | null;
  /** All messages after `since` up to `position`, oldest first; null when that cannot be promised (other epoch, too old, ahead of us). */
  after(since: StreamPosition): readonly PreparedMessage[] | null;
}

/** Called synchronously, in order. `reset` means: continuity was lost here; what follows is a new snapshot (if there is one). */
export type StreamListener = { onMessage(prepared: PreparedMessage): void; onReset(view: StreamView): void };

export interface StreamLease {
  readonly view: StreamView;
  /** Resolves at the first head; rejects never. Race it with a timeout of your own. */
  readonly ready: Promise<void>;
  release(): void;
}

export interface StreamCache {
  /** One lease per listener. The upstream stays open for a linger time after the last release, so that returning clients can resume. */
  lease(stream: string, listener: StreamListener): StreamLease;
  stop(): void;
}
