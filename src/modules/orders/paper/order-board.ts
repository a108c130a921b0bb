import type { EngineFill } from '../desk.ts';
import { DueTimes } from './due-times.ts';
import type { Decision, EndStatus, Reason, Step } from './core-events.ts';
import { textOf } from './fixed-point.ts';
import type { PaperOrder } from './paper-order.ts';
import { isDormant, isResting, memoOf } from './paper-order.ts';
import { RestingSide } from './resting-side.ts';

/** What one statement may carry; a burst of evidence beyond it follows in the next one. */
const FILLS_PER_STEP = 100;
/** Orders that are over and of which late news may still come: from a second reader, or out of a long inbox. */
const BURIED_LIMIT = 10_000;

/** The orders of one market where events look for them, and what was decided about them and is not carried out yet. */
export class OrderBoard {
  readonly #orders = new Map<string, PaperOrder>();
  readonly buys = new RestingSide('buy');
  readonly sells = new RestingSide('sell');
  /** Stops that wait, by what they look at: public trades, or the book. */
  readonly watchers = { last: new Set<PaperOrder>(), book: new Set<PaperOrder>() };
  readonly due = new DueTimes();
  readonly #touched = new Set<PaperOrder>();
  /** The last version of each, oldest first. */
  readonly #buried = new Map<string, number>();

  get size(): number {
    return this.#orders.size;
  }

  get all(): Iterable<PaperOrder> {
    return this.#orders.values();
  }

  versions(): Map<string, number> {
    return new Map([...this.#orders].map(([id, order]) => [id, order.truth.version]));
  }

  /** Nothing that is not known already: taking it in would raise the dead, or undo something newer. */
  isOld(orderId: string, version: number): boolean {
    const known = this.#orders.get(orderId)?.truth.version ?? this.#buried.get(orderId);
    return known !== undefined && version <= known;
  }

  get(orderId: string): PaperOrder | undefined {
    return this.#orders.get(orderId);
  }

  side(side: 'buy' | 'sell'): RestingSide {
    return side === 'buy' ? this.buys : this.sells;
  }

  /** Puts the order where it belongs now. True when it came to rest just now. */
  place(order: PaperOrder): boolean {
    this.#orders.set(order.id, order);
    const side = this.side(order.truth.side);
    const rests = isResting(order) && order.limit !== null;
    const comes = rests && !side.has(order);
    if (comes) side.add(order, order.limit!);
    if (!rests) side.remove(order);
    const { trigger, status } = order.truth;
    const waits = isDormant(order) && status === 'held' && isOpen(order) ? (trigger ?? 'last') : null;
    keep(this.watchers.last, order, waits === 'last');
    keep(this.watchers.book, order, waits === 'bid_ask' || waits === 'mid');
    return comes;
  }

  remove(order: PaperOrder): void {
    this.#orders.delete(order.id);
    this.due.remove(order);
    this.#buried.set(order.id, order.truth.version);
    if (this.#buried.size > BURIED_LIMIT) this.#buried.delete(this.#buried.keys().next().value!);
    this.#touched.delete(order);
    this.side(order.truth.side).remove(order);
    this.watchers.last.delete(order);
    this.watchers.book.delete(order);
  }

  fill(
    order: PaperOrder,
    fill: Omit<EngineFill, 'tradeId' | 'price' | 'quantity'>,
    price: bigint,
    quantity: bigint,
  ): void {
    if (order.remaining !== null) order.remaining -= quantity;
    // Named by its number, which is noted with it: whoever decides it again gives it the same name.
    const tradeId = `paper:${order.id}:${order.fillCount++}`;
    const made: EngineFill = { ...fill, tradeId, price: textOf(price), quantity: textOf(quantity) };
    const last = order.steps.at(-1);
    if (last?.do === 'fill' && last.fills.length < FILLS_PER_STEP && !order.inFlight) {
      order.steps[order.steps.length - 1] = { do: 'fill', fills: [...last.fills, made] };
    } else this.push(order, { do: 'fill', fills: [made] });
  }

  prevent(order: PaperOrder, quantity: bigint): void {
    if (order.remaining !== null) order.remaining -= quantity;
    this.push(order, { do: 'prevent', quantity: textOf(quantity) });
  }

  /** Nothing may happen to it any more; what was decided before is still carried out first. */
  finish(order: PaperOrder, status: EndStatus, reason: Reason): void {
    this.side(order.truth.side).remove(order);
    this.push(order, { do: 'finish', status, reason });
  }

  push(order: PaperOrder, step: Step): void {
    order.steps.push(step);
    this.#touched.add(order);
  }

  /** Goes on with what was decided for it. */
  touch(order: PaperOrder): void {
    this.#touched.add(order);
  }

  /** The next step of each order that has one; one at a time. */
  takeDecisions(): Decision[] {
    const decisions: Decision[] = [];
    for (const order of this.#touched) {
      const step = order.steps[0];
      if (step === undefined || order.inFlight) continue;
      order.inFlight = true;
      decisions.push({ orderId: order.id, version: order.truth.version, memo: memoOf(order), step });
    }
    this.#touched.clear();
    return decisions;
  }
}

/** Something of it can still be filled. */
export function isOpen(order: PaperOrder): boolean {
  return order.remaining === null || order.remaining > 0n;
}

function keep(set: Set<PaperOrder>, order: PaperOrder, wanted: boolean): void {
  if (wanted) set.add(order);
  else set.delete(order);
}
