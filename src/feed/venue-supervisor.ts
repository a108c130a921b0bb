import type { Clock } from '../kernel/clock.ts';
import type { Random } from '../kernel/random.ts';
import type { MarketIngest, Upstream, VenueHealth } from '../modules/market/upstream.ts';
import { upstreamKey } from '../modules/market/upstream.ts';
import type { Log } from '../platform/log.ts';
import type { StreamState } from '../protocol/messages.ts';
import type { PackedBatch } from './batch-wire.ts';
import { BatchUnpacker } from './batch-wire.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import { deliver } from './deliver.ts';
import type { FeedMetrics } from './feed-metrics.ts';
import type { FeedLimits, VenueSettings } from './settings.ts';
import { ThreadLink } from './thread-link.ts';
import type { FromThread, Pulse, ThreadEvent, VenueCapabilities } from './thread-protocol.ts';
import { UpstreamWatch } from './upstream-watch.ts';

const TICK_MS = 200;
/** When our own timer is this late, the main thread was busy: the thread's reports are waiting behind us, not missing. */
const LATE_TICK_MS = 1_000;
const HEALTH_MS = 1_000;
/** The exchange object is replaced when all its upstreams are in doubt and this many attempts have not woken one. */
const NUDGES_BEFORE_RECYCLING = 4;
const RECYCLE_PAUSE_MS = 60_000;
/** Changes that ccxt holds back for snapshots that never come; a healthy start holds a few hundred. */
const HELD_BACK_LIMIT = 50_000;
/** Share of the credit that is used up before it is given back. */
const ACK_SHARE = 0.25;
const HEAP_LIMIT_BYTES = 800 * 1024 * 1024;

export type SupervisorSetup = Readonly<{
  settings: VenueSettings;
  limits: FeedLimits;
  ingest: MarketIngest;
  log: Log;
  metrics: FeedMetrics;
  clock: Clock;
  random: Random;
}>;

/** One venue, seen from the main thread: its thread's life, what is wanted of it, and how far it is to be believed. */
export class VenueSupervisor {
  readonly venue: string;
  readonly #setup: SupervisorSetup;
  readonly #circuit: CircuitBreaker;
  readonly #watches = new Map<string, UpstreamWatch>();
  #thread: ThreadLink | undefined;
  #ready = false;
  #bannedUntil = 0;
  #capabilities: VenueCapabilities | undefined;
  #state: StreamState;
  #timer: NodeJS.Timeout | undefined;
  #lastTickMs = 0;
  #lastPulseMs = 0;
  #startedMs = 0;
  #lastHealthMs = 0;
  #lastRecycleMs = -Infinity;
  #lastError = '';
  #pulse: Pulse | undefined;
  #restarts = 0;
  #reconnectsOfPastThreads = 0;
  #framesAtHealth = 0;
  #lagMs: number[] = [];
  #unpacker = new BatchUnpacker();
  readonly #ackStep: number;
  readonly #take = (event: ThreadEvent): void => this.#onEvent(event);

  constructor(setup: SupervisorSetup) {
    this.#setup = setup;
    this.#ackStep = Math.max(1, Math.floor(setup.limits.creditBatches * ACK_SHARE));
    this.venue = setup.settings.venue;
    this.#circuit = new CircuitBreaker(setup.limits.circuit, setup.random);
    this.#state = { status: 'resyncing', since: setup.clock.now(), reason: 'starting' };
  }

  /** Undefined until the exchange's markets have been loaded once. */
  get capabilities(): VenueCapabilities | undefined {
    return this.#capabilities;
  }

  get state(): StreamState {
    return this.#state;
  }

  start(): void {
    this.#setup.ingest.venueState(this.venue, this.#state);
    this.#lastTickMs = this.#setup.clock.monotonic();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#startThread();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.stop();
  }

  want(upstream: Upstream): void {
    const key = upstreamKey(upstream);
    const known = this.#watches.get(key);
    const watch = known ?? new UpstreamWatch(upstream, this.#setup.limits, this.#setup.random, this.#now());
    if (known !== undefined && known.unwantedUntilMs === undefined) return;
    watch.unwantedUntilMs = undefined;
    this.#watches.set(key, watch);
    if (known === undefined && this.#circuit.state === 'open') watch.enter('down', this.#lastError, this.#now());
    this.#setup.ingest.upstreamState(upstream, watch.state);
    this.#thread?.send({ type: 'want', upstream });
  }

  unwant(upstream: Upstream): void {
    const watch = this.#watches.get(upstreamKey(upstream));
    if (watch === undefined || watch.unwantedUntilMs !== undefined) return;
    watch.unwantedUntilMs = this.#setup.clock.monotonic() + this.#setup.limits.lingerMs;
  }

  // --- the thread's life ---

  #startThread(): void {
    const { settings, limits } = this.#setup;
    this.#ready = false;
    this.#unpacker = new BatchUnpacker();
    this.#startedMs = this.#lastPulseMs = this.#setup.clock.monotonic();
    const thread = new ThreadLink(
      { settings, limits, bannedUntil: this.#bannedUntil },
      {
        onMessage: (message) => this.#onMessage(message),
        onEnd: (reason) => {
          if (thread === this.#thread) this.#threadLost(reason);
        },
      },
    );
    this.#thread = thread;
    for (const watch of this.#watches.values()) {
      watch.restarted(this.#startedMs);
      if (watch.state.status === 'down') this.#enter(watch, 'resyncing', 'starting');
      thread.send({ type: 'want', upstream: watch.upstream });
    }
  }

  /** The thread is gone or to be given up; a failure like a refused connection, so that a crash loop opens the circuit. */
  #threadLost(reason: string): void {
    this.#dropThread(reason);
    this.#restarts += 1;
    this.#setup.metrics.threadLost(this.venue);
    this.#setup.log.error({ event: 'feed_thread_lost', venue: this.venue, reason });
    if (!this.#attemptFailed(reason) && this.#circuit.state !== 'open') this.#startThread();
  }

  #dropThread(reason: string): void {
    const thread = this.#thread;
    this.#thread = undefined;
    this.#ready = false;
    this.#reconnectsOfPastThreads += this.#pulse?.reconnects ?? 0;
    this.#pulse = undefined;
    this.#framesAtHealth = 0;
    for (const watch of this.#watches.values()) this.#enter(watch, 'resyncing', reason);
    this.#enterVenue('resyncing', reason);
    void thread?.end();
  }

  /** Answers whether the circuit has opened. */
  #attemptFailed(reason: string): boolean {
    this.#lastError = reason;
    const nowMs = this.#setup.clock.monotonic();
    // A ban is told in Unix time, the circuit counts in monotonic.
    const banMs = Math.max(0, this.#bannedUntil - this.#setup.clock.now());
    if (!this.#circuit.failed(nowMs, nowMs + banMs)) return false;
    this.#setup.log.error({ event: 'feed_circuit_open', venue: this.venue, reason });
    if (this.#thread !== undefined) this.#dropThread(reason);
    for (const watch of this.#watches.values()) this.#enter(watch, 'down', 'the exchange cannot be reached');
    this.#enterVenue('down', 'the exchange cannot be reached');
    return true;
  }

  // --- what the thread tells ---

  #onMessage(message: FromThread): void {
    if (message instanceof Float64Array) return this.#onBatch(message);
    switch (message.type) {
      case 'ready':
        return this.#onReady(message);
      case 'batch':
        return this.#onBatch(message);
      case 'pulse':
        return this.#onPulse(message.pulse);
      case 'attempt':
        return this.#onAttempt(message.what, message.error);
      case 'banned':
        this.#bannedUntil = Math.max(this.#bannedUntil, message.until);
        this.#setup.log.warn({ event: 'feed_banned', venue: this.venue, until: message.until });
        return;
      case 'note':
        this.#setup.log[message.level]({ event: message.event, venue: this.venue, detail: message.detail });
    }
  }

  #onBatch(packed: PackedBatch): void {
    const batch = this.#unpacker.unpack(packed, this.#take);
    // In steps, since an answer to each batch would wake the thread as often as the exchange does.
    if (batch % this.#ackStep === 0) this.#thread?.send({ type: 'ack', batch });
  }

  #onReady({ markets, capabilities }: Extract<FromThread, { type: 'ready' }>): void {
    this.#ready = true;
    this.#capabilities = capabilities;
    this.#setup.ingest.markets(this.venue, markets);
    this.#enterVenue('live', 'connected');
  }

  #onAttempt(what: 'markets' | 'connection', error: string | null): void {
    if (error !== null) {
      this.#setup.log.warn({ event: 'feed_attempt_failed', venue: this.venue, what, error });
      this.#attemptFailed(error);
    } else if (this.#circuit.succeeded()) {
      this.#setup.log.info({ event: 'feed_circuit_closed', venue: this.venue });
    }
  }

  #onEvent(event: ThreadEvent): void {
    const watch = this.#watches.get(event.key);
    if (watch === undefined) return;
    switch (event.type) {
      case 'doubt':
        // Stale stays stale, whatever is tried meanwhile, until something newer has come.
        if (watch.state.status !== 'stale') this.#enter(watch, 'resyncing', event.doubt);
        return;
      case 'fresh':
        return this.#enter(watch, 'live', 'verified');
      case 'refused':
        return this.#enter(watch, 'down', event.reason);
      case 'book':
      case 'trades':
      case 'ticker':
      case 'candles':
        this.#enter(watch, 'live', 'verified');
        deliver(this.#setup.ingest, watch.upstream, event);
    }
  }

  #onPulse(pulse: Pulse): void {
    const nowMs = this.#setup.clock.monotonic();
    this.#lastPulseMs = nowMs;
    this.#setup.metrics.pulse(this.venue, this.#pulse, pulse);
    this.#pulse = pulse;
    this.#lagMs.push(...pulse.lagMs);
    for (const [key, activity] of pulse.active) {
      const watch = this.#watches.get(key);
      if (watch === undefined) continue;
      watch.activity = activity;
      watch.heard(nowMs);
    }
  }

  // --- what time brings ---

  #tick(): void {
    const nowMs = this.#setup.clock.monotonic();
    const lateMs = nowMs - this.#lastTickMs - TICK_MS;
    this.#lastTickMs = nowMs;
    if (nowMs - this.#lastHealthMs >= HEALTH_MS) this.#tellHealth(nowMs);
    if (this.#thread === undefined) {
      if (this.#circuit.tryHalfOpen(nowMs)) this.#startThread();
      return;
    }
    if (lateMs > LATE_TICK_MS) return;
    const { hangMs, startMs } = this.#setup.limits;
    if (nowMs - this.#lastPulseMs > hangMs) return this.#threadLost('the thread hangs');
    if (!this.#ready && nowMs - this.#startedMs > startMs) return this.#threadLost('the markets do not load');
    for (const watch of this.#watches.values()) this.#look(watch, nowMs);
    if (this.#ready) this.#recycleIfSick(nowMs);
  }

  #look(watch: UpstreamWatch, nowMs: number): void {
    if (watch.unwantedUntilMs !== undefined && nowMs >= watch.unwantedUntilMs) {
      this.#watches.delete(watch.key);
      this.#thread?.send({ type: 'unwant', key: watch.key });
      return;
    }
    if (watch.silent(nowMs)) this.#enter(watch, 'stale', 'silence');
    if (!this.#ready) return;
    const doubt = watch.dueNudge(nowMs);
    if (doubt === undefined) return;
    this.#setup.metrics.nudged(this.venue, doubt);
    this.#thread?.send({ type: 'nudge', key: watch.key, doubt, activity: watch.activity });
  }

  #recycleIfSick(nowMs: number): void {
    const watches = [...this.#watches.values()].filter(({ state }) => state.status !== 'down');
    const stuck =
      watches.length > 0 &&
      watches.every(({ state }) => state.status !== 'live') &&
      watches.some(({ nudges }) => nudges >= NUDGES_BEFORE_RECYCLING);
    const swollen = (this.#pulse?.heldBack ?? 0) > HELD_BACK_LIMIT;
    if ((this.#pulse?.heapBytes ?? 0) > HEAP_LIMIT_BYTES) return this.#threadLost('the thread uses too much memory');
    if ((!stuck && !swollen) || nowMs - this.#lastRecycleMs < RECYCLE_PAUSE_MS) return;
    this.#lastRecycleMs = nowMs;
    this.#setup.metrics.recycled(this.venue);
    this.#thread?.send({ type: 'recycle' });
  }

  #tellHealth(nowMs: number): void {
    const frames = this.#pulse?.frames ?? 0;
    const seconds = Math.max(0.001, (nowMs - this.#lastHealthMs) / 1000);
    const health: VenueHealth = {
      source: this.#setup.settings.source,
      upstreams: this.#watches.size,
      messagesPerSecond: Math.max(0, Math.round(((frames - this.#framesAtHealth) / seconds) * 10) / 10),
      lagMs: median(this.#lagMs),
      lastMessageTs: this.#pulse?.lastMessageTs ?? null,
      reconnects: this.#reconnectsOfPastThreads + (this.#pulse?.reconnects ?? 0) + this.#restarts,
      circuit: this.#circuit.state,
    };
    this.#lastHealthMs = nowMs;
    this.#framesAtHealth = frames;
    this.#lagMs = [];
    this.#setup.ingest.venueHealth(this.venue, health);
    this.#setup.metrics.health(
      this.venue,
      health,
      [...this.#watches.values()].map(({ state }) => state.status),
    );
  }

  // --- states ---

  #enter(watch: UpstreamWatch, status: StreamState['status'], reason: string): void {
    if (watch.enter(status, reason.slice(0, 200), this.#now())) {
      this.#setup.ingest.upstreamState(watch.upstream, watch.state);
    }
  }

  #enterVenue(status: StreamState['status'], reason: string): void {
    if (this.#state.status === status) return;
    this.#state = { status, since: this.#setup.clock.now(), reason: reason.slice(0, 200) };
    this.#setup.ingest.venueState(this.venue, this.#state);
  }

  #now(): { unixMs: number; monotonicMs: number } {
    return { unixMs: this.#setup.clock.now(), monotonicMs: this.#setup.clock.monotonic() };
  }
}

function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
