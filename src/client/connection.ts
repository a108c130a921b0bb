import { backoffDelayMs } from '../kernel/backoff.ts';
import type { BackoffPolicy } from '../kernel/backoff.ts';
import type { Random } from '../kernel/random.ts';
import { TokenBucket } from '../kernel/token-bucket.ts';
import { CLOSE_CODES, mayReconnect } from '../protocol/close-codes.ts';
import { CONNECTION_LIMITS } from '../protocol/limits.ts';
import type { Envelope, StreamPosition, SystemEvents } from '../protocol/messages.ts';
import type { MethodName } from '../protocol/methods.ts';
import { ClientError } from './client-error.ts';
import type { InboundFrame, RequestReply, SystemEvent, Transport, TransportConnection } from './transport.ts';

/** From the first attempt to the server's `welcome`. */
const WELCOME_TIMEOUT_MS = 10_000;
const REPLY_TIMEOUT_MS = 10_000;
/** We keep to this share of the server's rate: delays on the way bunch what we sent evenly. */
const RATE_SHARE = 0.8;
/** Silence of so many heartbeats: first ask (and stop calling anything live), then give the connection up. */
const SILENT_HEARTBEATS = 1.5;
const DEAD_HEARTBEATS = 2.5;
const WATCH_PER_HEARTBEAT = 4;
const REQUESTS_IN_FLIGHT_LIMIT = 64;

export type ConnectionStatus = 'connecting' | 'open' | 'silent' | 'waiting' | 'stopped';
/** `waiting` is the pause before the next attempt. `since` is Unix ms. */
export type ConnectionState = Readonly<{ status: ConnectionStatus; since: number; reason: string }>;
export type ConnectionCounters = {
  connects: number;
  reconnects: number;
  requests: number;
  /** Frames that the protocol does not know. */
  malformed: number;
  /** Times that a request had to wait for the server's rate limit. */
  throttled: number;
};

export type ConnectionDeps = Readonly<{
  transport: Transport;
  backoff: BackoffPolicy;
  now: () => number;
  random: Random;
  /** A connection that was closed for its proof of identity may be opened anew with another. */
  mayProve: boolean;
  onWelcome(): void;
  onMessage(envelope: Envelope): void;
  onHeartbeat(streams: Readonly<Record<string, StreamPosition>>): void;
  onState(state: ConnectionState): void;
  onSlow(slow: SystemEvents['slow']): void;
  onError(error: ClientError): void;
}>;

type Limits = Readonly<Record<keyof typeof CONNECTION_LIMITS, number>>;

/** One way to the server at a time, kept up for as long as the server allows: handshake, watchdog, requests, reconnects. */
export class Connection {
  readonly counters: ConnectionCounters = { connects: 0, reconnects: 0, requests: 0, malformed: 0, throttled: 0 };
  readonly #deps: ConnectionDeps;
  #live: TransportConnection | undefined;
  #state: ConnectionState;
  #limits: Limits = CONNECTION_LIMITS;
  #bucket: TokenBucket;
  #failures = 0;
  #lastFrameAtMs = 0;
  #pinged = false;
  /** What the server said before it closed a connection whose transport hides the code. */
  #closing: SystemEvents['closing'] | undefined;
  #nextId = 1;
  readonly #inFlight = new Map<number, Readonly<{ sentAtMs: number; onReply: (reply: RequestReply) => void }>>();
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #drainTimer: ReturnType<typeof setTimeout> | undefined;
  #watchTimer: ReturnType<typeof setInterval> | undefined;

  constructor(deps: ConnectionDeps) {
    this.#deps = deps;
    this.#state = { status: 'waiting', since: deps.now(), reason: 'not started' };
    this.#bucket = bucketOf(CONNECTION_LIMITS, deps.now());
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The server's limits; the protocol's defaults until the first `welcome`. */
  get limits(): Limits {
    return this.#limits;
  }

  get ready(): boolean {
    return this.#state.status === 'open' || this.#state.status === 'silent';
  }

  connect(): void {
    if (this.#state.status === 'stopped') return;
    this.#drop();
    this.counters.connects += 1;
    this.#closing = undefined;
    this.#lastFrameAtMs = this.#deps.now();
    this.#setState('connecting', 'connecting');
    this.#startWatch();
    try {
      this.#live = this.#deps.transport.connect({
        onOpen: () => undefined,
        onFrame: (frame) => this.#take(frame),
        onClose: (code, reason) => this.#closed(code, reason),
      });
    } catch (error) {
      // A constructor throws for what no attempt can mend, such as a page's policy against this address.
      this.stop(new ClientError('stopped', `cannot connect: ${String(error)}`, { cause: error }));
    }
  }

  stop(error: ClientError): void {
    if (this.#state.status === 'stopped') return;
    this.#drop();
    this.#setState('stopped', error.message);
  }

  /** Milliseconds until a request may be sent; 0 for now. */
  waitMs(): number {
    if (this.#inFlight.size >= REQUESTS_IN_FLIGHT_LIMIT) return REPLY_TIMEOUT_MS;
    return this.#bucket.waitMs(this.#deps.now());
  }

  /** Sends if the connection is ready and the rate allows it, else answers false. No reply comes if the connection ends first. */
  request(method: MethodName, params: unknown, onReply: (reply: RequestReply) => void): boolean {
    if (!this.ready || !this.#live) return false;
    const now = this.#deps.now();
    if (this.#inFlight.size >= REQUESTS_IN_FLIGHT_LIMIT || !this.#bucket.tryTake(now)) {
      this.counters.throttled += 1;
      return false;
    }
    const id = this.#nextId++;
    this.#inFlight.set(id, { sentAtMs: now, onReply });
    this.counters.requests += 1;
    this.#live.send(params === undefined ? { id, method } : { id, method, params });
    return true;
  }

  #take(frame: InboundFrame): void {
    this.#lastFrameAtMs = this.#deps.now();
    this.#pinged = false;
    if (this.#state.status === 'silent') this.#setState('open', 'connected');
    switch (frame.type) {
      case 'message':
        return this.#deps.onMessage(frame.envelope);
      case 'event':
        return this.#takeEvent(frame.event);
      case 'reply': {
        const waiting = this.#inFlight.get(frame.id);
        this.#inFlight.delete(frame.id);
        return waiting?.onReply(frame.reply);
      }
      case 'malformed':
        this.counters.malformed += 1;
        return this.#deps.onError(new ClientError('malformed_frame', frame.problem));
      case 'batch':
        return this.#takeBatch(frame.frames);
      case 'ignored':
        return;
    }
  }

  #takeBatch(frames: readonly InboundFrame[]): void {
    const live = this.#live;
    for (const frame of frames) {
      // A handler may have given the connection up.
      if (this.#live !== live) return;
      this.#take(frame);
    }
  }

  #takeEvent(event: SystemEvent): void {
    switch (event.name) {
      case 'welcome':
        this.#limits = { ...CONNECTION_LIMITS, ...positiveNumbers(event.data.limits) };
        this.#startWatch();
        this.#bucket = bucketOf(this.#limits, this.#deps.now());
        this.#setState('open', 'connected');
        return this.#deps.onWelcome();
      case 'heartbeat':
        // The server can be believed again once it has kept a connection for a heartbeat.
        this.#failures = 0;
        return this.#deps.onHeartbeat(event.data.streams);
      case 'draining':
        clearTimeout(this.#drainTimer);
        this.#drainTimer = setTimeout(() => this.#leave('the server is draining', 0), event.data.afterMs);
        return;
      case 'slow':
        return this.#deps.onSlow(event.data);
      case 'closing':
        this.#closing = event.data;
        return;
    }
  }

  #closed(code: number, reason: string): void {
    this.#live = undefined;
    const said = this.#closing;
    const finalCode = said?.code ?? code;
    const text = `${said?.reason ?? (reason || 'connection closed')} (${finalCode})`;
    const renewable = finalCode === CLOSE_CODES.unauthorized.code && this.#deps.mayProve;
    if (!mayReconnect(finalCode) && !renewable) this.stop(new ClientError('stopped', text));
    else this.#leave(text);
  }

  #leave(reason: string, delayMs?: number): void {
    this.#drop();
    const waitMs = delayMs ?? backoffDelayMs(this.#deps.backoff, this.#failures, this.#deps.random);
    this.#failures += 1;
    this.counters.reconnects += 1;
    this.#setState('waiting', reason);
    this.#retryTimer = setTimeout(() => this.connect(), waitMs);
  }

  #drop(): void {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#drainTimer);
    clearInterval(this.#watchTimer);
    this.#inFlight.clear();
    this.#pinged = false;
    const live = this.#live;
    this.#live = undefined;
    live?.abandon();
  }

  #startWatch(): void {
    clearInterval(this.#watchTimer);
    this.#watchTimer = setInterval(() => this.#watch(), this.#limits.heartbeatMs / WATCH_PER_HEARTBEAT);
  }

  #watch(): void {
    const now = this.#deps.now();
    const silentMs = now - this.#lastFrameAtMs;
    const { heartbeatMs } = this.#limits;
    if (!this.ready) {
      if (silentMs >= WELCOME_TIMEOUT_MS) this.#leave('no welcome');
    } else if (silentMs >= heartbeatMs * DEAD_HEARTBEATS) {
      this.#leave('no heartbeat');
    } else if ([...this.#inFlight.values()].some(({ sentAtMs }) => now - sentAtMs >= REPLY_TIMEOUT_MS)) {
      this.#leave('no reply');
    } else if (silentMs >= heartbeatMs * SILENT_HEARTBEATS && !this.#pinged) {
      this.#setState('silent', 'the connection is silent');
      // Once per silence, and only after the state was told: its answer turns the state back.
      this.#pinged = this.request('ping', undefined, () => undefined);
    }
  }

  #setState(status: ConnectionStatus, reason: string): void {
    if (status === this.#state.status && reason === this.#state.reason) return;
    this.#state = { status, reason, since: this.#deps.now() };
    this.#deps.onState(this.#state);
  }
}

function bucketOf(limits: Limits, now: number): TokenBucket {
  return new TokenBucket(
    {
      capacity: Math.max(1, Math.floor(limits.inboundBurst * RATE_SHARE)),
      refillPerSecond: Math.max(1, limits.inboundMessagesPerSecond * RATE_SHARE),
    },
    now,
  );
}

function positiveNumbers(limits: Readonly<Record<string, unknown>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(limits).filter((entry): entry is [string, number] => typeof entry[1] === 'number' && entry[1] > 0),
  );
}
