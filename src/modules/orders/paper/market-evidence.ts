import type { BookLevels } from './book-levels.ts';
import { availableAt } from './book-levels.ts';
import type { PaperEvent, PaperSettings, StreamPlace } from './core-events.ts';
import { least, textOf } from './fixed-point.ts';
import { reachAtPrice, seeDisplayed } from './maker-queue.ts';
import type { MarketView, PublicTrade } from './market-view.ts';
import type { OrderBoard } from './order-board.ts';
import { isOpen } from './order-board.ts';
import type { PaperOrder } from './paper-order.ts';
import type { RestingSide } from './resting-side.ts';
import { isTriggerMet } from './stop-triggers.ts';

export type EvidenceSetup = Readonly<{ view: MarketView; board: OrderBoard; settings: PaperSettings }>;

/** What the market proves about orders: that a resting one was filled, that a stop was met. Never more than it shows. */
export class MarketEvidence {
  readonly #settings: PaperSettings;
  readonly #view: MarketView;
  readonly #board: OrderBoard;
  #nowMs = 0;
  #usable = false;

  constructor({ view, board, settings }: EvidenceSetup) {
    this.#view = view;
    this.#board = board;
    this.#settings = settings;
  }

  /** Before anything else of an event. `usable`: whether fills could happen when it came. */
  begin(nowMs: number, usable: boolean): void {
    this.#nowMs = nowMs;
    this.#usable = usable;
  }

  /** The market is believed (again): what the book shows now counts, what it went through meanwhile does not. */
  onUsable(): void {
    this.#watchBook();
    this.#crossResting();
  }

  onBook(event: Extract<PaperEvent, { type: 'book' }>): void {
    const changed = this.#view.takeBook(event);
    this.#seePlaces(this.#board.buys, this.#view.bids, changed?.bids ?? null);
    this.#seePlaces(this.#board.sells, this.#view.asks, changed?.asks ?? null);
    // A market that is only now believed again is looked at by `judgeMarket`.
    if (!this.#usable || !this.#view.usable(this.#nowMs)) return;
    this.#watchBook();
    this.#crossResting();
  }

  /** `changed` null: any price may have. */
  #seePlaces(side: RestingSide, levels: BookLevels, changed: readonly bigint[] | null): void {
    if (side.size === 0) return;
    for (const price of changed ?? side.prices) this.#seePlace(side, levels, price);
    for (const price of side.blind) {
      if (!levels.covers(price)) continue;
      side.blind.delete(price);
      this.#seePlace(side, levels, price);
    }
  }

  #seePlace(side: RestingSide, levels: BookLevels, price: bigint): void {
    const orders = side.at(price);
    if (orders.length === 0) return;
    const displayed = levels.displayedAt(price);
    for (const { place } of orders) seeDisplayed(place, displayed, this.#nowMs);
  }

  /** The other side has come to our prices: filled at ours, as far as what is displayed there goes. */
  #crossResting(): void {
    for (const side of [this.#board.buys, this.#board.sells]) {
      const other = side === this.#board.buys ? this.#view.asks : this.#view.bids;
      if (!isReached(side, other.best?.price)) continue;
      for (const price of side.prices) {
        if (other.best === undefined || !side.reaches(price, other.best.price)) break;
        for (const order of side.at(price)) this.#fillFromCross(order, price, other);
      }
    }
  }

  #fillFromCross(order: PaperOrder, price: bigint, other: BookLevels): void {
    for (const level of other.all) {
      if (!isOpen(order) || other.compare(level.price, price) > 0) return;
      const quantity = least(availableAt(level), order.remaining!);
      if (quantity === 0n) continue;
      level.eaten += quantity;
      order.place.ahead = 0n;
      this.#make(order, price, quantity, null);
    }
  }

  onTrades(event: Extract<PaperEvent, { type: 'trades' }>): void {
    for (const trade of this.#view.takeTrades(event)) {
      const usable = this.#usable && this.#view.usable(this.#nowMs);
      if (usable && trade.side !== 'buy') this.#fillFromTrade(this.#board.buys, trade);
      if (usable && trade.side !== 'sell') this.#fillFromTrade(this.#board.sells, trade);
      this.#view.seeTrade(trade);
      if (this.#view.tradesLive) this.#watchTrade(trade);
    }
    this.catchUpStops();
  }

  /** Better prices are hit first; what is left of the trade goes on. A trade without a side proves only what it went through. */
  #fillFromTrade(side: RestingSide, trade: PublicTrade): void {
    if (!isReached(side, trade.price)) return;
    let left = trade.size;
    for (const price of side.prices) {
      if (left === 0n || !side.reaches(price, trade.price)) return;
      const isThrough = price !== trade.price;
      if (!isThrough && trade.side === null) return;
      for (const order of side.at(price)) {
        if (trade.ts <= order.restingTs || !isOpen(order)) continue;
        if (isThrough) order.place.ahead = 0n;
        const reach = isThrough ? left : reachAtPrice(order.place, left, this.#nowMs);
        const quantity = least(reach, order.remaining!);
        if (quantity === 0n) continue;
        left -= quantity;
        this.#make(order, price, quantity, trade);
      }
    }
  }

  // Stops

  #watchTrade(trade: PublicTrade): void {
    let isEaten = false;
    for (const order of this.#board.watchers.last) {
      if (!isNew(order, trade, 'live')) continue;
      if (!this.#compare(order, trade.price, 'last', this.#view.trades) || isEaten) continue;
      isEaten = true;
      this.#eatUnseen(order, trade);
    }
  }

  /** The book may be from before the trade: an order that the trade set off must not take what the trade took. */
  #eatUnseen(order: PaperOrder, trade: PublicTrade): void {
    const { book } = this.#view;
    if (book === null || (book.exchangeTs ?? book.ingestTs) >= trade.ts) return;
    const side = order.truth.side === 'buy' ? this.#view.asks : this.#view.bids;
    side.eatThrough(trade.price, trade.size);
  }

  #watchBook(): void {
    for (const order of this.#board.watchers.book) {
      const source = order.truth.trigger === 'mid' ? 'mid' : 'bid_ask';
      const price = this.#view.referencePrice(source, order.truth.side);
      if (price !== null) this.#compare(order, price, source, this.#view.book);
    }
  }

  /** After a gap in the trades: those that the snapshot shows and that nobody has compared yet. */
  catchUpStops(): void {
    for (const trade of this.#view.takeMissed()) {
      for (const order of this.#board.watchers.last) {
        if (isNew(order, trade, 'missed')) this.#compare(order, trade.price, 'last_after_gap', this.#view.trades);
      }
    }
  }

  /** The price that is there already may meet a stop that is new or was moved. A trailing one waits for the next. */
  recheckStop(order: PaperOrder): void {
    if (order.truth.type === 'trailing_stop') return;
    const { last, book } = this.#board.watchers;
    const price = this.#view.lastPrice;
    if (last.has(order) && price !== null) this.#compare(order, price, 'last', this.#view.trades);
    if (book.has(order) && this.#usable) this.#watchBook();
  }

  #compare(order: PaperOrder, price: bigint, source: string, place: StreamPlace | null): boolean {
    if (order.steps.length > 0 || place === null || !isTriggerMet(order, price, this.#settings.tick)) return false;
    const evidence = { price: textOf(price), source, seq: place.seq, epoch: place.epoch };
    this.#board.push(order, { do: 'trigger', evidence });
    return true;
  }

  /** A taker's fill from the book as it stands. */
  take(order: PaperOrder, price: bigint, quantity: bigint): void {
    this.#board.fill(
      order,
      { liquidity: 'taker', market: this.#evidence(order, null), ts: this.#nowMs },
      price,
      quantity,
    );
  }

  #make(order: PaperOrder, price: bigint, quantity: bigint, trade: PublicTrade | null): void {
    this.#board.fill(
      order,
      { liquidity: 'maker', market: this.#evidence(order, trade), ts: this.#nowMs },
      price,
      quantity,
    );
  }

  #evidence(order: PaperOrder, trade: PublicTrade | null) {
    const place = (trade === null ? this.#view.book : this.#view.trades)!;
    return {
      stream: trade === null ? this.#settings.bookStream : this.#settings.tradesStream,
      epoch: place.epoch,
      seq: place.seq,
      exchangeSeq: place.exchangeSeq,
      ageMs: Math.max(0, this.#nowMs - place.ingestTs),
      latencyMs: order.submitDelayMs,
      tradeId: trade === null || trade.id === '' ? null : trade.id,
    };
  }
}

/** The best of the side, at least, would trade at `price`. */
function isReached(side: RestingSide, price: bigint | undefined): boolean {
  return price !== undefined && side.best !== undefined && side.reaches(side.best, price);
}

/** Since it was armed. Of trades that come late, those that were compared before are not looked at again. */
function isNew(order: PaperOrder, trade: PublicTrade, seen: 'live' | 'missed'): boolean {
  // Exchanges give all trades of one sweep one time. A stop may look at one of them twice; a trailing one may not, for a
  // later extreme would make an earlier price meet it.
  const isTold = order.truth.type === 'trailing_stop' ? trade.ts <= order.seenTs : trade.ts < order.seenTs;
  if (seen === 'live' ? trade.ts < order.restingTs : isTold) return false;
  order.seenTs = Math.max(order.seenTs, trade.ts);
  return true;
}
