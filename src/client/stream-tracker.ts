import { backoffDelayMs } from '../kernel/backoff.ts';
import type { BackoffPolicy } from '../kernel/backoff.ts';
import type { Random } from '../kernel/random.ts';
import type { WireError } from '../protocol/errors.ts';
import type { Envelope, Gap, StreamPosition, StreamState, Subscribed } from '../protocol/messages.ts';
import { ClientError, refusalError } from './client-error.ts';
import { isFields } from './frame.ts';
import type { StreamKeeper } from './stream-keeper.ts';
import { judgeState } from './stream-state.ts';
import type { GapNotice, LinkState, StreamCounters, StreamPhase, SubscriptionState } from './stream-state.ts';

/** The first new subscribe after trouble is immediate; a stream that keeps failing must not become a flood of requests. */
const RESYNC_BACKOFF: BackoffPolicy = { baseMs: 250, maxMs: 30_000, factor: 2, jitter: 0.25 };
/** Trouble this long after the last one is new trouble. */
const RESYNC_CALM_MS = 60_000;
/** A stream that neither spoke nor was listed as silent in so many heartbeats is one that the server does not send us. */
const UNLISTED_HEARTBEATS_LIMIT = 3;
/** A source that calls itself live owes its snapshot by then. */
const SNAPSHOT_DUE_HEARTBEATS = 2;

export type TrackerDeps = Readonly<{
  now: () => number;
  random: Random;
  /**
   * The stream has to be asked for again, not earlier than in `delayMs`. `from` is `snapshot` when it has to be left first:
   * a server that believes us subscribed answers that all is well and sends nothing.
   */
  onWanted(tracker: StreamTracker, wanted: Readonly<{ delayMs: number; from: 'position' | 'snapshot' }>): void;
  onMessage(tracker: StreamTracker, envelope: Envelope): void;
  onState(tracker: StreamTracker): void;
  onGap(tracker: StreamTracker, gap: GapNotice): void;
  onError(error: ClientError): void;
}>;

/** Where one stream stands, and the proof of it: messages are applied in sequence or not at all. */
export class StreamTracker {
  readonly stream: string;
  readonly keeper: StreamKeeper;
  readonly counters: StreamCounters = {
    gaps: 0,
    resumes: 0,
    snapshots: 0,
    checksumFailures: 0,
    duplicates: 0,
    conflations: 0,
    resyncs: 0,
  };
  lastMessage: Envelope | undefined;
  lastMessageAtMs: number | undefined;
  lastConfirmedAtMs: number | undefined;
  readonly #deps: TrackerDeps;
  #phase: StreamPhase = 'wanted';
  #position: StreamPosition | undefined;
  /** Replayed messages are still to come up to this sequence number. */
  #catchUpToSeq = 0;
  #askedSince: StreamPosition | undefined;
  #lossToldUpTo: StreamPosition | undefined;
  #source: StreamState | undefined;
  #link: LinkState = { status: 'closed', reason: 'connecting' };
  #trouble = '';
  #troubles = 0;
  #lastTroubleAtMs = -Infinity;
  #unlistedHeartbeats = 0;
  #owingHeartbeats = 0;
  #state: SubscriptionState;

  constructor(stream: string, keeper: StreamKeeper, deps: TrackerDeps) {
    this.stream = stream;
    this.keeper = keeper;
    this.#deps = deps;
    this.#state = { status: 'disconnected', since: deps.now(), reason: 'connecting' };
  }

  get position(): StreamPosition | undefined {
    return this.#position;
  }

  get state(): SubscriptionState {
    return this.#state;
  }

  get refused(): boolean {
    return this.#phase === 'refused';
  }

  /** Where everything before is in our hands, so that the server need only send what follows. Undefined: a snapshot is needed. */
  get #resumable(): StreamPosition | undefined {
    return this.keeper.hasData || !this.keeper.needsSnapshot ? this.#position : undefined;
  }

  /** What to put into a subscribe request. */
  request(): string | { stream: string; since: StreamPosition } {
    this.#askedSince = this.#resumable;
    return this.#askedSince ? { stream: this.stream, since: this.#askedSince } : this.stream;
  }

  asked(): void {
    if (this.#phase !== 'refused') this.#phase = 'asked';
    this.#refresh();
  }

  link(link: LinkState): void {
    if (link.status === 'closed' && this.#phase !== 'refused') {
      this.#phase = 'wanted';
      this.#trouble = '';
    }
    this.#link = link;
    this.#refresh();
  }

  joined(result: Subscribed): void {
    if (this.#phase !== 'asked') return;
    this.#phase = 'joined';
    this.#source = result.state;
    this.#owingHeartbeats = 0;
    this.#confirm();
    const { epoch, seq, recovered } = result;
    const here = this.#position;
    if (recovered) {
      if (here?.epoch !== epoch) return this.#resync('recovered into another epoch');
      this.#catchUpToSeq = seq;
      this.counters.resumes += 1;
    } else if (!(here?.epoch === epoch && here.seq >= seq && here !== this.#askedSince && this.keeper.hasData)) {
      // A snapshot of this position follows, for trades a gap before it. What we had is not continuous with it.
      this.#tellLossSince(this.#askedSince, { epoch, seq });
      this.keeper.clear();
      this.#position = { epoch, seq };
      this.#catchUpToSeq = 0;
    }
    this.#refresh();
  }

  refusedWith(error: WireError): void {
    if (this.#phase !== 'asked') return;
    if (error.temporary) {
      this.#source = { status: 'down', since: this.#deps.now(), reason: error.code };
      this.#resync(error.code, error.retryAfterMs ?? 0);
      return;
    }
    this.fail(refusalError(error, this.stream));
  }

  /** The end of this stream: nothing will come any more. */
  fail(error: ClientError): void {
    if (this.#phase === 'refused') return;
    this.#phase = 'refused';
    this.#trouble = `${error.code}: ${error.message}`;
    this.#refresh();
  }

  message(envelope: Envelope): void {
    // Before the reply only a snapshot means something: the rest belongs to a subscription that we have given up.
    const awaited = this.#phase === 'joined' || (this.#phase === 'asked' && envelope.kind === 'snapshot');
    if (!awaited) return;
    if (envelope.kind === 'gap') this.#takeGap(envelope);
    else if (envelope.epoch !== this.#position?.epoch) this.#takeNewEpoch(envelope);
    else this.#takeNext(envelope, this.#position);
    this.#refresh();
  }

  /** `listed` is what a heartbeat says of this stream: its last message, if it was silent since the heartbeat before. */
  heartbeat(listed: StreamPosition | undefined): void {
    if (this.#phase !== 'joined' || !this.#position) return;
    this.#unlistedHeartbeats += 1;
    this.#owingHeartbeats = this.#owesSnapshot() ? this.#owingHeartbeats + 1 : 0;
    if (!listed) {
      if (this.#unlistedHeartbeats >= UNLISTED_HEARTBEATS_LIMIT) this.#resync('the server no longer lists the stream');
    } else if (listed.epoch !== this.#position.epoch || listed.seq > this.#position.seq) {
      this.counters.gaps += 1;
      this.#resync('lost the tail: a heartbeat names a later message');
    } else if (this.#owingHeartbeats >= SNAPSHOT_DUE_HEARTBEATS) {
      this.#resync('the snapshot did not come');
    } else {
      this.#confirm();
    }
    this.#refresh();
  }

  #takeNext(envelope: Envelope, here: StreamPosition): void {
    if (envelope.conflated && envelope.conflated.from > here.seq + 1) {
      // It stands for what came after a message that we never saw, which may have been a change of state.
      this.counters.gaps += 1;
      this.#resync(`expected message ${here.seq + 1}, got what replaces ${envelope.conflated.from} and later`);
      return;
    }
    if (
      envelope.kind === 'snapshot' &&
      (envelope.seq > here.seq || (envelope.seq === here.seq && !this.keeper.hasData))
    ) {
      if (envelope.conflated) this.counters.conflations += 1;
      if (this.keeper.losesByGap && envelope.seq > here.seq + 1) {
        this.#tellGap({ epoch: here.epoch, from: here.seq + 1, to: envelope.seq - 1, reason: 'slow_consumer' });
      }
      this.#apply(envelope);
    } else if (envelope.kind === 'state' && envelope.seq === here.seq) {
      // Made by the gateway, which knows of a doubt that the stream itself has not numbered.
      this.#apply(envelope);
    } else if (envelope.seq <= here.seq) {
      this.counters.duplicates += 1;
    } else if (envelope.seq === here.seq + 1) {
      this.#apply(envelope);
    } else {
      this.counters.gaps += 1;
      this.#resync(`expected message ${here.seq + 1}, got ${envelope.seq}`);
    }
  }

  #takeNewEpoch(envelope: Envelope): void {
    const here = this.#position;
    const standsAlone = envelope.kind === 'snapshot' || envelope.kind === 'state' || !this.keeper.needsSnapshot;
    if (!standsAlone) {
      this.counters.gaps += 1;
      this.#resync('a new epoch without a snapshot');
      return;
    }
    if (here && this.keeper.losesByGap) {
      this.#tellGap({ epoch: here.epoch, from: here.seq + 1, to: null, reason: 'new_epoch' });
    }
    this.keeper.clear();
    this.#catchUpToSeq = 0;
    this.#apply(envelope);
  }

  #takeGap(envelope: Envelope): void {
    const gap = envelope.data as Partial<Gap> | null;
    if (!isFields(gap) || typeof gap.from !== 'number' || typeof gap.to !== 'number') {
      this.#resync('a gap that does not say what is missing');
      return;
    }
    const here = this.#position;
    if (here?.epoch === envelope.epoch && gap.from > here.seq + 1) {
      this.counters.gaps += 1;
      this.#resync(`expected message ${here.seq + 1}, got a gap from ${gap.from}`);
      return;
    }
    const seq = here?.epoch === envelope.epoch ? Math.max(here.seq, envelope.seq, gap.to) : envelope.seq;
    this.#position = { epoch: envelope.epoch, seq };
    this.#confirm();
    // A snapshot of the same position may follow and must not pass for a duplicate.
    this.keeper.clear();
    const told = this.#lossToldUpTo;
    if (told?.epoch === envelope.epoch && gap.to <= told.seq) return;
    this.#tellGap({ epoch: envelope.epoch, from: gap.from, to: gap.to, reason: gap.reason ?? 'expired' });
  }

  #apply(envelope: Envelope): void {
    if (envelope.kind === 'state') {
      this.#source = envelope.data as StreamState;
    } else {
      const verdict = this.keeper.apply(envelope);
      if (verdict !== 'applied') {
        if (verdict === 'checksum_mismatch') this.counters.checksumFailures += 1;
        if (verdict === 'malformed') this.#deps.onError(malformedData(envelope));
        this.keeper.clear();
        this.#resync(verdict);
        return;
      }
      if (envelope.kind === 'snapshot') this.counters.snapshots += 1;
      this.lastMessage = envelope;
      this.lastMessageAtMs = this.#deps.now();
    }
    this.#position = { epoch: envelope.epoch, seq: envelope.seq };
    this.#confirm();
    // The state first: whoever is told of the message must be able to ask whether it is live.
    this.#refresh();
    this.#deps.onMessage(this, envelope);
  }

  /** The reply says it all: the gap that follows it adds nothing. */
  #tellLossSince(since: StreamPosition | undefined, now: StreamPosition): void {
    if (!since || !this.keeper.losesByGap) return;
    const sameEpoch = since.epoch === now.epoch;
    const from = sameEpoch ? since.seq + 1 : 0;
    this.#lossToldUpTo = now;
    this.#tellGap({ epoch: now.epoch, from, to: now.seq, reason: sameEpoch ? 'expired' : 'upstream' });
  }

  #tellGap(gap: GapNotice): void {
    this.#deps.onGap(this, gap);
  }

  #confirm(): void {
    this.#unlistedHeartbeats = 0;
    this.lastConfirmedAtMs = this.#deps.now();
  }

  #owesSnapshot(): boolean {
    return this.keeper.needsSnapshot && !this.keeper.hasData && this.#source?.status === 'live';
  }

  #resync(reason: string, atLeastMs = 0): void {
    const now = this.#deps.now();
    if (now - this.#lastTroubleAtMs > RESYNC_CALM_MS) this.#troubles = 0;
    this.#lastTroubleAtMs = now;
    const delayMs = this.#troubles === 0 ? 0 : backoffDelayMs(RESYNC_BACKOFF, this.#troubles - 1, this.#deps.random);
    this.#troubles += 1;
    this.counters.resyncs += 1;
    this.#phase = 'wanted';
    this.#trouble = reason;
    this.#refresh();
    const from = this.#resumable ? 'position' : 'snapshot';
    this.#deps.onWanted(this, { delayMs: Math.max(delayMs, atLeastMs), from });
  }

  #refresh(): void {
    const next = judgeState({
      phase: this.#phase,
      link: this.#link,
      source: this.#source,
      trouble: this.#trouble,
      catchingUp: (this.#position?.seq ?? 0) < this.#catchUpToSeq,
      lacksSnapshot: this.keeper.needsSnapshot && !this.keeper.hasData,
    });
    const { status, reason } = next;
    if (status === this.#state.status && reason === this.#state.reason) return;
    const since = next.since ?? (status === this.#state.status ? this.#state.since : this.#deps.now());
    this.#state = { status, reason, since };
    this.#deps.onState(this);
  }
}

function malformedData({ stream, kind, seq }: Envelope): ClientError {
  return new ClientError('malformed_frame', `the data of ${kind} ${seq} is not of this channel`, { stream });
}
