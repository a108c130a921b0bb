import { seedFrom } from '../../kernel/random.ts';
import type { SignalTopic, Signals } from '../../platform/signals.ts';
import { USER_PARTITIONS } from '../../platform/signals.ts';

/** The topic on which a user's news are hinted at; the same in every process and every release that shares a Redis. */
export function userTopic(userId: string): SignalTopic {
  return `user-events/${seedFrom(userId) % USER_PARTITIONS}`;
}

/** `seq`: how far the user's log goes, as far as the sender knows. */
export type LogHint = Readonly<{ userId: string; seq: number }>;

/**
 * What modules get as `tell`: call it after commit with the events, or with the user and the last number alone. A hint makes
 * followers in every process look at once instead of at the next sweep; it may get lost.
 */
export function tellUserEvents(signals: Signals): (events: readonly LogHint[]) => void {
  return (events) => {
    const last = new Map<string, number>();
    for (const { userId, seq } of events) last.set(userId, Math.max(seq, last.get(userId) ?? 0));
    for (const [userId, seq] of last) signals.publish(userTopic(userId), `${userId} ${seq}`);
  };
}

/** Null for text that is no hint: other releases may say more. */
export function readHint(text: string): LogHint | null {
  const match = /^([0-9a-f-]{36}) ([0-9]{1,15})$/.exec(text);
  return match === null ? null : { userId: match[1]!, seq: Number(match[2]) };
}
