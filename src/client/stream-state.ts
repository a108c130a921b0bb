import type { Gap, StreamState, StreamStatus } from '../protocol/messages.ts';

/** `disconnected`: no connection. The others as in the protocol's stream state; `stale` also when the connection itself has gone silent. */
export type SubscriptionStatus = StreamStatus | 'disconnected';
/** How far a stream is to be believed right now. `since` is Unix ms. */
export type SubscriptionState = Readonly<{ status: SubscriptionStatus; since: number; reason: string }>;

/** Messages that will never come. `from` and `to` are sequence numbers of `epoch`; `to` is null when the server lost count itself (a new epoch). */
export type GapNotice = Readonly<{
  epoch: string;
  from: number;
  to: number | null;
  reason: Gap['reason'] | 'new_epoch';
}>;

export type StreamCounters = {
  /** Holes found in the sequence, by number or by heartbeat. */
  gaps: number;
  /** Returns to a stream that brought every missed message. */
  resumes: number;
  snapshots: number;
  checksumFailures: number;
  duplicates: number;
  /** Snapshots that stood for messages we were too slow for. */
  conflations: number;
  /** Times that a stream was asked for again on a live connection. */
  resyncs: number;
};

/** `silent`: open, but nothing has come for longer than the server's heartbeat allows. */
export type LinkState = Readonly<{ status: 'open' | 'silent' | 'closed'; reason: string }>;

/** `wanted`: to be asked for. `asked`: the reply is awaited. `refused`: it will never come. */
export type StreamPhase = 'wanted' | 'asked' | 'joined' | 'refused';

type Evidence = Readonly<{
  phase: StreamPhase;
  link: LinkState;
  /** What the server last said of the source. */
  source: StreamState | undefined;
  /** What went wrong last, while it is not mended. */
  trouble: string;
  catchingUp: boolean;
  lacksSnapshot: boolean;
}>;

/** Live only when everything speaks for it. `since` where the server said it. */
export function judgeState(
  evidence: Evidence,
): Readonly<{ status: SubscriptionStatus; reason: string; since?: number }> {
  const { phase, link, source, trouble } = evidence;
  if (phase === 'refused') return { status: 'down', reason: trouble };
  if (link.status === 'closed') return { status: 'disconnected', reason: link.reason };
  if (link.status === 'silent') return { status: 'stale', reason: link.reason };
  if (phase !== 'joined') {
    const down = source?.status === 'down' && trouble !== '';
    return { status: down ? 'down' : 'resyncing', reason: trouble || 'subscribing' };
  }
  if (evidence.catchingUp) return { status: 'resyncing', reason: 'catching up' };
  if (source === undefined) return { status: 'resyncing', reason: 'subscribing' };
  if (source.status === 'live' && evidence.lacksSnapshot)
    return { status: 'resyncing', reason: 'waiting for the snapshot' };
  return source;
}
