/**
 * Hints between processes: something happened, look now. At most once, in order per sender and topic, never a promise: whoever
 * needs certainty also looks by itself from time to time. In memory, or over Redis when there is one.
 */
export interface Signals {
  /** Never waits and never throws. `text` is small: it tells what to look for, not everything about it. */
  publish(topic: SignalTopic, text: string): void;
  /** Called for this process's own signals too, synchronously for those. Answers how to stop. */
  subscribe(topic: SignalTopic, listener: (text: string) => void): () => void;
  /** `degraded`: other processes may not hear us, or we them. */
  readonly health: 'ok' | 'degraded';
  stop(): Promise<void>;
}

/** `user-events/<n>`: a user's log has grown, by partition of users. `orders`: commands for engines. `revoked`: sessions and keys. */
export type SignalTopic = `user-events/${number}` | 'orders' | 'revoked';
/** Users are spread over this many topics, so that a gateway hears only of a share of them. */
export const USER_PARTITIONS = 64;
export const SIGNAL_TEXT_LIMIT_BYTES = 65_536;
