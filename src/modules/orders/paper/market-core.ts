import type { WorkingOrder } from '../desk.ts';
import type { BookLevels } from './book-levels.ts';
import type { Decision, DecisionAnswer, PaperEvent, PaperSettings, Reason, Step } from './core-events.ts';
import { newPlace, seeDisplayed } from './maker-queue.ts';
import { MarketEvidence } from './market-evidence.ts';
import { decideEntry, wouldTake } from './market-entry.ts';
import { MarketView } from './market-view.ts';
import { OrderBoard, isOpen } from './order-board.ts';
import type { PaperOrder } from './paper-order.ts';
import {
  absorbOrder,
  baseStatus,
  countRemaining,
  dueAfter,
  isDormant,
  isNoteWanted,
  isOver,
  isPending,
  takesOnly,
} from './paper-order.ts';
import { trailingStopText } from './stop-triggers.ts';

/** A doubt that is over sooner is not told to the user. */
const DOUBT_GRACE_MS = 2_000;
/** `waiting` flags set or cleared in one step, so that an outage of a busy market does not hold up its return. */
const WAITS_PER_STEP = 50;
const WAIT_PACE_MS = 20;
/** A moving trailing stop, or a queue place that improved much, is stored this often at most. */
const NOTE_INTERVAL_MS = 1_000;

const CANCELED = { code: 'canceled_by_user', message: 'canceled as asked' };
const SELF_TRADE = { code: 'self_trade', message: 'it met another order of the same user' };

/**
 * Paper trading on one market, without any input or output: events in, decisions out. Every decision is answered by a `done`
 * event, sooner or later; until then there is no other one about that order, and what the market proves about it waits behind.
 */
export class MarketCore {
  readonly #settings: PaperSettings;
  readonly #view: MarketView;
  readonly #board = new OrderBoard();
  readonly #evidence: MarketEvidence;
  #nowMs: number;
  #usable = false;
  #doubtSinceMs: number;
  #waitsLeft = 0;
  #waitsOwed = false;
  /** Notes are looked at in rounds: what the market changes about them comes with every message. */
  #notesAtMs: number;
  #notesChanged = false;
  #isNoting = false;

  constructor(settings: PaperSettings, startMs: number) {
    this.#settings = settings;
    this.#view = new MarketView(settings);
    this.#evidence = new MarketEvidence({ view: this.#view, board: this.#board, settings });
    this.#nowMs = startMs;
    this.#doubtSinceMs = startMs;
    this.#notesAtMs = startMs;
  }

  get orderCount(): number {
    return this.#board.size;
  }

  has(orderId: string): boolean {
    return this.#board.get(orderId) !== undefined;
  }

  versions(): Map<string, number> {
    return this.#board.versions();
  }

  /** Fills can happen: both streams are live, and the book is young and not crossed. */
  get usable(): boolean {
    return this.#usable;
  }

  /** When time alone will change something, after the last event; Infinity: never. */
  dueMs(): number {
    return Math.min(this.#board.due.nextMs, this.#roundMs());
  }

  /** When something is due that concerns all orders. */
  #roundMs(): number {
    if (this.#board.size === 0) return Infinity;
    const doubtMs = this.#usable ? this.#view.staleAtMs + 1 : this.#doubtSinceMs + DOUBT_GRACE_MS;
    return Math.min(
      doubtMs > this.#nowMs ? doubtMs : Infinity,
      this.#notesChanged ? Math.max(this.#notesAtMs, this.#nowMs + 1) : Infinity,
      this.#waitsOwed ? this.#nowMs + WAIT_PACE_MS : Infinity,
    );
  }

  step(event: PaperEvent): Decision[] {
    const isRoundDue = this.#roundMs() <= event.nowMs;
    this.#nowMs = Math.max(this.#nowMs, event.nowMs);
    this.#waitsLeft = WAITS_PER_STEP;
    this.#evidence.begin(this.#nowMs, this.#usable);
    this.#take(event);
    const turned = this.#judgeMarket();
    if (isRoundDue || turned) this.#advanceAll();
    this.#advanceDue();
    return this.#board.takeDecisions();
  }

  #take(event: PaperEvent): void {
    switch (event.type) {
      case 'book':
        this.#notesChanged = true;
        return this.#evidence.onBook(event);
      case 'trades':
        this.#notesChanged = true;
        return this.#evidence.onTrades(event);
      case 'state':
        this.#view.setLive(event.channel, event.live);
        return this.#evidence.catchUpStops();
      case 'order':
        return this.#onOrder(event.working);
      case 'gone': {
        const order = this.#board.get(event.orderId);
        if (order !== undefined && order.truth.version === event.version && !order.inFlight) this.#board.remove(order);
        return;
      }
      case 'done':
        return this.#onDone(event.decision, event.answer);
      case 'clock':
        return;
      default:
        event satisfies never;
    }
  }

  /** Answers whether the market became believable, or stopped being so. */
  #judgeMarket(): boolean {
    const usable = this.#view.usable(this.#nowMs);
    if (usable === this.#usable) return false;
    this.#usable = usable;
    this.#evidence.begin(this.#nowMs, usable);
    if (usable) this.#evidence.onUsable();
    else this.#doubtSinceMs = this.#nowMs;
    return true;
  }

  // What users and the database say

  #onOrder(working: WorkingOrder): void {
    if (this.#board.isOld(working.order.id, working.order.version)) return;
    const known = this.#board.get(working.order.id);
    const isFull = known === undefined && this.#board.size >= this.#settings.ordersLimit;
    const order = this.#absorb(known, working);
    if (isOver(order)) return this.#board.remove(order);
    if (isFull && working.order.status === 'submitted') {
      return this.#board.finish(order, 'rejected', { code: 'engine_full', message: 'too many orders on this market' });
    }
    this.#evidence.recheckStop(order);
    this.#advance(order);
  }

  #onDone(decision: Decision, answer: DecisionAnswer): void {
    const order = this.#board.get(decision.orderId);
    if (order === undefined) return;
    const step = order.steps.shift();
    order.inFlight = false;
    if (answer.working === null) return this.#board.remove(order);
    // What the market has proved meanwhile stands, whatever became of this step.
    if (answer.refused !== null) order.steps.splice(0, Infinity, ...order.steps.filter((each) => each.do === 'fill'));
    // A command of the user may have been heard of first.
    if (answer.working.order.version >= order.truth.version) this.#absorb(order, answer.working);
    else countRemaining(order);
    if (isOver(order)) return this.#board.remove(order);
    if (step !== undefined) this.#afterStep(order, step, answer.refused);
    if (order.steps.length > 0) this.#board.touch(order);
    else this.#advance(order);
  }

  #afterStep(order: PaperOrder, step: Step, refused: DecisionAnswer['refused']): void {
    if (refused === null) {
      order.notedAhead = order.place.ahead;
      if (step.do === 'remember') order.trailMoved = false;
      if (order.steps.length === 0) this.#evidence.recheckStop(order);
    } else if (refused === 'insufficient_funds' && step.do === 'amend') {
      const refusal = { code: refused, message: 'the money for this change is not there' };
      this.#board.push(order, { do: 'amend', refusal });
    } else if (refused === 'insufficient_funds') {
      this.#board.finish(order, 'canceled', { code: refused, message: 'the money for its fill is not there' });
    }
  }

  #absorb(known: PaperOrder | undefined, working: WorkingOrder): PaperOrder {
    const limit = known?.limit;
    const size = known?.size ?? null;
    const { seed, latency } = this.#settings;
    const order = absorbOrder(known, working, { nowMs: this.#nowMs, seed, latency });
    if (known !== undefined && order.entered && !takesOnly(order)) {
      const isBigger = order.size !== null && size !== null && order.size > size;
      // Out of the queue: behind those that are there now, or to meet the book anew.
      if (limit !== order.limit || isBigger) this.#board.side(order.truth.side).remove(order);
      if (limit !== order.limit) order.entered = false;
      else if (isBigger) this.#goToBack(order);
    }
    this.#place(order);
    this.#board.due.set(order, dueAfter(order, this.#nowMs));
    return order;
  }

  #place(order: PaperOrder): void {
    if (!this.#board.place(order)) return;
    seeDisplayed(order.place, this.#ownLevels(order).displayedAt(order.limit!), this.#nowMs);
  }

  // What an order is due for

  #advanceAll(): void {
    this.#waitsOwed = false;
    this.#isNoting = this.#notesAtMs <= this.#nowMs;
    if (this.#isNoting) {
      this.#notesChanged = false;
      this.#notesAtMs = this.#nowMs + NOTE_INTERVAL_MS;
    }
    for (const order of this.#board.all) this.#advance(order);
    this.#isNoting = false;
  }

  #advanceDue(): void {
    for (const order of this.#board.due.take(this.#nowMs)) {
      this.#advance(order);
      this.#board.due.set(order, dueAfter(order, this.#nowMs));
    }
  }

  /** Decides the next step that an order is due for; none while one is under way. */
  #advance(order: PaperOrder): void {
    if (order.steps.length > 0) return;
    const { status, expireAt, timeInForce } = order.truth;
    if (timeInForce === 'GTD' && expireAt !== null && expireAt <= this.#nowMs) {
      return this.#board.finish(order, 'expired', { code: 'gtd_expired', message: 'its time is over' });
    }
    if (status === 'pending_cancel' && order.commandAtMs <= this.#nowMs) {
      return this.#board.finish(order, 'canceled', order.truth.reason ?? CANCELED);
    }
    if (status === 'pending_update' && order.commandAtMs <= this.#nowMs && this.#usable) return this.#amend(order);
    this.#work(order);
    if (order.steps.length === 0) this.#tellWaiting(order);
    if (order.steps.length === 0) this.#note(order);
  }

  #work(order: PaperOrder): void {
    const status = baseStatus(order);
    if (!isOpen(order) || (status === 'submitted' && order.submitAtMs > this.#nowMs)) return;
    if (isDormant(order)) {
      if (order.truth.status !== 'submitted') return;
      order.restingTs = order.seenTs = this.#view.newestTs || this.#nowMs;
      return this.#board.push(order, { do: 'accept' });
    }
    if (!order.entered) {
      if (this.#usable) this.#enter(order);
    } else if (takesOnly(order)) this.#expireRemainder(order);
    else if (order.truth.status === 'submitted') this.#board.push(order, { do: 'accept' });
  }

  #enter(order: PaperOrder): void {
    const opposite = order.truth.side === 'buy' ? this.#board.sells : this.#board.buys;
    const entry = decideEntry(order, { view: this.#view, opposite, settings: this.#settings });
    if (entry.end !== null) return this.#board.finish(order, entry.end.status, entry.end.reason);
    order.entered = true;
    for (const { price, quantity } of entry.fills) this.#evidence.take(order, price, quantity);
    for (const { order: own, quantity } of entry.preventedOwn) this.#board.prevent(own, quantity);
    for (const own of entry.expiredOwn) this.#board.finish(own, 'expired_in_match', SELF_TRADE);
    if (entry.prevented > 0n) this.#board.prevent(order, entry.prevented);
    if (!isOpen(order) || entry.complete) return;
    if (entry.takerExpires) return this.#board.finish(order, 'expired_in_match', SELF_TRADE);
    if (takesOnly(order)) return this.#expireRemainder(order);
    this.#goToBack(order);
    this.#place(order);
    if (order.steps.length > 0 || isPending(order)) return;
    const isNew = order.truth.status === 'submitted';
    this.#board.push(order, isNew ? { do: 'accept' } : { do: 'remember', stopPrice: null });
  }

  #expireRemainder(order: PaperOrder): void {
    const reason =
      order.fillCount === 0
        ? { code: 'no_liquidity', message: 'nothing was to be had at an allowed price' }
        : { code: 'remainder_expired', message: 'no more was to be had at an allowed price' };
    this.#board.finish(order, 'expired', reason);
  }

  #amend(order: PaperOrder): void {
    const price = order.amendment?.price;
    let refusal: Reason | null = null;
    if (price !== undefined && order.truth.postOnly && wouldTake(order, price, this.#view)) {
      refusal = { code: 'post_only_would_take', message: 'at this price it would take instead of resting' };
    }
    this.#board.push(order, { do: 'amend', refusal });
  }

  /** Behind everything that is displayed at its price. */
  #goToBack(order: PaperOrder): void {
    if (order.limit === null) return;
    order.place = newPlace(this.#ownLevels(order).displayedAt(order.limit));
    order.restingTs = this.#view.newestTs;
  }

  #tellWaiting(order: PaperOrder): void {
    const { waiting } = order.truth;
    const isDoubtful = !this.#usable && this.#nowMs - this.#doubtSinceMs >= DOUBT_GRACE_MS;
    const wanted = this.#usable ? null : isDoubtful ? ('market_data' as const) : waiting;
    if (wanted === waiting || !isOpen(order)) return;
    this.#waitsOwed ||= this.#waitsLeft === 0;
    if (this.#waitsLeft === 0) return;
    this.#waitsLeft -= 1;
    this.#board.push(order, { do: 'wait', waiting: wanted });
  }

  #note(order: PaperOrder): void {
    if (!this.#isNoting || !isNoteWanted(order)) return;
    this.#board.push(order, { do: 'remember', stopPrice: trailingStopText(order, this.#settings.tick) });
  }

  #ownLevels(order: PaperOrder): BookLevels {
    return order.truth.side === 'buy' ? this.#view.bids : this.#view.asks;
  }
}
