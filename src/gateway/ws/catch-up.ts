import type { StreamView } from '../../modules/market/index.ts';
import type { PreparedMessage } from '../../protocol/envelope.ts';
import type { Gap, StreamPosition, StreamState } from '../../protocol/messages.ts';
import type { BaseCause } from './topic.ts';

export function samePosition(left: StreamPosition, right: StreamPosition): boolean {
  return left.seq === right.seq && left.epoch === right.epoch;
}

/** Certain only within one epoch. */
export function isBehind(left: StreamPosition, right: StreamPosition): boolean {
  return left.epoch === right.epoch && left.seq < right.seq;
}

export function sameState(left: StreamState, right: StreamState): boolean {
  return left === right || (left.status === right.status && left.since === right.since && left.reason === right.reason);
}

/**
 * The first message of `to`'s epoch that a client standing at `at` lacks. 0 when its position belongs to another epoch (or to a
 * future of this one): everything up to `to`, and nobody can say how much of the old epoch before it.
 */
export function missingFrom(at: StreamPosition, to: StreamPosition): number {
  return at.epoch === to.epoch && at.seq <= to.seq ? at.seq + 1 : 0;
}

/** Messages that the gateway itself makes for one receiver, as JSON envelopes at the stream's present position. */
export function gapJson(
  view: StreamView,
  position: StreamPosition,
  at: StreamPosition,
  cause: Exclude<BaseCause, 'fresh'>,
  nowMs: number,
): string {
  const data: Gap = { from: missingFrom(at, position), to: position.seq, reason: cause };
  return envelopeJson(view.stream, position, 'gap', data, nowMs);
}

export function stateJson(view: StreamView, position: StreamPosition, nowMs: number): string {
  return envelopeJson(view.stream, position, 'state', view.state, nowMs);
}

/** The shared snapshot with a note of what it stands for. Put in front of the shared text, which is large, instead of encoding it again. */
export function conflatedJson(snapshot: PreparedMessage, at: StreamPosition): string {
  const { seq, epoch } = snapshot.message;
  const conflated = JSON.stringify({ from: missingFrom(at, { seq, epoch }), to: seq });
  return `{"conflated":${conflated},${snapshot.json.slice(1)}`;
}

function envelopeJson(
  stream: string,
  position: StreamPosition,
  kind: 'gap' | 'state',
  data: unknown,
  nowMs: number,
): string {
  const { epoch, seq } = position;
  return JSON.stringify({ stream, epoch, seq, kind, ingestTs: nowMs, sentTs: nowMs, data });
}
