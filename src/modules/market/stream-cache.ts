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

/**
 * Called synchronously, in order, after the view has taken the change in; a listener that throws harms nobody else.
 * `onMessage`: the stream's next message, always at `view.position`. An epoch that changes in order comes this way too: as a
 * `snapshot` of seq 1 in the new epoch, then the `state`.
 * `onReset`: forget what you know, the truth is now `view`. Called when continuity was lost (`view.state` is not live then) and
 * again when it is restored; neither stands for a message, so a receiver shows `view.snapshot()` (if there is one) and
 * `view.state`, both at `view.position`. Not called for the first head: that is what `ready` is for.
 */
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
