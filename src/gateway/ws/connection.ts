import type { Principal } from '../../modules/identity/index.ts';
import { CLOSE_CODES, mayReconnect } from '../../protocol/close-codes.ts';
import type { CloseName } from '../../protocol/close-codes.ts';
import type { SystemEvents } from '../../protocol/messages.ts';
import { Delivery } from './delivery.ts';
import type { DeliveryOwner } from './delivery.ts';
import type { HubContext } from './hub-context.ts';
import type { InboundGuard } from './inbound-guard.ts';
import type { Backlog } from './outbox.ts';
import type { UserStreams } from './private-streams.ts';
import type { SlowReason } from './slow-consumer.ts';
import type { Subscription, Topic } from './topic.ts';
import type { Peer, ReplyAddress, ReplyBody, Wire } from './wire.ts';

/** How long a peer may take to answer a close before its socket is destroyed. */
const CLOSE_GRACE_MS = 1_000;

export type ConnectionSocket = Readonly<{ wire: Wire; guard: InboundGuard; peer: Peer }>;
export type ConnectionHooks = Readonly<{
  onSuspect: (connection: Connection) => void;
  onClosed: (connection: Connection) => void;
}>;

/** One client's socket, whichever door it came through. */
export class Connection implements DeliveryOwner {
  readonly id: string;
  readonly wire: Wire;
  readonly guard: InboundGuard;
  readonly delivery: Delivery;
  readonly subscriptions = new Map<string, Subscription>();
  readonly peer: Peer;
  /** Whose connection it is, once that is proved; the authenticator's to set. */
  principal: Principal | null = null;
  /** The last of the requests that run one after the other; null when none is running. */
  turn: Promise<void> | null = null;
  readonly #context: HubContext;
  readonly #hooks: ConnectionHooks;
  #phase: 'open' | 'closing' | 'closed' = 'open';
  #closeCode: number | undefined;
  #graceTimer: NodeJS.Timeout | undefined;
  #inFlight = 0;
  #closeWhenIdle: CloseName | undefined;
  #userStreams: UserStreams | null = null;

  constructor(id: string, socket: ConnectionSocket, context: HubContext, hooks: ConnectionHooks) {
    const { wire, guard, peer } = socket;
    this.id = id;
    this.wire = wire;
    this.guard = guard;
    this.peer = peer;
    this.#context = context;
    this.#hooks = hooks;
    this.delivery = new Delivery(wire, this, context.deliveries[wire.codec.door]);
  }

  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  /** The private streams of whoever has proved to own this connection; null for a stranger. */
  get userStreams(): UserStreams | null {
    const { principal } = this;
    const { privateStreams } = this.#context;
    if (principal === null || privateStreams === null) return null;
    this.#userStreams ??= privateStreams.open(principal.userId, {
      pushPrivate: (prepared) => this.isOpen && this.delivery.pushPrivate(prepared),
      fail: (error) => {
        this.#context.log.error({ event: 'private_stream_lost', connectionId: this.id, err: error });
        this.close('internal');
      },
    });
    return this.#userStreams;
  }

  /** How many streams the connection has, of all kinds. */
  get streams(): readonly string[] {
    return [...this.subscriptions.keys(), ...(this.#userStreams?.names ?? [])];
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  event<K extends keyof SystemEvents>(name: K, data: SystemEvents[K]): void {
    if (this.isOpen) this.delivery.control(this.wire.codec.event(name, data));
  }

  reply(address: ReplyAddress, body: ReplyBody): void {
    const frame = this.isOpen ? this.wire.codec.reply(address, body) : null;
    if (frame !== null) this.delivery.control(frame);
  }

  /** Every request is begun and ended once; a close that waits for the end is then carried out. */
  beginRequest(): void {
    this.#inFlight += 1;
  }

  endRequest(): void {
    this.#inFlight -= 1;
    if (this.#inFlight === 0 && this.#closeWhenIdle !== undefined) this.close(this.#closeWhenIdle);
  }

  /** Starts a subscription at the stream's present position; what it is owed is paid by `delivery.catchUp`. */
  join(topic: Topic): Subscription {
    const { view } = topic;
    const subscription: Subscription = {
      topic,
      recipient: this.delivery,
      phase: 'base',
      cause: 'fresh',
      at: view.position!,
      told: view.state,
      pushedMs: -Infinity,
      notBeforeMs: 0,
      batchMs: null,
      row: -1,
    };
    topic.subscriptions.add(subscription);
    this.subscriptions.set(topic.spec.name, subscription);
    this.delivery.owe(subscription);
    return subscription;
  }

  leave(stream: string): boolean {
    const subscription = this.subscriptions.get(stream);
    if (subscription === undefined) return this.#userStreams?.leave(stream) ?? false;
    this.subscriptions.delete(stream);
    this.delivery.forget(subscription);
    this.#context.topics.leave(subscription);
    return true;
  }

  heartbeat(): void {
    if (!this.isOpen) return;
    if (this.wire.keepAlive() === 'dead') return this.close('no_pong');
    const streams = {
      ...this.delivery.quietStreams(this.subscriptions.values()),
      ...this.#userStreams?.takeQuiet(),
    };
    this.event('heartbeat', { serverTs: this.#context.clock.now(), streams });
  }

  /** Closes as soon as no request is in flight. */
  closeWhenIdle(name: CloseName): void {
    if (this.#inFlight === 0) this.close(name);
    else this.#closeWhenIdle = name;
  }

  /** Tells the client why, closes in order, and destroys the socket when the peer does not answer in time. */
  close(name: CloseName): void {
    if (!this.isOpen) return;
    this.#phase = 'closing';
    const { code, reason } = CLOSE_CODES[name];
    this.#closeCode = code;
    this.#leaveAll();
    const goodbye = this.wire.codec.event('closing', { code, reason, reconnect: mayReconnect(code) });
    this.delivery.finish(goodbye, name !== 'slow_consumer');
    this.#graceTimer = setTimeout(() => this.wire.terminate(), CLOSE_GRACE_MS);
    this.wire.close(code, reason);
  }

  terminate(): void {
    this.wire.terminate();
  }

  /** The door reports that the socket is gone; `code` is what the peer or the transport said. */
  onClosed(code: number): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    clearTimeout(this.#graceTimer);
    this.#leaveAll();
    this.delivery.dispose();
    const said = this.#closeCode ?? code;
    this.#context.metrics.closed(this.wire.codec.door, said);
    this.#context.log.debug({
      event: 'connection_closed',
      connectionId: this.id,
      door: this.wire.codec.door,
      code: said,
    });
    this.#hooks.onClosed(this);
  }

  #leaveAll(): void {
    for (const stream of this.subscriptions.keys()) this.leave(stream);
    this.#userStreams?.leaveAll();
  }

  onSuspect(): void {
    this.#hooks.onSuspect(this);
  }

  onRoom(): void {
    this.#userStreams?.pump();
  }

  onHopeless(): void {
    this.close('slow_consumer');
  }

  onSlow(backlog: Backlog, action: 'conflating' | 'recovered', reason: SlowReason | null): void {
    if (reason !== null) this.#context.metrics.conflation(reason);
    this.event('slow', {
      queuedFrames: backlog.frames,
      queuedBytes: backlog.bytes,
      ageMs: Math.round(backlog.ageMs),
      action,
    });
  }
}
