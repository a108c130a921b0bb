import type { CheckContext, Finding, Frame, FrameCheck, VenueQuirks } from './quirks.ts';
import { isRecord, textOf, updateId } from './quirks.ts';

export const okx: VenueQuirks = {
  window: true,
  bookIds: true,
  continuity: { book: true, trades: false },
  resolvesOnlyAwaited: false,
  plainFrames: ['pong'],
  // 3 connections a second per address; 480 subscriptions an hour and connection.
  rates: {
    rest: { capacity: 10, refillPerSecond: 5 },
    subscribe: { capacity: 30, refillPerSecond: 1 },
    dial: { capacity: 3, refillPerSecond: 1 },
  },
  config(sandbox) {
    const options = { fetchMarkets: { types: ['spot'] } };
    return sandbox === undefined
      ? { options }
      : { options, urls: { api: { rest: sandbox.http, ws: `${sandbox.ws}/ws/v5` } } };
  },
  unsubscribe: (message) => ({ ...message, op: 'unsubscribe' }),
  check: (context) => new OkxCheck(context),
};

/** Book messages name the one before them. Recordings from before 2023 have no ids and are passed as they are. */
class OkxCheck implements FrameCheck {
  readonly #context: CheckContext;

  constructor(context: CheckContext) {
    this.#context = context;
  }

  before(frame: Frame): Finding | undefined {
    const arg = frame['arg'];
    if (!isRecord(arg) || frame['action'] !== 'update' || arg['channel'] !== 'books') return undefined;
    const marketId = textOf(arg['instId']);
    const list = frame['data'];
    const first: unknown = Array.isArray(list) ? list[0] : undefined;
    if (marketId === undefined || !isRecord(first)) return { drop: true };
    const symbol = this.#context.symbolOf(marketId);
    const book = this.#context.book(symbol);
    const previous = updateId(first['prevSeqId']);
    if (book === undefined || previous === undefined || previous === -1 || book.nonce === undefined) return undefined;
    if (previous === book.nonce) return undefined;
    // A repeated message: its own id is the one we stand at.
    if (updateId(first['seqId']) === book.nonce) return { drop: true };
    return { drop: true, doubt: { doubt: 'sequence gap', about: { channel: 'book', symbol } } };
  }
}
