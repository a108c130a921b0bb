import type { InboundFrame, OutboundRequest, Transport, TransportHandlers } from '../client/index.ts';
import type { Random } from '../kernel/random.ts';
import { BookState } from '../protocol/book.ts';
import { CONNECTION_LIMITS } from '../protocol/limits.ts';
import type { Envelope, Level, StreamPosition, StreamState, SubscribeRequest } from '../protocol/messages.ts';

export type DeliveryFault = 'drop' | 'duplicate' | 'reorder' | 'wrong_checksum' | 'wrong_level';

const RETAINED_MESSAGES = 20;
const TOP_PRICE = 1_000;
const PRICE_STEPS = 12;

/** A book stream as the server knows it, with what the book was at every position that it ever had. */
class ScriptedBook {
  readonly stream: string;
  readonly truth = new Map<string, string>();
  readonly retained: Envelope[] = [];
  readonly book = new BookState();
  state: StreamState = { status: 'live', since: 0, reason: '' };
  epoch = 'e1';
  seq = 0;
  #epochs = 1;

  constructor(stream: string, random: Random) {
    this.stream = stream;
    this.begin(random);
  }

  get position(): StreamPosition {
    return { epoch: this.epoch, seq: this.seq };
  }

  begin(random: Random): Envelope[] {
    this.epoch = `e${this.#epochs++}`;
    this.seq = 0;
    this.retained.length = 0;
    this.book.reset({ bids: [], asks: [] });
    this.book.apply({ bids: levels(random, -1, 8), asks: levels(random, 1, 8) });
    return [this.#publish('snapshot', this.snapshotData()), this.say('live')];
  }

  change(random: Random): Envelope {
    const delta = { bids: levels(random, -1, 2), asks: levels(random, 1, 2) };
    this.book.apply(delta);
    return this.#publish('delta', random() < 0.3 ? { ...delta, checksum: this.book.checksum() } : delta);
  }

  say(status: StreamState['status']): Envelope {
    this.state = { status, since: Date.now(), reason: status === 'live' ? '' : 'scripted' };
    return this.#publish('state', this.state);
  }

  snapshotData(): { bids: Level[]; asks: Level[]; checksum: number } {
    return { bids: this.book.bids.slice(), asks: this.book.asks.slice(), checksum: this.book.checksum() };
  }

  snapshot(conflatedFrom?: number): Envelope {
    const conflated = conflatedFrom === undefined ? {} : { conflated: { from: conflatedFrom, to: this.seq } };
    return { ...this.#envelope('snapshot', this.snapshotData()), ...conflated };
  }

  after(since: StreamPosition): Envelope[] | null {
    if (since.epoch !== this.epoch || since.seq > this.seq) return null;
    const missed = this.retained.filter((each) => each.seq > since.seq);
    return missed.length === this.seq - since.seq ? missed : null;
  }

  #publish(kind: Envelope['kind'], data: unknown): Envelope {
    this.seq += 1;
    const envelope = this.#envelope(kind, data);
    this.retained.push(envelope);
    if (this.retained.length > RETAINED_MESSAGES) this.retained.shift();
    this.truth.set(`${this.epoch}/${this.seq}`, JSON.stringify([this.book.bids, this.book.asks]));
    return envelope;
  }

  #envelope(kind: Envelope['kind'], data: unknown): Envelope {
    return { stream: this.stream, ...this.position, kind, ingestTs: Date.now(), sentTs: Date.now(), data };
  }
}

function levels(random: Random, direction: 1 | -1, count: number): Level[] {
  return Array.from({ length: count }, () => {
    const price = TOP_PRICE + direction * (1 + Math.floor(random() * PRICE_STEPS));
    return [`${price}.00`, random() < 0.3 ? '0' : `${Math.ceil(random() * 900)}.5`];
  });
}

type Link = { handlers: TransportHandlers; outbox: InboundFrame[]; joined: Set<string>; dead: boolean };

/**
 * A server in memory that speaks the real messages with the real semantics of subscribe and resume. Nothing arrives until
 * `deliver`, where faults happen; `truth` says what each book was at each position.
 */
export class ScriptedServer implements Transport {
  readonly books = new Map<string, ScriptedBook>();
  /** Answers for streams that are not books: the result of subscribing, and what follows it. */
  readonly answers = new Map<string, (since?: StreamPosition) => { result: object; after?: Envelope[] }>();
  readonly requests: OutboundRequest[] = [];
  connects = 0;
  refuseConnects = false;
  losesReplies = false;
  readonly limits: Record<string, number>;
  readonly #random: Random;
  #link: Link | undefined;

  constructor(random: Random, limits: Record<string, number> = {}) {
    this.#random = random;
    this.limits = { ...CONNECTION_LIMITS, ...limits };
  }

  book(stream: string): ScriptedBook {
    const known = this.books.get(stream) ?? new ScriptedBook(stream, this.#random);
    this.books.set(stream, known);
    return known;
  }

  connect(handlers: TransportHandlers): { send(request: OutboundRequest): void; abandon(): void } {
    this.connects += 1;
    const link: Link = { handlers, outbox: [], joined: new Set(), dead: false };
    this.#link = link;
    if (this.refuseConnects) setTimeout(() => this.#end(link, 1006, 'refused'), 0);
    else
      this.#event('welcome', {
        protocol: 1,
        connectionId: `c${this.connects}`,
        serverTs: Date.now(),
        limits: this.limits,
      });
    return {
      send: (request) => this.#take(link, request),
      abandon: () => {
        link.dead = true;
      },
    };
  }

  change(stream: string): void {
    this.#push(this.book(stream).change(this.#random));
  }

  newEpoch(stream: string): void {
    for (const envelope of this.book(stream).begin(this.#random)) this.#push(envelope);
  }

  say(stream: string, status: StreamState['status']): void {
    this.#push(this.book(stream).say(status));
  }

  /** Messages that this connection does not get, and the snapshot that stands for them. */
  conflate(stream: string, changes: number): void {
    const book = this.book(stream);
    const from = book.seq + 1;
    for (let count = 0; count < changes; count++) book.change(this.#random);
    this.#push(book.snapshot(from));
  }

  heartbeat(): void {
    const joined = [...(this.#link?.joined ?? [])].filter((stream) => !this.answers.has(stream));
    const streams = Object.fromEntries(joined.map((stream) => [stream, this.book(stream).position]));
    this.#event('heartbeat', { serverTs: Date.now(), streams });
  }

  event(name: 'draining' | 'closing' | 'slow', data: unknown): void {
    this.#event(name, data);
  }

  push(envelope: Envelope): void {
    this.#push(envelope);
  }

  inject(frame: InboundFrame): void {
    this.#send(frame);
  }

  cut(code = 1006, reason = 'cut'): void {
    if (this.#link) this.#end(this.#link, code, reason);
  }

  /** Everything that waits, with `fault` on the first stream message. */
  deliver(fault?: DeliveryFault): void {
    const link = this.#link;
    if (!link) return;
    const frames = link.outbox.splice(0);
    const at = frames.findIndex((frame) => frame.type === 'message');
    if (fault && at !== -1) spoil(frames, at, fault);
    for (const frame of frames) if (!link.dead) link.handlers.onFrame(frame);
  }

  #end(link: Link, code: number, reason: string): void {
    if (link.dead) return;
    link.dead = true;
    link.handlers.onClose(code, reason);
  }

  #event(name: string, data: unknown): void {
    this.#send({ type: 'event', event: { name, data } } as InboundFrame);
  }

  #push(envelope: Envelope): void {
    if (this.#link?.joined.has(envelope.stream)) this.#send({ type: 'message', envelope });
  }

  #send(frame: InboundFrame): void {
    if (this.#link && !this.#link.dead) this.#link.outbox.push(frame);
  }

  #take(link: Link, request: OutboundRequest): void {
    this.requests.push(request);
    if (link.dead || link !== this.#link) return;
    const params = request.params as { streams: SubscribeRequest['streams'] } | undefined;
    if (request.method === 'unsubscribe') for (const stream of params!.streams) link.joined.delete(stream as string);
    const after: Envelope[] = [];
    const result = request.method === 'subscribe' ? params!.streams.map((each) => this.#join(link, each, after)) : {};
    if (this.losesReplies) return;
    this.#send({ type: 'reply', id: request.id, reply: { ok: true, result } });
    for (const envelope of after) this.#send({ type: 'message', envelope });
  }

  #join(link: Link, entry: SubscribeRequest['streams'][number], after: Envelope[]): unknown {
    const { stream, since } = typeof entry === 'string' ? { stream: entry, since: undefined } : entry;
    const known = link.joined.has(stream);
    link.joined.add(stream);
    const answer = this.answers.get(stream)?.(since);
    if (answer) {
      after.push(...(answer.after ?? []));
      return { stream, ...answer.result };
    }
    const book = this.book(stream);
    const missed = since ? book.after(since) : null;
    // The trap for clients: whoever is subscribed and asks again without a position is told that all is well.
    const recovered = missed !== null || (known && !since);
    if (missed) after.push(...missed);
    else if (!recovered) after.push(book.snapshot());
    return { stream, ...book.position, recovered, state: book.state };
  }
}

function spoil(frames: InboundFrame[], at: number, fault: DeliveryFault): void {
  const frame = frames[at]!;
  if (fault === 'drop') frames.splice(at, 1);
  else if (fault === 'duplicate') frames.splice(at, 0, frame);
  else if (fault === 'reorder') frames.push(...frames.splice(at, 1));
  else if (frame.type === 'message') frames[at] = { type: 'message', envelope: lying(frame.envelope, fault) };
}

/** Only where a checksum rides: a lie in a message without one is found by the next that has one, not before. */
function lying(envelope: Envelope, fault: 'wrong_checksum' | 'wrong_level'): Envelope {
  const data = envelope.data as { bids?: Level[]; checksum?: number };
  if (data.checksum === undefined || !data.bids) return envelope;
  if (fault === 'wrong_checksum') return { ...envelope, data: { ...data, checksum: (data.checksum + 1) >>> 0 } };
  // The best price, because the checksum covers the top of the book.
  const best: Level = [`${TOP_PRICE}.00`, '1'];
  return { ...envelope, data: { ...data, bids: [best, ...data.bids] } };
}
