import { SNAPSHOT_LIMITS } from '../protocol/limits.ts';
import type { Envelope, Trade } from '../protocol/messages.ts';
import { parseStreamName } from '../protocol/streams.ts';
import { CandleWindow } from './candle-window.ts';
import { isFields } from './frame.ts';
import { NotificationsKeeper, OrdersKeeper, PortfolioKeeper } from './private-keepers.ts';
import type { KeeperVerdict, StreamKeeper } from './stream-keeper.ts';
import { VerifiedBook } from './verified-book.ts';

export function keeperOf(stream: string): StreamKeeper {
  if (stream === 'orders') return new OrdersKeeper();
  if (stream === 'portfolio') return new PortfolioKeeper();
  if (stream === 'notifications') return new NotificationsKeeper();
  if (stream === 'valuation') return new LatestValue();
  const parsed = parseStreamName(stream);
  switch (parsed.ok ? parsed.spec.channel : 'unknown') {
    case 'book':
      return new VerifiedBook();
    case 'candles':
      return new CandleWindow();
    case 'trades':
      return new RecentTrades();
    case 'ticker':
    case 'venue':
      return new LatestValue();
    case 'unknown':
      return new NothingKept();
  }
}

/** The ticker and the venue's health: each message is the whole value. */
export class LatestValue implements StreamKeeper {
  readonly needsSnapshot = false;
  readonly losesByGap = false;
  #data: unknown;

  get hasData(): boolean {
    return this.#data !== undefined;
  }

  apply(envelope: Envelope): KeeperVerdict {
    if (!isFields(envelope.data)) return 'malformed';
    this.#data = envelope.data;
    return 'applied';
  }

  clear(): void {
    this.#data = undefined;
  }

  snapshotData(): unknown {
    return this.#data;
  }
}

const RECENT_TRADES_LIMIT = SNAPSHOT_LIMITS.trades;

/** The last trades, so that a snapshot after a reconnect does not hand out trades a second time. */
export class RecentTrades implements StreamKeeper {
  readonly needsSnapshot = false;
  readonly losesByGap = true;
  #recent: readonly Trade[] = [];
  #fresh: readonly Trade[] = [];
  #told = false;

  get hasData(): boolean {
    return this.#told;
  }

  /** Trades of the last message that were not handed out before, oldest first. */
  get fresh(): readonly Trade[] {
    return this.#fresh;
  }

  apply(envelope: Envelope): KeeperVerdict {
    const { data } = envelope;
    if (!isFields(data) || !Array.isArray(data.trades)) return 'malformed';
    const trades = data.trades as Trade[];
    // Only a snapshot can repeat: updates come once each.
    this.#fresh = envelope.kind === 'snapshot' ? newerThanKnown(trades, this.#recent) : trades;
    this.#recent = [...this.#recent, ...this.#fresh].slice(-RECENT_TRADES_LIMIT);
    this.#told = true;
    return 'applied';
  }

  // What was handed out stays known across epochs: the exchange's trade ids do not start again because we did.
  clear(): void {
    this.#told = false;
  }

  snapshotData(): unknown {
    return this.#told ? { trades: this.#recent } : undefined;
  }
}

/**
 * What follows the last trade that is known: older ones that were missed stay missed (their loss was told), because handing
 * them out now would break the order. An id alone is no identity: a simulation that restarts counts from 1 again.
 */
function newerThanKnown(trades: readonly Trade[], known: readonly Trade[]): readonly Trade[] {
  const keys = new Set(known.map((trade) => `${trade.id}@${trade.ts}`));
  return trades.slice(trades.findLastIndex((trade) => keys.has(`${trade.id}@${trade.ts}`)) + 1);
}

/** A channel newer than this client: messages are passed on in order, nothing is kept. */
class NothingKept implements StreamKeeper {
  readonly needsSnapshot = false;
  readonly losesByGap = true;
  hasData = false;

  apply(): KeeperVerdict {
    this.hasData = true;
    return 'applied';
  }

  clear(): void {
    this.hasData = false;
  }

  snapshotData(): unknown {
    return undefined;
  }
}
