import type { TapeBook, TapeEvent, TapeLevel } from '../tape.ts';
import type { MarketScale } from './market-scale.ts';
import type { MatchingEngine, OrderSide } from './matching-engine.ts';

type Engine = MatchingEngine<number>;
export type PublishedBook = Omit<Extract<TapeEvent, { kind: 'book' }>, 'symbol' | 'ts'>;
export type PublishedTop = Omit<Extract<TapeEvent, { kind: 'top' }>, 'symbol' | 'ts'>;

/**
 * Turns level changes into book events as venues send them: absolute sizes, each level once per event, ids without holes. Between
 * two events the published book lags behind the engine; `book` answers the published one, so that a snapshot and the events
 * after it always fit together.
 */
export class BookPublisher {
  readonly #scale: MarketScale;
  readonly #withPreviousId: boolean;
  /** Changed levels with the lots that were last published for them. */
  readonly #pending: Record<OrderSide, Map<number, number>> = { buy: new Map(), sell: new Map() };
  #changeId: number;
  #publishedId: number;
  #publishedTs = 0;
  #top = { bidTick: 0, bidLots: 0, askTick: 0, askLots: 0 };

  constructor(scale: MarketScale, options: Readonly<{ firstId: number; withPreviousId: boolean }>) {
    this.#scale = scale;
    this.#withPreviousId = options.withPreviousId;
    this.#changeId = options.firstId;
    this.#publishedId = options.firstId;
  }

  noteChange(side: OrderSide, tick: number, lotsBefore: number): void {
    this.#changeId += 1;
    const pending = this.#pending[side];
    if (!pending.has(tick)) pending.set(tick, lotsBefore);
  }

  /** Undefined when all changes since the last event cancelled each other out; their ids go into the next event. */
  takeBook(engine: Engine, ts: number): PublishedBook | undefined {
    const bids = this.#takeSide(engine, 'buy');
    const asks = this.#takeSide(engine, 'sell');
    if (bids.length + asks.length === 0) return undefined;
    const previousId = this.#publishedId;
    this.#publishedId = this.#changeId;
    this.#publishedTs = ts;
    const ids = { firstId: previousId + 1, lastId: this.#changeId };
    return { kind: 'book', ...ids, ...(this.#withPreviousId ? { previousId } : {}), bids, asks };
  }

  /** Undefined when neither best price nor its size changed since the last call, or a side is empty. */
  takeTop(engine: Engine): PublishedTop | undefined {
    const bidTick = engine.bestTick('buy');
    const askTick = engine.bestTick('sell');
    if (bidTick === undefined || askTick === undefined) return undefined;
    const bidLots = engine.lotsAt('buy', bidTick);
    const askLots = engine.lotsAt('sell', askTick);
    const top = this.#top;
    if (top.bidTick === bidTick && top.bidLots === bidLots && top.askTick === askTick && top.askLots === askLots) {
      return undefined;
    }
    this.#top = { bidTick, bidLots, askTick, askLots };
    return { kind: 'top', id: this.#changeId, bid: this.#level(bidTick, bidLots), ask: this.#level(askTick, askLots) };
  }

  /** The present best prices, for a ticker; a side that is empty has none. */
  quotes(engine: Engine): Readonly<{ bid?: string; bidSize?: string; ask?: string; askSize?: string }> {
    const bidTick = engine.bestTick('buy');
    const askTick = engine.bestTick('sell');
    const { priceText, sizeText } = this.#scale;
    return {
      ...(bidTick === undefined ? {} : { bid: priceText(bidTick), bidSize: sizeText(engine.lotsAt('buy', bidTick)) }),
      ...(askTick === undefined ? {} : { ask: priceText(askTick), askSize: sizeText(engine.lotsAt('sell', askTick)) }),
    };
  }

  book(engine: Engine): TapeBook {
    return {
      lastId: this.#publishedId,
      ts: this.#publishedTs,
      bids: this.#published(engine, 'buy'),
      asks: this.#published(engine, 'sell'),
    };
  }

  #takeSide(engine: Engine, side: OrderSide): TapeLevel[] {
    const pending = this.#pending[side];
    const ticks: number[] = [];
    for (const [tick, lotsBefore] of pending) {
      if (engine.lotsAt(side, tick) !== lotsBefore) ticks.push(tick);
    }
    pending.clear();
    ticks.sort(side === 'buy' ? (a, b) => b - a : (a, b) => a - b);
    return ticks.map((tick) => this.#level(tick, engine.lotsAt(side, tick)));
  }

  #published(engine: Engine, side: OrderSide): TapeLevel[] {
    const pending = this.#pending[side];
    const levels: [tick: number, lots: number][] = [];
    for (const { tick, lots } of engine.depth(side, Infinity)) if (!pending.has(tick)) levels.push([tick, lots]);
    for (const [tick, lots] of pending) if (lots > 0) levels.push([tick, lots]);
    if (pending.size > 0) levels.sort(side === 'buy' ? ([a], [b]) => b - a : ([a], [b]) => a - b);
    return levels.map(([tick, lots]) => this.#level(tick, lots));
  }

  #level(tick: number, lots: number): TapeLevel {
    return [this.#scale.priceText(tick), lots === 0 ? '0' : this.#scale.sizeText(lots)];
  }
}
