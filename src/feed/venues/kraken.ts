import { crc32 } from '../../kernel/crc32.ts';
import type { CcxtExchange } from '../ccxt-surface.ts';
import type { CheckContext, Finding, Frame, FrameCheck, VenueQuirks } from './quirks.ts';
import { isRecord, textOf, updateId } from './quirks.ts';

/** The deepest that Kraken offers; a client must cut its book at the depth it has subscribed to. */
const BOOK_DEPTH = 1000;
const CHECKSUM_LEVELS = 10;

export const kraken: VenueQuirks = {
  bookLimit: BOOK_DEPTH,
  // ccxt takes the number of asks in the snapshot for the depth: wrong for a book thinner than it was asked for.
  storedDepth: BOOK_DEPTH,
  bookIds: false,
  continuity: { book: true, trades: false },
  resolvesOnlyAwaited: false,
  rates: {
    rest: { capacity: 5, refillPerSecond: 1 },
    subscribe: { capacity: 10, refillPerSecond: 10 },
    // About 150 connections per 10 minutes from one address.
    dial: { capacity: 5, refillPerSecond: 0.2 },
  },
  config: (sandbox) =>
    sandbox === undefined
      ? {}
      : {
          urls: {
            api: {
              public: sandbox.http,
              private: sandbox.http,
              ws: { publicV2: `${sandbox.ws}/v2`, privateV2: `${sandbox.ws}/v2` },
            },
          },
        },
  unsubscribe: (message, nextId) => ({ ...message, method: 'unsubscribe', req_id: nextId() }),
  legs(upstream) {
    const { symbol } = upstream;
    // By default Kraken sends a ticker only with a trade.
    if (upstream.channel === 'ticker') {
      return [{ optional: false, watch: (exchange) => exchange.watchTicker(symbol, { event_trigger: 'bbo' }) }];
    }
    if (upstream.channel !== 'candles') return undefined;
    return [{ optional: false, watch: (exchange) => watchCandles(exchange, symbol, upstream.timeframe) }];
  },
  check: (context) => new KrakenCheck(context),
};

/** ccxt's own `watchOHLCV` holds one subscription per symbol: a second timeframe would never be subscribed. */
function watchCandles(exchange: CcxtExchange, symbol: string, timeframe: string): Promise<unknown> {
  const interval = Number(exchange.timeframes?.[timeframe]);
  const url = (exchange.urls as { api: { ws: { publicV2: string } } }).api.ws.publicV2;
  const message = { method: 'subscribe', params: { channel: 'ohlc', symbol: [symbol], interval } };
  return exchange.watch(url, `ohlcv@${symbol}`, message, `ohlcv@${symbol}#${timeframe}`);
}

/** Kraken numbers nothing, but signs the top ten levels after every change. */
class KrakenCheck implements FrameCheck {
  readonly #context: CheckContext;

  constructor(context: CheckContext) {
    this.#context = context;
  }

  before(frame: Frame): Finding | undefined {
    if (frame['channel'] !== 'book') return undefined;
    const entry = bookEntry(frame);
    if (entry === undefined) return { drop: true };
    // ccxt throws on a change of a book that it does not hold; one that we have just dropped still gets a few.
    return frame['type'] === 'update' && this.#context.book(entry.symbol) === undefined ? { drop: true } : undefined;
  }

  after(frame: Frame): Finding | undefined {
    if (frame['channel'] !== 'book') return undefined;
    const entry = bookEntry(frame);
    const book = entry && this.#context.book(entry.symbol);
    if (entry === undefined || book === undefined) return undefined;
    const info = this.#context.market(entry.symbol)?.info;
    const decimals = [updateId(info?.['pair_decimals']), updateId(info?.['lot_decimals'])] as const;
    if (decimals[0] === undefined || decimals[1] === undefined) return undefined;
    if (krakenChecksum(book, decimals[0], decimals[1]) === entry.checksum) return undefined;
    return { doubt: { doubt: 'checksum mismatch', about: { channel: 'book', symbol: entry.symbol } } };
  }
}

function bookEntry(frame: Frame): { symbol: string; checksum: number } | undefined {
  const list = frame['data'];
  const first: unknown = Array.isArray(list) ? list[0] : undefined;
  if (!isRecord(first) || !Array.isArray(first['bids']) || !Array.isArray(first['asks'])) return undefined;
  const symbol = textOf(first['symbol']);
  const checksum = updateId(first['checksum']);
  return symbol === undefined || checksum === undefined ? undefined : { symbol, checksum };
}

/** CRC-32 over price and size of the ten best asks, then bids, each as digits without point and leading zeros. */
export function krakenChecksum(
  book: Readonly<{ bids: ArrayLike<ArrayLike<unknown>>; asks: ArrayLike<ArrayLike<unknown>> }>,
  priceDecimals: number,
  sizeDecimals: number,
): number {
  const digits = (value: unknown, decimals: number): string =>
    Number(value).toFixed(decimals).replace('.', '').replace(/^0+/, '');
  const half = (side: ArrayLike<ArrayLike<unknown>>): string => {
    let text = '';
    for (let rank = 0; rank < Math.min(CHECKSUM_LEVELS, side.length); rank++) {
      text += digits(side[rank]![0], priceDecimals) + digits(side[rank]![1], sizeDecimals);
    }
    return text;
  };
  return crc32(half(book.asks) + half(book.bids));
}
