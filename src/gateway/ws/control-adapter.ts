import { createShardedAdapter } from '@socket.io/redis-adapter';
import type { Log } from '../../platform/log.ts';

/** Two connections to Redis 7 or newer, made elsewhere; their shapes are ioredis's. */
export type ControlClients = Readonly<{
  publisher: {
    spublish(channel: string, payload: string | Buffer): Promise<unknown>;
  };
  subscriber: {
    on(event: 'smessageBuffer', listener: (channel: Buffer, message: Buffer) => void): unknown;
    ssubscribe(channel: string): Promise<unknown>;
    sunsubscribe(channel: string): Promise<unknown>;
  };
}>;

/** Not Socket.IO's default: no other application on the same Redis may speak to our sockets by accident. */
const CHANNEL_PREFIX = 'tidewire:control';

type RawReceiver = { onRawMessage(message: Buffer, channel: Buffer): void };

/**
 * Socket.IO's adapter over Redis, for control only: disconnect a session everywhere, announcements. Market data never travels
 * through it. A message of a wrong shape would throw inside the adapter and end the process, and so would a refused
 * subscription, which the adapter leaves unawaited: both are caught and logged here.
 */
export function createControlAdapter({ publisher, subscriber }: ControlClients, log: Log): new (nsp: unknown) => never {
  const guard = (what: string) => (error: unknown) => log.error({ event: 'control_channel_failed', what, err: error });
  const publishing = {
    spublish: (channel: string, payload: string | Buffer) => publisher.spublish(channel, payload),
  };
  const subscribing = {
    on: (event: 'smessageBuffer', listener: (channel: Buffer, message: Buffer) => void) =>
      subscriber.on(event, listener),
    ssubscribe: (channel: string) => subscriber.ssubscribe(channel).catch(guard('subscribe')),
    sunsubscribe: (channel: string) => subscriber.sunsubscribe(channel).catch(guard('unsubscribe')),
  };
  const create = createShardedAdapter(publishing, subscribing, {
    channelPrefix: CHANNEL_PREFIX,
    // One channel for all: with a channel per room, every socket's own room would be a subscription.
    subscriptionMode: 'static',
  });
  // The library calls it with `new`, which an arrow function does not take.
  return function ControlAdapter(nsp: unknown) {
    const adapter = create(nsp) as unknown as RawReceiver;
    const receive = adapter.onRawMessage.bind(adapter);
    adapter.onRawMessage = (message, channel) => {
      try {
        receive(message, channel);
      } catch (error) {
        guard('message')(error);
      }
    };
    return adapter;
  } as unknown as new (nsp: unknown) => never;
}
