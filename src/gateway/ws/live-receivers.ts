import type { Codec } from './codec.ts';
import { endOfWindow } from './flush-window.ts';
import type { Outbox } from './outbox.ts';
import type { LiveMessage, Subscription } from './topic.ts';

/**
 * The live subscriptions of one topic that share a batch window. What the common case needs of them stands in columns: a fan-out
 * touches one object per receiver, its outbox, and not the subscription or the connection.
 */
export class LiveReceivers {
  /** Null: each message by itself. */
  readonly batchMs: number | null;
  readonly #outboxes: Outbox[] = [];
  readonly #subscriptions: Subscription[] = [];

  constructor(batchMs: number | null) {
    this.batchMs = batchMs;
  }

  get size(): number {
    return this.#outboxes.length;
  }

  add(subscription: Subscription): void {
    subscription.row = this.#outboxes.length;
    this.#outboxes.push(subscription.recipient.outbox);
    this.#subscriptions.push(subscription);
  }

  /** The last one takes its place. */
  remove(subscription: Subscription): void {
    const outbox = this.#outboxes.pop()!;
    const last = this.#subscriptions.pop()!;
    if (last !== subscription) {
      this.#outboxes[subscription.row] = outbox;
      this.#subscriptions[subscription.row] = last;
      last.row = subscription.row;
    }
    subscription.row = -1;
  }

  deliver(message: LiveMessage, nowMs: number): void {
    const batched = this.batchMs !== null;
    const dueMs = this.batchMs === null ? message.dueMs : endOfWindow(nowMs, this.batchMs);
    let codec: Codec | null = null;
    let outbound = null;
    // From the end: a receiver may leave, or come back, while it is its turn, and then only places behind it change.
    for (let row = this.#outboxes.length - 1; row >= 0; row--) {
      const outbox = this.#outboxes[row]!;
      const subscription = this.#subscriptions[row]!;
      if (outbox.codec !== codec || outbound === null) {
        codec = outbox.codec;
        outbound = message.by(codec);
      }
      if (!outbox.takeLive(outbound, subscription, batched, nowMs, dueMs)) {
        subscription.recipient.live(subscription, message, nowMs);
      }
    }
  }
}
