import { BookState } from '../../protocol/book.ts';
import type { BookDelta, BookSnapshot, Envelope, StreamPosition, StreamState } from '../../protocol/messages.ts';
import type { Subscribed, Trade } from '../../protocol/messages.ts';

/** What a client knows of one stream, by the rules of PROTOCOL.md and nothing else. */
export type ModelStream = {
  position: StreamPosition | null;
  /** The `since` of a subscribe that was not recovered: where a gap begins. Cleared by the first push after it. */
  asked: StreamPosition | null;
  /** Nothing has come since a reply with `recovered: false`: the first snapshot may be of any later position. */
  fresh: boolean;
  state: StreamState | null;
  book: BookState | null;
  latest: unknown;
  /** Ids in the order of arrival. */
  trades: Set<string>;
  gaps: { epoch: string; from: number; to: number; reason: string }[];
  conflated: { from: number; to: number }[];
  /** Seq numbers by which each message was received, for proofs of completeness. */
  received: { epoch: string; seq: number; kind: string }[];
};

export function emptyModel(): ModelStream {
  return {
    position: null,
    asked: null,
    fresh: false,
    state: null,
    book: null,
    latest: null,
    trades: new Set(),
    gaps: [],
    conflated: [],
    received: [],
  };
}

/** Takes one entry of a subscribe reply. */
export function applyReply(stream: ModelStream, result: Subscribed, since: StreamPosition | undefined): void {
  const { epoch, seq, recovered } = result;
  stream.state = result.state;
  if (recovered) {
    stream.position = since ?? stream.position;
    if (stream.position?.epoch !== epoch) throw new Error(`${result.stream}: recovered into another epoch`);
    return;
  }
  stream.position = { epoch, seq };
  stream.asked = since ?? null;
  stream.fresh = true;
  stream.book = null;
}

/** Applies one push. Throws where the protocol does not allow it: that is what the tests wait for. */
export function applyPush(stream: ModelStream, envelope: Envelope): void {
  const { epoch, seq, kind } = envelope;
  const { position } = stream;
  stream.received.push({ epoch, seq, kind });
  if (position === null) throw new Error(`${envelope.stream}: a push before the reply`);
  const sameEpoch = position.epoch === epoch;
  switch (kind) {
    case 'snapshot':
      if (sameEpoch && seq < position.seq) throw new Error(`${envelope.stream}: a snapshot of the past, ${seq}`);
      if (envelope.stream.startsWith('trades:') && sameEpoch && !stream.fresh && seq !== position.seq) {
        throw new Error(`${envelope.stream}: a snapshot at ${seq} hides what came after ${position.seq}`);
      }
      if (envelope.conflated) stream.conflated.push(envelope.conflated);
      takeSnapshot(stream, envelope);
      break;
    case 'gap': {
      const gap = envelope.data as { from: number; to: number; reason: string };
      if (gap.to !== seq) throw new Error(`${envelope.stream}: a gap to ${gap.to} at ${seq}`);
      const stood = stream.asked ?? position;
      if (gap.from !== (stood.epoch === epoch && stood.seq <= seq ? stood.seq + 1 : 0)) {
        throw new Error(`${envelope.stream}: a gap from ${gap.from}, but we stood at ${stood.epoch}/${stood.seq}`);
      }
      stream.gaps.push({ epoch, ...gap });
      break;
    }
    case 'state':
      if (sameEpoch && seq !== position.seq && seq !== position.seq + 1) {
        throw new Error(`${envelope.stream}: a state at ${seq}, but we stand at ${position.seq}`);
      }
      stream.state = envelope.data as StreamState;
      break;
    default:
      if (!sameEpoch || seq !== position.seq + 1) {
        throw new Error(`${envelope.stream}: ${kind} ${epoch}/${seq} after ${position.epoch}/${position.seq}`);
      }
      takeChange(stream, envelope);
  }
  stream.position = { epoch, seq };
  stream.asked = null;
  if (kind !== 'state') stream.fresh = false;
}

function takeSnapshot(stream: ModelStream, envelope: Envelope): void {
  stream.latest = envelope.data;
  const data = envelope.data as Partial<BookSnapshot & { trades: Trade[] }>;
  if (data.bids && data.asks) {
    stream.book = new BookState();
    stream.book.reset({ bids: data.bids, asks: data.asks });
    check(stream, envelope);
  }
  for (const { id } of data.trades ?? []) stream.trades.add(id);
}

function takeChange(stream: ModelStream, envelope: Envelope): void {
  stream.latest = envelope.data;
  const data = envelope.data as Partial<BookDelta & { trades: Trade[] }>;
  if (data.bids && data.asks) {
    if (stream.book === null) throw new Error(`${envelope.stream}: a delta before any snapshot`);
    stream.book.apply({ bids: data.bids, asks: data.asks });
    check(stream, envelope);
  }
  for (const { id } of data.trades ?? []) stream.trades.add(id);
}

function check(stream: ModelStream, envelope: Envelope): void {
  const { checksum } = envelope.data as { checksum?: number };
  if (checksum !== undefined && checksum !== stream.book!.checksum()) {
    throw new Error(`${envelope.stream}: wrong checksum at ${envelope.seq}`);
  }
}
