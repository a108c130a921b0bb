import { randomUUID } from 'node:crypto';
import type { Clock } from '../../kernel/clock.ts';
import type { Random } from '../../kernel/random.ts';
import type { MarketDirectory, StreamCache } from '../../modules/market/index.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { NativeWriter } from '../../platform/native-writer/native-writer.ts';
import { CONNECTION_LIMITS } from '../../protocol/limits.ts';
import type { ConnectionLimits } from '../../protocol/limits.ts';
import type { PreparedMessage } from '../../protocol/envelope.ts';
import { Authenticator } from './authentication.ts';
import { Connection } from './connection.ts';
import type { ConnectionHooks } from './connection.ts';
import type { HubAccounts, HubContext } from './hub-context.ts';
import type { DeliverySetup } from './delivery.ts';
import { Egress } from './egress.ts';
import { BUSY_FRAMES_PER_SECOND, FLUSH_WINDOW_LIMIT_MS } from './flush-window.ts';
import type { HandshakeCounts } from './handshake-gate.ts';
import { createHubMetrics } from './hub-metrics.ts';
import type { HubFigures, HubMetrics } from './hub-metrics.ts';
import { InboundGuard } from './inbound-guard.ts';
import { createMethods } from './methods.ts';
import { PrivateStreams } from './private-streams.ts';
import { RequestIntake } from './requests.ts';
import type { Inbound } from './requests.ts';
import { createStreamGate } from './stream-gate.ts';
import { Topics } from './topic.ts';
import { UNKNOWN_PEER } from './wire.ts';
import type { DoorName, Peer, Wire } from './wire.ts';

/** How often backlogs are judged; heartbeats are spread over as many ticks as fit in their interval. */
const TICK_MS = 500;
/** A stream that nobody used until now may take this long to come alive. */
const COLD_STREAM_MS = 5_000;
/** Every n-th message is timed from ingest to socket. */
const LATENCY_SAMPLING = 16;
/** After a forced end: how long the sockets may take to report that they are gone. */
const FORCED_END_MS = 1_000;

export type HubOptions = Readonly<{
  cache: StreamCache;
  directory: MarketDirectory;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  accounts?: HubAccounts;
  limits?: Partial<ConnectionLimits>;
  /** Sends to many sockets in one call where it can; without it everything goes through the sockets' streams. */
  nativeWriter?: NativeWriter | null;
  /** The longest that messages may wait for others to the same socket while the hub is busy: 0 to 50 ms (the default). */
  flushWindowMs?: number;
  coldStreamMs?: number;
  /** Told when the hub begins or ends to gather messages because there are many. */
  onBusy?: (busy: boolean) => void;
}>;

export interface Hub {
  readonly limits: ConnectionLimits;
  readonly isDraining: boolean;
  readonly connectionCount: number;
  /** Null where there are no accounts. */
  readonly authenticator: Authenticator | null;
  connections(): Iterable<Connection>;
  /** For a socket that may not be a connection yet: what it sends counts from its first byte. */
  createGuard(): InboundGuard;
  /** Welcomes a new client. The door reports inbound messages to `receive` and the end to `connection.onClosed`. */
  open(wire: Wire, guard: InboundGuard, peer?: Peer): Connection;
  receive(connection: Connection, read: () => Inbound): void;
  /** For whoever paces handshakes to count in. */
  readonly handshakes: HandshakeCounts;
  /** A handshake was refused. */
  refused(reason: string): void;
  /** Tells every client when its turn comes (within `spreadMs`), lets requests finish, closes with 3001; past `deadlineMs` by force. */
  drain(options: { spreadMs: number; deadlineMs: number }): Promise<void>;
  /** Ends everything at once. */
  stop(): void;
}

export function createHub(options: HubOptions): Hub {
  return new LiveHub(options);
}

class LiveHub implements Hub {
  readonly limits: ConnectionLimits;
  readonly authenticator: Authenticator | null;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Log;
  readonly #metrics: HubMetrics;
  readonly #topics: Topics;
  readonly #privateStreams: PrivateStreams | null;
  readonly #egress: Egress;
  readonly #flushWindowMs: number;
  readonly #onBusy: (busy: boolean) => void;
  readonly #context: HubContext;
  readonly #intake: RequestIntake;
  readonly #hooks: ConnectionHooks = {
    onSuspect: (suspect) => this.#suspect(suspect),
    onClosed: (closed) => this.#forget(closed),
  };
  readonly #connections = new Set<Connection>();
  /** Connections by the tick at which their heartbeat is due. */
  readonly #slots: Set<Connection>[];
  readonly #suspects = new Set<Connection>();
  readonly #timer: NodeJS.Timeout;
  readonly #drainTimers = new Set<NodeJS.Timeout>();
  readonly #onEmpty = new Set<() => void>();
  #opened = 0;
  #tick = 0;
  #pacedMs: number;
  #fanOuts = 0;
  #busy = false;
  #draining = false;

  constructor(options: HubOptions) {
    this.limits = { ...CONNECTION_LIMITS, ...options.limits };
    this.#clock = options.clock;
    this.#random = options.random;
    this.#log = options.log;
    this.#metrics = createHubMetrics(options.metrics, () => this.#figures());
    this.#flushWindowMs = Math.min(options.flushWindowMs ?? FLUSH_WINDOW_LIMIT_MS, FLUSH_WINDOW_LIMIT_MS);
    this.#onBusy = options.onBusy ?? (() => undefined);
    this.#pacedMs = this.#clock.monotonic();
    this.#egress = new Egress({
      native: options.nativeWriter ?? null,
      clockMs: () => this.#clock.monotonic(),
      writes: this.#metrics.writes,
      onNativeFault: (error) => this.#log.error({ event: 'native_writer_fault', err: error }),
    });
    this.#topics = new Topics({
      cache: options.cache,
      clockMs: () => this.#clock.monotonic(),
      onFanOut: (prepared) => this.#sampleLatency(prepared),
    });
    const { accounts = null } = options;
    const { log, clock } = options;
    const { limits } = this;
    this.authenticator = accounts && new Authenticator({ accounts, clock, log, limits });
    this.#privateStreams = accounts && new PrivateStreams({ ...accounts, clock, log, metrics: options.metrics });
    this.#context = {
      limits: this.limits,
      clock: this.#clock,
      log: this.#log,
      metrics: this.#metrics,
      topics: this.#topics,
      deliveries: { plain: this.#deliverySetup('plain'), socketio: this.#deliverySetup('socketio') },
      gate: createStreamGate(options.directory),
      accounts,
      authenticator: this.authenticator,
      privateStreams: this.#privateStreams,
      coldStreamMs: options.coldStreamMs ?? COLD_STREAM_MS,
      isDraining: () => this.#draining,
    };
    this.#intake = new RequestIntake(this.#context, createMethods(this.#context));
    const tickMs = Math.min(TICK_MS, this.limits.heartbeatMs);
    this.#slots = Array.from({ length: Math.max(1, Math.round(this.limits.heartbeatMs / tickMs)) }, () => new Set());
    this.#timer = setInterval(() => this.#onTick(), tickMs);
  }

  get handshakes(): HandshakeCounts {
    return this.#metrics.handshakes;
  }

  get isDraining(): boolean {
    return this.#draining;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  connections(): Iterable<Connection> {
    return this.#connections;
  }

  createGuard(): InboundGuard {
    return new InboundGuard(this.limits, this.#clock.monotonic());
  }

  open(wire: Wire, guard: InboundGuard, peer: Peer = UNKNOWN_PEER): Connection {
    const connection = new Connection(randomUUID(), { wire, guard, peer }, this.#context, this.#hooks);
    this.#connections.add(connection);
    this.#opened += 1;
    this.#slots[this.#opened % this.#slots.length]!.add(connection);
    this.#log.debug({ event: 'connection_opened', connectionId: connection.id, door: wire.codec.door });
    connection.event('welcome', {
      protocol: 1,
      connectionId: connection.id,
      serverTs: this.#clock.now(),
      limits: { ...this.limits },
    });
    // Came in while the others were being told: its handshake was older than the decision.
    if (this.#draining) this.#sendAway(connection, 0);
    return connection;
  }

  receive(connection: Connection, read: () => Inbound): void {
    this.#intake.receive(connection, read);
  }

  refused(reason: string): void {
    this.#metrics.refused(reason);
  }

  async drain({ spreadMs, deadlineMs }: { spreadMs: number; deadlineMs: number }): Promise<void> {
    this.#draining = true;
    this.#log.info({ event: 'gateway_draining', connections: this.#connections.size, spreadMs });
    for (const connection of this.#connections) this.#sendAway(connection, Math.round(this.#random() * spreadMs));
    if (await this.#emptyWithin(deadlineMs)) return;
    this.#log.warn({ event: 'gateway_drain_forced', connections: this.#connections.size });
    for (const connection of this.#connections) connection.terminate();
    await this.#emptyWithin(FORCED_END_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.authenticator?.stop();
    this.#privateStreams?.stop();
    for (const timer of this.#drainTimers) clearTimeout(timer);
    this.#drainTimers.clear();
    for (const connection of this.#connections) connection.close('shutdown');
    this.#egress.stop();
    this.#metrics.carryOver();
  }

  #sendAway(connection: Connection, afterMs: number): void {
    connection.event('draining', { afterMs });
    const timer = setTimeout(() => {
      this.#drainTimers.delete(timer);
      connection.closeWhenIdle('shutdown');
    }, afterMs);
    this.#drainTimers.add(timer);
  }

  #emptyWithin(limitMs: number): Promise<boolean> {
    if (this.#connections.size === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const done = (empty: boolean): void => {
        clearTimeout(timer);
        this.#onEmpty.delete(onEmpty);
        resolve(empty);
      };
      const onEmpty = (): void => done(true);
      const timer = setTimeout(() => done(false), limitMs);
      this.#onEmpty.add(onEmpty);
    });
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection);
    this.authenticator?.forget(connection);
    for (const slot of this.#slots) slot.delete(connection);
    if (this.#connections.size === 0) for (const tell of this.#onEmpty) tell();
  }

  #onTick(): void {
    this.#tick += 1;
    const nowMs = this.#clock.monotonic();
    this.#pace(nowMs);
    for (const connection of this.#connections) if (connection.isOpen) connection.delivery.check(nowMs);
    for (const connection of this.#slots[this.#tick % this.#slots.length]!) connection.heartbeat();
    this.authenticator?.check();
    this.#metrics.carryOver();
  }

  #deliverySetup(door: DoorName): DeliverySetup {
    const traffic = this.#metrics.traffic[door];
    return { limits: this.limits, clock: this.#clock, egress: this.#egress, traffic };
  }

  /** Chooses flush windows by what the last tick has seen. */
  #pace(nowMs: number): void {
    const elapsedMs = Math.max(1, nowMs - this.#pacedMs);
    this.#pacedMs = nowMs;
    const isBusy = this.#egress.takeAdded() / (elapsedMs / 1_000) >= BUSY_FRAMES_PER_SECOND;
    if (isBusy !== this.#busy) this.#onBusy(isBusy);
    this.#busy = isBusy;
    for (const topic of this.#topics) topic.pace(elapsedMs, this.#flushWindowMs);
    for (const { delivery } of this.#connections) delivery.pace(isBusy, elapsedMs);
  }

  /** Judged after the event loop has been round once, so that a burst within one turn is not taken for slowness. */
  #suspect(connection: Connection): void {
    const scheduled = this.#suspects.size > 0;
    this.#suspects.add(connection);
    if (scheduled) return;
    setImmediate(() => {
      const nowMs = this.#clock.monotonic();
      const suspects = [...this.#suspects];
      this.#suspects.clear();
      for (const suspect of suspects) if (suspect.isOpen) suspect.delivery.check(nowMs);
    });
  }

  #sampleLatency({ message }: PreparedMessage): void {
    this.#fanOuts += 1;
    if (this.#fanOuts % LATENCY_SAMPLING !== 0 || message.kind === 'state') return;
    this.#metrics.delivered(Math.max(0, this.#clock.now() - message.ingestTs));
  }

  #figures(): HubFigures {
    const connections: Record<DoorName, number> = { socketio: 0, plain: 0 };
    const backlog = { frames: 0, bytes: 0, ageMs: 0 };
    const nowMs = this.#clock.monotonic();
    let subscriptions = 0;
    let conflating = 0;
    for (const connection of this.#connections) {
      connections[connection.wire.codec.door] += 1;
      subscriptions += connection.streams.length;
      if (connection.delivery.conflating) conflating += 1;
      const own = connection.delivery.backlog(nowMs);
      backlog.frames += own.frames;
      backlog.bytes += own.bytes;
      backlog.ageMs = Math.max(backlog.ageMs, own.ageMs);
    }
    return { connections, subscriptions, streams: this.#topics.size, conflating, backlog };
  }
}
