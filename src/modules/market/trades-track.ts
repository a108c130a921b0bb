import type { Clock } from '../../kernel/clock.ts';
import type { StreamState, Trade } from '../../protocol/messages.ts';
import { SNAPSHOT_LIMITS } from '../../protocol/limits.ts';
import type { StreamSpec } from '../../protocol/streams.ts';
import type { FeedTrade, FeedTrades } from './upstream.ts';
import type { MarketDecimals } from './market-text.ts';
import { wireDecimal } from './market-text.ts';
import { Pacer } from './pacer.ts';
import type { Content, LineSetup, Stamp } from './stream-line.ts';
import { StreamLine, stampOf } from './stream-line.ts';
import type { Refuse, Track } from './track.ts';
import { LineGroup } from './track.ts';

/** Trades wait this long at most to share one message. */
const TRADE_BATCH_MS = 50;
/** More than this in one message would be a large frame for every subscriber: a burst leaves as several. */
const TRADE_BATCH_LIMIT = 250;
/** Ids remembered for deduplication: exchanges repeat up to 1,000 trades after a reconnect. */
const TRADE_IDS_LIMIT = 1_000;
const TRADE_ID_LIMIT_CHARS = 128;

export type TradeListener = (trades: readonly Trade[], stamp: Stamp) => void;

/** Trades are never merged and never dropped between the doubts; each id passes once. */
export class TradesTrack implements Track {
  readonly #lines: LineGroup;
  readonly #pacer: Pacer;
  readonly #decimals: () => MarketDecimals;
  readonly #refuse: Refuse;
  readonly #listeners = new Set<TradeListener>();
  readonly #ids = new Set<string>();
  #published: readonly Trade[] = [];
  #pending: Trade[] = [];
  #stamp: Stamp;

  constructor(setup: LineSetup, decimals: () => MarketDecimals, clock: Clock, refuse: Refuse) {
    this.#lines = new LineGroup((name) => new StreamLine(name, setup, () => this.#content()));
    this.#pacer = new Pacer(TRADE_BATCH_MS, clock, () => this.#flush());
    this.#decimals = decimals;
    this.#refuse = refuse;
    this.#stamp = { ingestTs: clock.now() };
  }

  open(spec: StreamSpec): StreamLine {
    return this.#lines.open(spec.name);
  }

  close(name: string): void {
    this.#lines.close(name);
  }

  /** Another track that is built from these trades. */
  listen(listener: TradeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Answers the new ones among them. */
  onTrades(message: FeedTrades): readonly Trade[] {
    const fresh: Trade[] = [];
    for (const trade of message.trades) {
      const accepted = this.#accept(trade);
      if (accepted !== null) fresh.push(accepted);
    }
    if (fresh.length === 0) return fresh;
    this.#stamp = stampOf({ exchangeTs: fresh.at(-1)!.ts, ingestTs: message.ingestTs });
    this.#pending.push(...fresh);
    // Not published: what a snapshot carries must be true to the position. The next epoch's snapshot will show them.
    if (this.#lines.inDoubt) this.#pending = this.#pending.slice(-SNAPSHOT_LIMITS.trades);
    else if (this.#pending.length >= TRADE_BATCH_LIMIT || !this.#lines.flowing) this.#pacer.runNow();
    else this.#pacer.request();
    for (const listener of this.#listeners) listener(fresh, this.#stamp);
    return fresh;
  }

  doubt(state: StreamState): void {
    // What came before the doubt is sound and belongs to the old epoch.
    this.#pacer.cancel();
    if (this.#lines.flowing) this.#flush();
    this.#lines.doubt(state);
  }

  /** A market without trades is quiet, not unknown: once nothing can be missing any more, there is nothing to wait for. */
  trust(confirmed: boolean): void {
    this.#lines.trust();
    if (confirmed && !this.#lines.flowing) this.#pacer.runNow();
  }

  marketChanged(): void {}

  stop(): void {
    this.#pacer.cancel();
  }

  #accept(trade: FeedTrade): Trade | null {
    const decimals = this.#decimals();
    const price = wireDecimal(trade.price, decimals.price);
    const size = wireDecimal(trade.size, decimals.size);
    const sound = typeof trade.id === 'string' && trade.id.length <= TRADE_ID_LIMIT_CHARS && trade.ts > 0;
    if (price === null || size === null || !sound || !Number.isSafeInteger(trade.ts)) {
      this.#refuse('trade');
      return null;
    }
    if (trade.id !== '' && !this.#isNew(trade.id)) return null;
    return {
      id: trade.id,
      price,
      size,
      side: trade.side === 'buy' || trade.side === 'sell' ? trade.side : null,
      ts: trade.ts,
    };
  }

  #isNew(id: string): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    if (this.#ids.size > TRADE_IDS_LIMIT) {
      // Sets keep insertion order: the first is the oldest.
      for (const oldest of this.#ids) {
        this.#ids.delete(oldest);
        break;
      }
    }
    return true;
  }

  /** The pending trades become part of the published state; answers them. */
  #keep(): readonly Trade[] {
    const batch = this.#pending;
    this.#pending = [];
    this.#published = [...this.#published, ...batch].slice(-SNAPSHOT_LIMITS.trades);
    return batch;
  }

  #flush(): boolean {
    if (this.#pending.length === 0 && this.#lines.flowing) return false;
    const first = !this.#lines.flowing;
    do {
      const rest = first ? [] : this.#pending.splice(TRADE_BATCH_LIMIT);
      const trades = this.#keep();
      this.#pending = rest;
      this.#lines.tell(
        (line) => line.begin(this.#content()),
        (line) => line.publish('update', { trades }, this.#stamp),
      );
    } while (this.#pending.length > 0);
    return true;
  }

  #content(): Content {
    return { data: { trades: this.#published }, stamp: this.#stamp };
  }
}
