import type { CcxtBook } from '../ccxt-surface.ts';
import type { CheckContext, Finding, Frame, FrameCheck, VenueQuirks } from './quirks.ts';
import { isRecord, textOf, updateId } from './quirks.ts';

/** With fewer levels from REST, levels that move into range later are missing for ever. */
const SNAPSHOT_LEVELS = 5000;
const FUTURES_SNAPSHOT_LEVELS = 1000;
/** ccxt would open one socket per stream; these few carry up to 1,024 streams each. */
const SOCKETS = 4;
const STREAMS_PER_SOCKET = 1_000;
/** A trade id this far back or less is a late trade, further back another numbering. */
const REORDER_WINDOW = 1_000;

export const binance: VenueQuirks = {
  snapshot: { levels: SNAPSHOT_LEVELS, refreshBelow: 1_000 },
  bookIds: true,
  continuity: { book: true, trades: true },
  resolvesOnlyAwaited: false,
  // 5 messages a second per connection, 300 connections per 5 minutes; a full-depth snapshot weighs 250 of 6,000 a minute.
  rates: {
    rest: { capacity: 8, refillPerSecond: 2 },
    subscribe: { capacity: 4, refillPerSecond: 4 },
    dial: { capacity: 8, refillPerSecond: 0.9 },
  },
  config(sandbox) {
    const options = {
      fetchMarkets: { types: ['spot'] },
      fetchMargins: false,
      fetchCurrencies: false,
      watchOrderBookLimit: SNAPSHOT_LEVELS,
      streamLimits: { spot: SOCKETS },
      subscriptionLimitByStream: { spot: STREAMS_PER_SOCKET },
    };
    return sandbox === undefined ? { options } : { options, urls: { api: sandboxApi(sandbox) } };
  },
  unsubscribe: (message, nextId) => ({ ...message, method: 'UNSUBSCRIBE', id: nextId() }),
  legs({ channel, symbol }) {
    if (channel !== 'ticker') return undefined;
    // The mini ticker has no bid and ask; the bid/ask stream is the faster one and has nothing else.
    return [
      { optional: false, watch: (exchange) => exchange.watchTicker(symbol) },
      { optional: true, watch: (exchange) => exchange.watchBidsAsks([symbol]) },
    ];
  },
  check: (context) => new BinanceCheck(context),
};

/** USD-margined futures: ids have holes, so each change names the one before (`pu`), and trade ids prove nothing. */
export const binanceusdm: VenueQuirks = {
  ...binance,
  snapshot: { levels: FUTURES_SNAPSHOT_LEVELS, refreshBelow: 200 },
  continuity: { book: true, trades: false },
  config(sandbox) {
    const options = {
      fetchMarkets: { types: ['linear'] },
      fetchMargins: false,
      fetchCurrencies: false,
      watchOrderBookLimit: FUTURES_SNAPSHOT_LEVELS,
      streamLimits: { future: SOCKETS },
      subscriptionLimitByStream: { future: STREAMS_PER_SOCKET },
    };
    return sandbox === undefined ? { options } : { options, urls: { api: sandboxApi(sandbox) } };
  },
  check: (context) => new BinanceCheck(context, { chainsTrades: false }),
};

function sandboxApi({ http, ws }: { http: string; ws: string }): Record<string, unknown> {
  return {
    public: `${http}/api/v3`,
    private: `${http}/api/v3`,
    sapi: `${http}/sapi/v1`,
    fapiPublic: `${http}/fapi/v1`,
    dapiPublic: `${http}/dapi/v1`,
    // ccxt tells spot from futures by `/stream` in the address.
    ws: {
      spot: `${ws}/stream/ws`,
      margin: `${ws}/stream/ws`,
      future: `${ws}/fut/ws`,
      delivery: `${ws}/del/ws`,
      'ws-api': { spot: `${ws}/ws-api/v3`, future: `${ws}/ws-fapi/v1`, delivery: `${ws}/ws-dapi/v1` },
    },
  };
}

/** Diffs chain by U = previous u + 1, trades by their id. */
class BinanceCheck implements FrameCheck {
  readonly #context: CheckContext;
  readonly #chainsTrades: boolean;
  /** Keyed by ccxt's book object, which it replaces with every subscription: a chain never spans two. */
  readonly #lastDiff = new WeakMap<CcxtBook, number>();
  readonly #lastTrade = new Map<string, number>();

  constructor(context: CheckContext, rules: { chainsTrades: boolean } = { chainsTrades: true }) {
    this.#context = context;
    this.#chainsTrades = rules.chainsTrades;
  }

  before(frame: Frame): Finding | undefined {
    const data = isRecord(frame['data']) ? frame['data'] : frame;
    switch (data['e']) {
      case 'depthUpdate':
        return this.#diff(data);
      case 'trade':
        return this.#chainsTrades ? this.#trade(data) : undefined;
      default:
        return undefined;
    }
  }

  /** A REST snapshot older than the stream gives a book that ccxt hands out and only then finds to be behind. */
  complete(_symbol: string, book: CcxtBook): boolean {
    const last = this.#lastDiff.get(book);
    return book.nonce !== undefined && (last === undefined || book.nonce >= last);
  }

  #diff(data: Frame): Finding | undefined {
    const before = updateId(data['pu']);
    const first = before === undefined ? updateId(data['U']) : before + 1;
    const lastId = updateId(data['u']);
    const marketId = textOf(data['s']);
    const lists = Array.isArray(data['b']) && Array.isArray(data['a']);
    if (first === undefined || lastId === undefined || marketId === undefined || !lists) return UNREADABLE;
    const symbol = this.#context.symbolOf(marketId);
    const book = this.#context.book(symbol);
    // Before ccxt has heard that the subscription stands it ignores changes, and so must the chain.
    if (book === undefined) return undefined;
    const previous = this.#lastDiff.get(book);
    if (previous !== undefined && lastId <= previous) return { drop: true };
    this.#lastDiff.set(book, lastId);
    if (previous === undefined || first <= previous + 1) return undefined;
    return { drop: true, doubt: { doubt: 'sequence gap', about: { channel: 'book', symbol } } };
  }

  #trade(data: Frame): Finding | undefined {
    const id = updateId(data['t']);
    const marketId = textOf(data['s']);
    if (id === undefined || marketId === undefined) return UNREADABLE;
    const symbol = this.#context.symbolOf(marketId);
    const previous = this.#lastTrade.get(symbol);
    // One that comes late or twice is no gap; ids that start over are.
    if (previous !== undefined && id <= previous && previous - id < REORDER_WINDOW) return undefined;
    this.#lastTrade.set(symbol, id);
    if (previous === undefined || id === previous + 1) return undefined;
    return { doubt: { doubt: 'trade id gap', about: { channel: 'trades', symbol } } };
  }
}

const UNREADABLE: Finding = { drop: true };
