import type { CcxtBook } from '../ccxt-surface.ts';
import type { CheckContext, Finding, Frame, FrameCheck, VenueQuirks } from './quirks.ts';
import { isRecord, textOf, updateId } from './quirks.ts';

/** What the public endpoint gives; a full book needs an API key. */
const SNAPSHOT_LEVELS = 100;
/** Changes that ccxt waits for before it asks for the snapshot; its default of 5 keeps a quiet market waiting. */
const SNAPSHOT_DELAY_CHANGES = 2;

export const kucoin: VenueQuirks = {
  snapshot: { levels: SNAPSHOT_LEVELS, refreshBelow: SNAPSHOT_LEVELS },
  bookIds: true,
  ignoresZeroPrice: true,
  continuity: { book: true, trades: false },
  resolvesOnlyAwaited: false,
  // 100 client messages per 10 s and connection, 30 connections a minute; a snapshot weighs 2 or 3 of 2,000 per 30 s.
  rates: {
    rest: { capacity: 20, refillPerSecond: 10 },
    subscribe: { capacity: 10, refillPerSecond: 8 },
    dial: { capacity: 5, refillPerSecond: 0.5 },
  },
  config(sandbox) {
    const options = {
      fetchMarkets: { types: ['spot'], fetchTickersFees: false },
      watchOrderBook: { snapshotDelay: SNAPSHOT_DELAY_CHANGES, snapshotMaxRetries: 3 },
    };
    if (sandbox === undefined) return { options };
    const { http } = sandbox;
    const api = { public: http, private: http, futuresPublic: http, futuresPrivate: http, webExchange: http };
    return { options, urls: { api } };
  },
  // The address carries a token of limited life, which ccxt would go on using after it has run out.
  forgetAddress(exchange) {
    exchange.options['urls'] = {};
  },
  unsubscribe: (message, nextId) => ({ ...message, type: 'unsubscribe', id: String(nextId()) }),
  legs({ channel, symbol }) {
    if (channel !== 'ticker') return undefined;
    // Ten times a second the last price and the best bid and ask; every two seconds the 24 h statistics.
    return [
      { optional: false, watch: (exchange) => exchange.watchTicker(symbol, { spotMethod: '/market/ticker' }) },
      { optional: true, watch: (exchange) => exchange.watchTicker(symbol, { spotMethod: '/market/snapshot' }) },
    ];
  },
  check: (context) => new KucoinCheck(context),
};

/** Level-2 changes chain by sequenceStart = previous sequenceEnd + 1; ccxt applies whatever comes. */
class KucoinCheck implements FrameCheck {
  readonly #context: CheckContext;
  readonly #lastEnd = new WeakMap<CcxtBook, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  before(frame: Frame): Finding | undefined {
    if (frame['subject'] !== 'trade.l2update') return undefined;
    const data = frame['data'];
    const marketId = isRecord(data) ? textOf(data['symbol']) : undefined;
    const topicId = textOf(frame['topic'])?.split(':')[1];
    if (!isRecord(data) || marketId === undefined || topicId !== marketId) return { drop: true };
    const start = updateId(data['sequenceStart']);
    const end = updateId(data['sequenceEnd']);
    if (start === undefined || end === undefined || !isRecord(data['changes'])) return { drop: true };
    const symbol = this.#context.symbolOf(marketId);
    const book = this.#context.book(symbol);
    // ccxt would begin a book before the subscription stands, and then keep two.
    if (book === undefined) return { drop: true };
    const previous = this.#lastEnd.get(book);
    if (previous !== undefined && end <= previous) return { drop: true };
    this.#lastEnd.set(book, end);
    const known = Math.max(previous ?? start - 1, book.nonce ?? -1);
    if (start <= known + 1) return undefined;
    return { drop: true, doubt: { doubt: 'sequence gap', about: { channel: 'book', symbol } } };
  }

  complete(_symbol: string, book: CcxtBook): boolean {
    const last = this.#lastEnd.get(book);
    return book.nonce !== undefined && (last === undefined || book.nonce >= last);
  }
}
