import type { Log } from '../platform/log.ts';
import type { SandboxVenue, TapeBook, TapeEvent, TapeLevel, TapeSource } from './tape.ts';

/** What a driver answers to a REST request; `body` is sent as JSON unless it is text already. */
export type RestReply = Readonly<{ status: number; body: unknown; headers?: Readonly<Record<string, string>> }>;
/** `path` is below the venue's root and starts with a slash. `book` stands in for the true book of the asked symbol (a fault). */
export type RestRequest = Readonly<{
  method: string;
  path: string;
  query: URLSearchParams;
  origin: Origin;
  book?: TapeBook | undefined;
}>;
/** Where clients reach this venue; a driver needs it when a REST answer names the WebSocket address (KuCoin). */
export type Origin = Readonly<{ http: string; ws: string }>;

/** One WebSocket client as a driver sees it. `send` is for answers to requests: market data goes through `Deliver`. */
export interface Peer {
  readonly id: number;
  /** Below the venue's root, starts with a slash. */
  readonly path: string;
  readonly query: URLSearchParams;
  send(text: string): void;
  close(code: number, reason: string): void;
}

/** Hands one frame of the event being published to one client; faults act here. */
export type Deliver = (peer: Peer, text: string) => void;

/** Damage that only the driver can do, because only it knows where a frame keeps these things. */
export type Damage = Readonly<{ bid?: TapeLevel; wrongChecksum?: boolean }>;

/** What happens to the snapshot that a client gets inside its subscription. */
export type SnapshotMood = Readonly<{ delayMs: number; fail: boolean }>;

export type VenueServices = Readonly<{
  source: TapeSource;
  log: Log;
  /** The venue's clock in Unix milliseconds, clock-skew faults included. */
  now(): number;
  snapshotMood(symbol: string): SnapshotMood;
  /** Runs once after a delay unless the sandbox stops or the client leaves first. */
  later(peer: Peer, delayMs: number, run: () => void): void;
  /** Tells the sandbox that a client wants data, which starts a source that waits for its first subscriber. */
  subscribed(): void;
}>;

/** One exchange's wire protocol. Everything is synchronous: an event is on its way to every subscriber when `publish` returns. */
export interface VenueDriver {
  readonly venue: SandboxVenue;
  rest(request: RestRequest): RestReply;
  /** The symbol whose book this request asks for, if it does. */
  snapshotSymbol(request: RestRequest): string | undefined;
  opened(peer: Peer): void;
  message(peer: Peer, text: string): void;
  closed(peer: Peer): void;
  publish(event: TapeEvent, deliver: Deliver, damage?: Damage): void;
  /** Called about once a second: heartbeats. */
  tick(deliver: Deliver): void;
}
export type VenueFactory = (services: VenueServices) => VenueDriver;

/** Who listens to what: topic -> clients, each with what its driver remembers about the subscription. */
export class Topics<T> {
  readonly #topics = new Map<string, Map<Peer, T>>();

  add(topic: string, peer: Peer, detail: T): void {
    const peers = this.#topics.get(topic) ?? new Map<Peer, T>();
    this.#topics.set(topic, peers.set(peer, detail));
  }

  remove(topic: string, peer: Peer): boolean {
    const peers = this.#topics.get(topic);
    if (!peers?.delete(peer)) return false;
    if (peers.size === 0) this.#topics.delete(topic);
    return true;
  }

  drop(peer: Peer): void {
    for (const topic of this.#topics.keys()) this.remove(topic, peer);
  }

  /** Undefined when nobody listens, so that a driver can skip encoding. */
  of(topic: string): ReadonlyMap<Peer, T> | undefined {
    return this.#topics.get(topic);
  }

  *all(): Iterable<[topic: string, peers: ReadonlyMap<Peer, T>]> {
    yield* this.#topics;
  }

  /** Topics of one client. */
  *ofPeer(peer: Peer): Iterable<string> {
    for (const [topic, peers] of this.#topics) if (peers.has(peer)) yield topic;
  }
}

/** A book change with a damage's extra bid, no longer the recorded frame; anything else as it is. */
export function damaged(event: TapeEvent, damage: Damage | undefined): TapeEvent {
  if (event.kind !== 'book' || damage?.bid === undefined) return event;
  const { raw: _raw, ...rest } = event;
  return { ...rest, bids: [...event.bids, damage.bid] };
}

/** JSON object from a client's text; undefined for anything else. */
export function parseRequest(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    // Not JSON is a kind of request too: every venue answers it with an error of its own.
    return undefined;
  }
}

export function textList(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each): each is string => typeof each === 'string') : [];
}

/** Text of a field that should be text or a number; empty for anything else. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}
