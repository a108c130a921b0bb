import type { InboundFrame, OutboundRequest, Transport, TransportHandlers } from '../client/index.ts';
import type { Random } from '../kernel/random.ts';
import { CONNECTION_LIMITS } from '../protocol/limits.ts';
import type { Envelope, Level, StreamPosition, StreamState, SubscribeRequest } from '../protocol/messages.ts';
import { ScriptedBook, ScriptedTrades, TOP_PRICE } from './scripted-streams.ts';
import type { ScriptedStream } from './scripted-streams.ts';

export type DeliveryFault = 'drop' | 'duplicate' | 'reorder' | 'wrong_checksum' | 'wrong_level';

type Link = { handlers: TransportHandlers; outbox: InboundFrame[]; joined: Set<string>; dead: boolean };

/**
 * A server in memory that speaks the real messages with the real semantics of subscribe and resume. Nothing arrives until
 * `deliver`, where faults happen; `truth` says what each book was at each position.
 */
export class ScriptedServer implements Transport {
  readonly streams = new Map<string, ScriptedStream>();
  /** Answers for streams that are told by hand: the result of subscribing, and what follows it. */
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
    return this.#known(stream, ScriptedBook);
  }

  trades(stream: string): ScriptedTrades {
    return this.#known(stream, ScriptedTrades);
  }

  stream(name: string): ScriptedStream {
    return name.startsWith('trades:') ? this.trades(name) : this.book(name);
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
    this.#push(this.stream(stream).change(this.#random));
  }

  newEpoch(stream: string): void {
    for (const envelope of this.stream(stream).begin(this.#random)) this.#push(envelope);
  }

  say(stream: string, status: StreamState['status']): void {
    this.#push(this.stream(stream).say(status));
  }

  /** Messages that this connection does not get, and what stands for them. */
  conflate(name: string, changes: number): void {
    const stream = this.stream(name);
    const at = stream.position;
    for (let count = 0; count < changes; count++) stream.change(this.#random);
    for (const envelope of stream.base(at, 'slow_consumer')) this.#push(envelope);
  }

  heartbeat(): void {
    const joined = [...(this.#link?.joined ?? [])].filter((stream) => !this.answers.has(stream));
    const streams = Object.fromEntries(joined.map((stream) => [stream, this.stream(stream).position]));
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
    const held = this.stream(stream);
    const missed = since ? held.after(since) : null;
    // The trap for clients: whoever is subscribed and asks again without a position is told that all is well.
    const recovered = missed !== null || (known && !since);
    if (missed) after.push(...missed);
    else if (!recovered) after.push(...held.base(since, since?.epoch === held.epoch ? 'expired' : 'upstream'));
    return { stream, ...held.position, recovered, state: held.state };
  }

  #known<T extends ScriptedStream>(name: string, Kind: new (stream: string) => T): T {
    const known = this.streams.get(name);
    if (known) return known as T;
    const made = new Kind(name);
    made.begin(this.#random);
    this.streams.set(name, made);
    return made;
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
