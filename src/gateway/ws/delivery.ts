import type { StreamView } from '../../modules/market/index.ts';
import type { PreparedMessage } from '../../protocol/envelope.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { ConnectionLimits } from '../../protocol/limits.ts';
import type { StreamPosition, StreamState } from '../../protocol/messages.ts';
import { conflatedJson, gapJson, isBehind, samePosition, sameState, stateJson } from './catch-up.ts';
import { AT_ONCE } from './egress.ts';
import type { Egress, Outbound } from './egress.ts';
import { GATHER_FROM_FRAMES, endOfWindow } from './flush-window.ts';
import type { Frame } from './frame.ts';
import type { Traffic } from './hub-metrics.ts';
import type { Backlog, OutboxOwner } from './outbox.ts';
import { Outbox } from './outbox.ts';
import { CALM_AGE_MS, CALM_MS, CONFLATED_INTERVAL_MS, closeReason, conflationReason } from './slow-consumer.ts';
import type { SlowReason } from './slow-consumer.ts';
import { outboundOf } from './topic.ts';
import type { LiveMessage, Recipient, Standing, Subscription } from './topic.ts';
import type { Wire } from './wire.ts';

/** Private streams add nothing to a backlog beyond this: they read on from their log when it is shorter. */
const PRIVATE_BACKLOG = { frames: 128, bytes: 131_072 } as const;

export type DeliverySetup = Readonly<{
  limits: ConnectionLimits;
  clock: Clock;
  traffic: Traffic;
  egress: Egress;
}>;

/** The connection whose half this is. */
export interface DeliveryOwner {
  /** The backlog passed a limit just now; the next `check` should come soon, but after the socket had its turn. */
  onSuspect(): void;
  onSlow(backlog: Backlog, action: 'conflating' | 'recovered', reason: SlowReason | null): void;
  /** There may be room again: private streams go on, before what is owed of others. */
  onRoom(): void;
  /** The connection is beyond help. */
  onHopeless(): void;
}

/**
 * The sending half of a connection. Live messages go straight through; whatever a subscription is owed besides (a snapshot, a
 * replay, what it missed while conflated) is made only when there is room, from the stream as it stands then, and in the same
 * synchronous step the subscription goes live: nothing is sent twice and nothing is left out. So catching up never queues.
 */
export class Delivery implements Recipient, OutboxOwner {
  readonly #wire: Wire;
  readonly #owner: DeliveryOwner;
  readonly #setup: DeliverySetup;
  readonly outbox: Outbox;
  /** Subscriptions that are owed something, in the order in which they came to be. */
  readonly #owed = new Set<Subscription>();
  #calmSinceMs: number | null = null;
  /** When the last heartbeat was made. */
  #beatMs = -Infinity;

  constructor(wire: Wire, owner: DeliveryOwner, setup: DeliverySetup) {
    this.#wire = wire;
    this.#owner = owner;
    this.#setup = setup;
    this.outbox = new Outbox(wire, setup.egress, setup.traffic, this, setup.limits.closeQueuedFrames);
  }

  get conflating(): boolean {
    return this.outbox.conflating;
  }

  backlog(nowMs: number): Backlog {
    return this.outbox.backlog(nowMs);
  }

  /** A reply or a system event: never conflated, kept in order with everything else. */
  control(frame: Frame): void {
    const outbound = { frame, before: null, tellsState: false, windowMs: 0 };
    if (!this.outbox.send(outbound, null, this.#setup.clock.monotonic(), AT_ONCE)) this.#owner.onHopeless();
    else this.#suspectIfBehind();
  }

  onHeldUp(): void {
    const { limits } = this.#setup;
    const { frames, bytes } = this.outbox;
    if (frames > limits.slowQueuedFrames || bytes > limits.slowQueuedBytes) this.#owner.onSuspect();
  }

  onDrain(): void {
    this.catchUp(this.#setup.clock.monotonic());
  }

  /** A push of a private stream: kept in order and never thrown away. False when it has to wait for `onRoom`. */
  pushPrivate(prepared: PreparedMessage): boolean {
    const { frames, bytes } = this.outbox;
    if (frames >= PRIVATE_BACKLOG.frames || bytes >= PRIVATE_BACKLOG.bytes) {
      this.outbox.awaitRoom();
      return false;
    }
    this.control(this.#wire.codec.push(prepared));
    return true;
  }

  live(subscription: Subscription, message: LiveMessage, nowMs: number): void {
    if (this.outbox.conflating) {
      this.withheld();
      if (subscription.phase === 'live') this.#miss(subscription, message.before);
      return;
    }
    // What is owed will be made from the stream as it stands then, this message included.
    if (subscription.phase !== 'live') return;
    const { batchMs } = subscription;
    const dueMs = batchMs !== null ? endOfWindow(nowMs, batchMs) : this.outbox.gathers ? message.dueMs : AT_ONCE;
    if (!this.outbox.send(message.by(this.#wire.codec), subscription, nowMs, dueMs)) this.#owner.onHopeless();
    else this.#suspectIfBehind();
  }

  withheld(): void {
    this.#setup.traffic.conflated += 1;
  }

  /** Whether live messages wait for their streams' windows from now on; called regularly, `elapsedMs` after the last time. */
  pace(isHubBusy: boolean, elapsedMs: number): void {
    // Frames a millisecond times the mean window of their streams: the frames that one window would have.
    const framesPerWindow = this.outbox.windowsMs / elapsedMs;
    this.outbox.gathers = isHubBusy && framesPerWindow >= GATHER_FROM_FRAMES;
    this.outbox.windowsMs = 0;
  }

  reset(subscription: Subscription, before: Standing, nowMs: number): void {
    if (subscription.phase === 'ended') return;
    // A replay under way finds out by itself that there is nothing to replay from.
    if (subscription.phase === 'live') {
      this.#stopLive(subscription, before);
      subscription.cause = 'upstream';
    }
    this.owe(subscription);
    this.catchUp(nowMs);
  }

  /** The subscription's phase says what it is owed; `catchUp` pays. */
  owe(subscription: Subscription): void {
    this.#owed.add(subscription);
  }

  forget(subscription: Subscription): void {
    this.#owed.delete(subscription);
  }

  /** Pays what is owed, as far as there is room. */
  catchUp(nowMs: number): void {
    this.#owner.onRoom();
    if (this.#owed.size === 0) return;
    // A slow connection gets its next round of snapshots only after it has taken everything of the last.
    if (this.outbox.conflating && this.outbox.frames > 0) return this.outbox.awaitRoom();
    this.#pay(nowMs);
    // Positions have moved on: what was made now is not to be thrown away again.
    this.outbox.handGathered();
  }

  #pay(nowMs: number): void {
    for (const subscription of this.#owed) {
      if (!this.outbox.hasRoom) return this.outbox.awaitRoom();
      if (this.outbox.conflating && subscription.notBeforeMs > nowMs) continue;
      if (!this.#bringUp(subscription, nowMs)) continue;
      this.#owed.delete(subscription);
      if (this.outbox.conflating) subscription.notBeforeMs = nowMs + CONFLATED_INTERVAL_MS;
    }
  }

  /** Judges the backlog; called regularly, and soon after `onSuspect`. */
  check(nowMs: number): void {
    const backlog = this.outbox.backlog(nowMs);
    if (this.outbox.conflating) this.#watchForCalm(backlog, nowMs);
    else {
      const reason = conflationReason(backlog, this.#setup.limits);
      if (reason !== null) this.#conflate(backlog, reason);
    }
    // Judged by what is left: market data that waited has just been thrown away.
    const hopeless = closeReason(this.outbox.backlog(nowMs), this.#setup.limits);
    if (hopeless === null) this.catchUp(nowMs);
    else this.#owner.onHopeless();
  }

  /** Positions of the live streams that had no push in the interval that ends now. */
  quietStreams(subscriptions: Iterable<Subscription>): Record<string, StreamPosition> {
    const quiet: Record<string, StreamPosition> = {};
    for (const { phase, pushedMs, topic } of subscriptions) {
      if (phase !== 'live' || Math.max(pushedMs, topic.pushedMs) > this.#beatMs) continue;
      quiet[topic.spec.name] = { epoch: topic.at!.epoch, seq: topic.at!.seq };
    }
    this.#beatMs = this.#setup.clock.monotonic();
    return quiet;
  }

  /** Before a close: what streams have waiting is thrown away, `goodbye` goes out behind the replies. */
  finish(goodbye: Frame, keepReplies: boolean): void {
    this.#owed.clear();
    this.outbox.dropStreamFrames(() => undefined);
    if (keepReplies) this.outbox.flush();
    this.outbox.discard();
    this.#wire.write(goodbye.bytes, () => undefined);
  }

  /** The socket is gone: nothing that waits holds memory any more. */
  dispose(): void {
    this.#owed.clear();
    this.outbox.discard();
  }

  #suspectIfBehind(): void {
    const { limits } = this.#setup;
    const { frames, bytes } = this.outbox;
    if (frames <= limits.slowQueuedFrames && bytes <= limits.slowQueuedBytes) return;
    // A burst within one turn of the event loop is not slowness yet: the socket has had no chance to take it. Memory is.
    if (frames > limits.closeQueuedFrames || bytes > limits.closeQueuedBytes) this.check(this.#setup.clock.monotonic());
    else this.#owner.onSuspect();
  }

  #conflate(backlog: Backlog, reason: SlowReason): void {
    this.outbox.conflating = true;
    this.#calmSinceMs = null;
    this.#setup.traffic.dropped += this.outbox.dropStreamFrames(({ before, tellsState }, subscription) => {
      if (subscription.phase === 'live') this.#miss(subscription, { at: before!, told: null });
      else if (isBehind(before!, subscription.at)) subscription.at = before!;
      if (tellsState) subscription.told = null;
    });
    this.#owner.onSlow(backlog, 'conflating', reason);
  }

  #watchForCalm(backlog: Backlog, nowMs: number): void {
    if (backlog.ageMs > CALM_AGE_MS) this.#calmSinceMs = null;
    else this.#calmSinceMs ??= nowMs;
    if (this.#calmSinceMs === null || nowMs - this.#calmSinceMs < CALM_MS) return;
    this.outbox.conflating = false;
    this.#owner.onSlow(backlog, 'recovered', null);
  }

  #miss(subscription: Subscription, before: Standing): void {
    this.#stopLive(subscription, before);
    subscription.cause = 'slow_consumer';
    subscription.topic.conflate(subscription);
    this.owe(subscription);
  }

  /** From here on the subscription has a place and a state of its own. */
  #stopLive(subscription: Subscription, { at, told }: Standing): void {
    subscription.topic.endLive(subscription);
    subscription.phase = 'base';
    subscription.at = at;
    subscription.told = told;
  }

  /** False when it is not done: the rest follows at the next call. */
  #bringUp(subscription: Subscription, nowMs: number): boolean {
    const view = subscription.topic.view;
    const position = view.position;
    // The bus has lost the stream: its state can be told, the rest waits for the reset that comes with a new head.
    if (position === undefined) {
      this.#tellState(subscription, view, subscription.at, nowMs);
      return false;
    }
    if (subscription.phase === 'replay' && !this.#replay(subscription, view, position, nowMs)) return false;
    if (subscription.phase === 'base') {
      // Messages are missing and what they led to is not there (yet): the client stays where it is.
      if (isBehind(subscription.at, position) && view.snapshot() === null && !isToldByGap(subscription)) {
        this.#tellState(subscription, view, subscription.at, nowMs);
        return false;
      }
      this.#giveBase(subscription, view, position, nowMs);
    }
    this.#tellState(subscription, view, position, nowMs);
    subscription.topic.goLive(subscription, position);
    return true;
  }

  #replay(subscription: Subscription, view: StreamView, position: StreamPosition, nowMs: number): boolean {
    const missed = view.after(subscription.at);
    if (missed === null) {
      subscription.phase = 'base';
      subscription.cause = subscription.at.epoch === position.epoch ? 'expired' : 'upstream';
      return true;
    }
    for (const prepared of missed) {
      if (!this.outbox.hasRoom) {
        this.outbox.awaitRoom();
        return false;
      }
      this.#pushMissed(subscription, prepared, nowMs);
    }
    return true;
  }

  #giveBase(subscription: Subscription, view: StreamView, position: StreamPosition, nowMs: number): void {
    const { at, cause } = subscription;
    const trades = subscription.topic.spec.channel === 'trades';
    const behind = cause !== 'fresh' && !samePosition(at, position);
    let told = !behind;
    if (trades && behind) {
      this.#pushJson(subscription, gapJson(view, position, at, cause, this.#setup.clock.now()), nowMs);
      told = true;
    }
    // After a gap of its own making a slow trades stream simply goes on: a snapshot would repeat what it could not take.
    const resumes = trades && cause === 'slow_consumer' && at.epoch === position.epoch;
    const snapshot = resumes ? null : view.snapshot();
    if (snapshot !== null) {
      if (cause === 'slow_consumer' && behind && !trades) {
        this.#pushJson(subscription, conflatedJson(snapshot, at), nowMs);
      } else this.#sendBase(subscription, this.#wire.codec.push(snapshot), nowMs);
      told = true;
    }
    subscription.at = position;
    // Nothing else says the new position when there is no data yet.
    if (!told) this.#pushState(subscription, view, position, nowMs);
  }

  #tellState(subscription: Subscription, view: StreamView, position: StreamPosition, nowMs: number): void {
    if (subscription.told === null || !sameState(subscription.told, view.state))
      this.#pushState(subscription, view, position, nowMs);
  }

  #pushState(subscription: Subscription, view: StreamView, position: StreamPosition, nowMs: number): void {
    subscription.told = view.state;
    this.#pushJson(subscription, stateJson(view, position, this.#setup.clock.now()), nowMs);
  }

  #pushMissed(subscription: Subscription, prepared: PreparedMessage, nowMs: number): void {
    const outbound = outboundOf(prepared, subscription.at, this.#wire.codec);
    subscription.at = prepared.message;
    if (outbound.tellsState) subscription.told = prepared.message.data as StreamState;
    this.#send(outbound, subscription, nowMs);
  }

  #pushJson(subscription: Subscription, json: string, nowMs: number): void {
    this.#sendBase(subscription, this.#wire.codec.pushJson(json), nowMs);
  }

  #sendBase(subscription: Subscription, frame: Frame, nowMs: number): void {
    // Of these frames nobody knows whether they tell a state.
    this.#send({ frame, before: subscription.at, tellsState: true, windowMs: 0 }, subscription, nowMs);
  }

  #send(outbound: Outbound, subscription: Subscription, nowMs: number): void {
    subscription.pushedMs = nowMs;
    if (!this.outbox.send(outbound, subscription, nowMs, AT_ONCE)) this.#owner.onHopeless();
  }
}

/** Trades that are missing are said to be; other streams need their state. */
function isToldByGap({ topic, cause }: Subscription): boolean {
  return topic.spec.channel === 'trades' && cause !== 'fresh';
}
