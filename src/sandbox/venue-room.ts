import type { Log } from '../platform/log.ts';
import { DepthBook } from './depth-book.ts';
import type { FaultChannel } from './fault-script.ts';
import type { Faults, FramePlan } from './faults.ts';
import type { PeerSocket } from './peer-socket.ts';
import type { SandboxVenue, TapeBook, TapeEvent, TapeSource } from './tape.ts';
import type { Damage, Peer, RestReply, RestRequest, SnapshotMood, VenueDriver } from './venue.ts';
import { venueFactory } from './venues/index.ts';

/** `first-subscriber`: the tape begins when somebody listens; `manual`: when `play` is called. */
export type StartWhen = 'now' | 'first-subscriber' | 'manual';

const CHANNEL_OF: Readonly<Record<TapeEvent['kind'], FaultChannel>> = {
  book: 'book',
  trade: 'trades',
  top: 'top',
  ticker: 'ticker',
  candle: 'candles',
};
/** How often a source that plays as fast as it can looks whether slow clients have caught up. */
const BEHIND_POLL_MS = 5;
/** A client that does not catch up within this while the source waits for it is cut off. */
const STALLED_MS = 8000;
/** As at the exchanges, which wait about a minute. */
const UNANSWERED_PINGS_LIMIT = 3;
/** Old books kept per symbol for `stale-snapshot`, at most one per this many milliseconds. */
const OLD_BOOK_INTERVAL_MS = 250;
const OLD_BOOKS_LIMIT = 240;

type OldBook = Readonly<{ atMs: number; book: TapeBook }>;

/** One venue of the sandbox: its source, its wire protocol, its clients, and the faults between them. */
export class VenueRoom {
  readonly source: TapeSource;
  readonly driver: VenueDriver;
  readonly #faults: Faults;
  readonly #log: Log;
  readonly #monotonic: () => number;
  readonly #peers = new Set<PeerSocket>();
  readonly #timers = new Map<NodeJS.Timeout, Peer>();
  readonly #oldBooks = new Map<string, OldBook[]>();
  readonly #startWhen: StartWhen;
  #playing = false;
  #stopped = false;
  slowClients = 0;

  constructor(options: {
    source: TapeSource;
    faults: Faults;
    log: Log;
    monotonic: () => number;
    startWhen: StartWhen;
  }) {
    this.source = options.source;
    this.#faults = options.faults;
    this.#log = options.log;
    this.#monotonic = options.monotonic;
    this.driver = venueFactory(options.source.venue)({
      source: options.source,
      log: options.log,
      now: () => this.source.now() + this.#faults.skewMs(this.venue),
      snapshotMood: (symbol) => this.#mood(symbol),
      later: (peer, delayMs, run) => this.#later(peer, delayMs, run),
      subscribed: () => {
        if (this.#startWhen === 'first-subscriber') this.play();
      },
    });
    this.#startWhen = options.startWhen;
  }

  /** To be called once the venue can be reached. */
  open(): void {
    if (this.#startWhen === 'now') this.play();
  }

  get venue(): SandboxVenue {
    return this.source.venue;
  }

  get clients(): number {
    return this.#peers.size;
  }

  play(): void {
    if (this.#playing || this.#stopped) return;
    this.#playing = true;
    this.#log.info({ event: 'sandbox_playing', venue: this.venue, origin: this.source.origin });
    this.source.start(
      (event) => this.#publish(event),
      () => (this.#anyBehind() ? this.#caughtUp() : undefined),
    );
  }

  stop(): void {
    this.#stopped = true;
    this.source.stop();
    for (const timer of this.#timers.keys()) clearTimeout(timer);
    this.#timers.clear();
    for (const peer of this.#peers) peer.cut();
  }

  join(peer: PeerSocket): void {
    this.#peers.add(peer);
    this.driver.opened(peer);
  }

  leave(peer: PeerSocket): void {
    if (!this.#peers.delete(peer)) return;
    this.driver.closed(peer);
    for (const [timer, owner] of this.#timers) {
      if (owner !== peer) continue;
      clearTimeout(timer);
      this.#timers.delete(timer);
    }
  }

  /** The answer and how late it is to be sent. */
  rest(request: RestRequest): { reply: RestReply; delayMs: number } {
    const { retryAfterSeconds } = this.#faults.rest(this.venue);
    if (retryAfterSeconds !== undefined) {
      const body = { code: -1003, msg: 'Too many requests; sandbox fault.' };
      return { reply: { status: 429, body, headers: { 'retry-after': String(retryAfterSeconds) } }, delayMs: 0 };
    }
    return this.#snapshotAware(request);
  }

  /** About once a second. */
  tick(): void {
    const code = this.#faults.dueDisconnect(this.venue);
    if (code !== undefined) {
      for (const peer of this.#peers) {
        this.#faults.count('disconnect');
        peer.close(code, 'sandbox fault');
      }
    }
    const plan = this.#faults.active ? this.#faults.frame(this.venue, 'heartbeat', '*') : undefined;
    this.driver.tick((peer, text) => (peer as PeerSocket).deliver(text, 'heartbeat', plan));
  }

  /** Cuts clients that have not answered the last pings, and pings the others. */
  ping(): void {
    for (const peer of this.#peers) {
      if (peer.unanswered >= UNANSWERED_PINGS_LIMIT) peer.cut();
      else peer.ping();
    }
  }

  #publish(original: TapeEvent): void {
    if (!this.#faults.active) return this.driver.publish(original, (peer, text) => (peer as PeerSocket).send(text));
    this.#keepOldBook(original);
    const channel = CHANNEL_OF[original.kind];
    const stream = `${channel}/${original.symbol}`;
    const plan = this.#faults.frame(this.venue, channel, original.symbol);
    const damage = this.#damage(original, plan);
    const deliver = (peer: Peer, text: string): void => (peer as PeerSocket).deliver(text, stream, plan);
    this.driver.publish(this.#skewed(original), deliver, damage);
  }

  /** An event at the venue's wrong time is no longer the recorded frame. */
  #skewed(event: TapeEvent): TapeEvent {
    const skewMs = this.#faults.skewMs(this.venue);
    if (skewMs === 0) return event;
    this.#faults.count('clock-skew');
    const { raw: _raw, ...rest } = event;
    return { ...rest, ts: event.ts + skewMs };
  }

  #damage(event: TapeEvent, plan: FramePlan | undefined): Damage | undefined {
    if (plan === undefined || event.kind !== 'book') return undefined;
    const book = this.source.book(event.symbol);
    // Three levels deep into the asks, so that one cancelled ask does not uncross the book at once.
    const ask = book?.asks[2];
    const size = book?.bids[0]?.[1];
    const crossing = plan.crossed === true && ask !== undefined && size !== undefined;
    const bid = crossing ? { bid: [ask[0], size] as const } : {};
    return { ...bid, ...(plan.wrongChecksum === true ? { wrongChecksum: true } : {}) };
  }

  #mood(symbol: string): SnapshotMood {
    if (!this.#faults.active) return { delayMs: 0, fail: false };
    const { delayMs, failStatus } = this.#faults.snapshot(this.venue, symbol);
    return { delayMs, fail: failStatus !== undefined };
  }

  #snapshotAware(request: RestRequest): { reply: RestReply; delayMs: number } {
    const symbol = this.#faults.active ? this.driver.snapshotSymbol(request) : undefined;
    if (symbol === undefined) return { reply: this.driver.rest(request), delayMs: 0 };
    const { delayMs, failStatus, staleMs } = this.#faults.snapshot(this.venue, symbol);
    if (failStatus !== undefined) return { reply: { status: failStatus, body: { msg: 'sandbox fault' } }, delayMs };
    const old = staleMs === undefined ? undefined : this.#oldBook(symbol, staleMs);
    return { reply: this.driver.rest({ ...request, book: old }), delayMs };
  }

  #keepOldBook(event: TapeEvent): void {
    if (event.kind !== 'book' || !this.#faults.has('stale-snapshot', this.venue)) return;
    const kept = this.#oldBooks.get(event.symbol) ?? [];
    this.#oldBooks.set(event.symbol, kept);
    const atMs = this.#monotonic();
    const book = this.source.book(event.symbol);
    if (book === undefined || atMs - (kept.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY) < OLD_BOOK_INTERVAL_MS) return;
    const copy = new DepthBook();
    copy.replace(book);
    kept.push({ atMs, book: copy });
    if (kept.length > OLD_BOOKS_LIMIT) kept.shift();
  }

  #oldBook(symbol: string, staleMs: number): TapeBook | undefined {
    const wantedMs = this.#monotonic() - staleMs;
    const kept = this.#oldBooks.get(symbol) ?? [];
    return (kept.findLast(({ atMs }) => atMs <= wantedMs) ?? kept[0])?.book;
  }

  #later(peer: Peer, delayMs: number, run: () => void): void {
    if (delayMs <= 0) return run();
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, delayMs);
    this.#timers.set(timer, peer);
  }

  #anyBehind(): boolean {
    for (const peer of this.#peers) if (peer.behind) return true;
    return false;
  }

  async #caughtUp(): Promise<void> {
    const giveUpMs = this.#monotonic() + STALLED_MS;
    while (this.#anyBehind() && !this.#stopped) {
      await new Promise((resolve) => setTimeout(resolve, BEHIND_POLL_MS));
      if (this.#monotonic() < giveUpMs) continue;
      for (const peer of this.#peers) {
        if (!peer.behind) continue;
        this.slowClients += 1;
        peer.cut();
      }
    }
  }
}
