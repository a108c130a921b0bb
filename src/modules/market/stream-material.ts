import type { Candle, Candles, StreamMessage, Trade } from '../../protocol/messages.ts';
import type { BookDelta, BookSnapshot } from '../../protocol/messages.ts';
import { BookState } from '../../protocol/book.ts';
import { SNAPSHOT_LIMITS } from '../../protocol/limits.ts';

/** The state that a stream's messages add up to. */
export interface StreamMaterial {
  /** Takes a snapshot, delta or update in. False: the result is provably wrong (checksum), nothing of it may be used. */
  apply(message: StreamMessage): boolean;
  /** The `data` of a snapshot of what was applied so far. */
  snapshot(): unknown;
}

/** `channel` is the first part of the stream's name. Data is trusted to fit its schema: whoever takes it off a wire checks that. */
export function createMaterial(channel: string): StreamMaterial {
  switch (channel) {
    case 'book':
      return bookMaterial();
    case 'trades':
      return tradesMaterial();
    case 'candles':
      return candlesMaterial();
    default:
      return latestMaterial();
  }
}

function bookMaterial(): StreamMaterial {
  const book = new BookState();
  return {
    apply(message) {
      const data = message.data as BookSnapshot | BookDelta;
      if (message.kind === 'snapshot') book.reset(data);
      else book.apply(data);
      return data.checksum === undefined || data.checksum === book.checksum();
    },
    snapshot(): BookSnapshot {
      return { bids: book.bids.slice(), asks: book.asks.slice(), checksum: book.checksum() };
    },
  };
}

function tradesMaterial(): StreamMaterial {
  let trades: readonly Trade[] = [];
  return {
    apply(message) {
      const data = message.data as { trades: readonly Trade[] };
      trades = (message.kind === 'snapshot' ? data.trades : [...trades, ...data.trades]).slice(-SNAPSHOT_LIMITS.trades);
      return true;
    },
    snapshot: () => ({ trades }),
  };
}

function candlesMaterial(): StreamMaterial {
  let candles: readonly Candle[] = [];
  let origin: Candles['origin'] = 'exchange';
  return {
    apply(message) {
      const data = message.data as Candles;
      origin = data.origin;
      if (message.kind === 'snapshot') {
        candles = data.candles;
        return true;
      }
      const byTs = new Map(candles.map((candle) => [candle.ts, candle]));
      for (const candle of data.candles) byTs.set(candle.ts, candle);
      candles = [...byTs.values()].sort((left, right) => left.ts - right.ts).slice(-SNAPSHOT_LIMITS.candles);
      return true;
    },
    snapshot: () => ({ candles, origin }),
  };
}

/** Every message carries the whole: tickers, venues, markets. */
function latestMaterial(): StreamMaterial {
  let latest: unknown;
  return {
    apply(message) {
      latest = message.data;
      return true;
    },
    snapshot: () => latest,
  };
}
