import type { Finding, Frame, FrameCheck, VenueQuirks } from './quirks.ts';
import { updateId } from './quirks.ts';

export const coinbase: VenueQuirks = {
  bookIds: false,
  continuity: { book: true, trades: true },
  resolvesOnlyAwaited: false,
  candles: 'trades',
  // 8 connections and 8 unauthenticated messages a second per address; a new connection must subscribe within 5 s.
  rates: {
    rest: { capacity: 8, refillPerSecond: 5 },
    subscribe: { capacity: 6, refillPerSecond: 6 },
    dial: { capacity: 4, refillPerSecond: 1 },
  },
  config: (sandbox) => (sandbox === undefined ? {} : { urls: { api: { rest: sandbox.http, ws: sandbox.ws } } }),
  unsubscribe: (message) => ({ ...message, type: 'unsubscribe' }),
  check: () => new CoinbaseCheck(),
};

/** Every message of a connection carries the next number; which stream a lost one belonged to cannot be known. */
class CoinbaseCheck implements FrameCheck {
  readonly #last = new WeakMap<object, number>();

  before(frame: Frame, connection: object): Finding | undefined {
    if (frame['type'] === 'error') return undefined;
    const sequence = updateId(frame['sequence_num']);
    if (sequence === undefined || !Array.isArray(frame['events'])) return { drop: true };
    const previous = this.#last.get(connection);
    if (previous !== undefined && sequence <= previous) return { drop: true };
    this.#last.set(connection, sequence);
    if (previous === undefined || sequence === previous + 1) return undefined;
    return { drop: true, doubt: { doubt: 'sequence gap', about: 'connection' } };
  }
}
