import type { Envelope } from '../protocol/messages.ts';
import type { BalanceText, Order, OrderStatus, Position, UserEventBody } from '../protocol/trading.ts';
import { isFields } from './frame.ts';
import type { KeeperVerdict, StreamKeeper } from './stream-keeper.ts';

/** Orders that can still change, as the stream says; `logSeq` is the place in the user's log. */
export type OpenOrders = Readonly<{ orders: readonly Order[]; logSeq: number }>;
export type Holdings = Readonly<{ balances: readonly BalanceText[]; positions: readonly Position[]; logSeq: number }>;
/** One event of the user's log. */
export type PrivateEvent = Readonly<{ seq: number; logSeq: number; event: UserEventBody }>;

const ENDED: Readonly<Partial<Record<OrderStatus, true>>> = {
  filled: true,
  canceled: true,
  expired: true,
  expired_in_match: true,
  rejected: true,
  denied: true,
};

/** A snapshot's or an update's data; undefined when it is neither. */
function eventOf({ data }: Envelope): PrivateEvent | undefined {
  if (!isFields(data) || typeof data.logSeq !== 'number' || !isFields(data.event)) return undefined;
  return data as unknown as PrivateEvent;
}

export function privateEventOf(envelope: Envelope): PrivateEvent | undefined {
  const found = envelope.kind === 'update' ? eventOf(envelope) : undefined;
  return found && { seq: envelope.seq, logSeq: found.logSeq, event: found.event };
}

/** Open orders, from the snapshot on. A later message about an order replaces what was known of it. */
export class OrdersKeeper implements StreamKeeper {
  readonly needsSnapshot = true;
  readonly losesByGap = false;
  #orders: Map<string, Order> | undefined;
  #logSeq = 0;
  #value: OpenOrders | null = null;

  get hasData(): boolean {
    return this.#orders !== undefined;
  }

  /** The same object until something changes. */
  get value(): OpenOrders | null {
    if (this.#orders !== undefined) this.#value ??= { orders: [...this.#orders.values()], logSeq: this.#logSeq };
    return this.#value;
  }

  apply(envelope: Envelope): KeeperVerdict {
    const { data } = envelope;
    if (envelope.kind === 'snapshot') {
      if (!isFields(data) || !Array.isArray(data.orders)) return 'malformed';
      this.#orders = new Map((data.orders as Order[]).map((order) => [order.id, order]));
      this.#logSeq = Number(data.logSeq);
    } else {
      if (this.#orders === undefined) return 'no_snapshot';
      const update = eventOf(envelope);
      if (update === undefined) return 'malformed';
      if (update.event.type === 'order') this.#take(this.#orders, update.event.order);
      this.#logSeq = update.logSeq;
    }
    this.#value = null;
    return 'applied';
  }

  clear(): void {
    this.#orders = undefined;
    this.#value = null;
  }

  snapshotData(): unknown {
    return this.value ?? undefined;
  }

  #take(orders: Map<string, Order>, order: Order): void {
    if (ENDED[order.status]) orders.delete(order.id);
    else orders.set(order.id, order);
  }
}

/** Balances and positions, from the snapshot on. */
export class PortfolioKeeper implements StreamKeeper {
  readonly needsSnapshot = true;
  readonly losesByGap = false;
  #balances: Map<string, BalanceText> | undefined;
  readonly #positions = new Map<string, Position>();
  #logSeq = 0;
  #value: Holdings | null = null;

  get hasData(): boolean {
    return this.#balances !== undefined;
  }

  /** The same object until something changes. */
  get value(): Holdings | null {
    if (this.#balances === undefined) return null;
    this.#value ??= {
      balances: [...this.#balances.values()],
      positions: [...this.#positions.values()],
      logSeq: this.#logSeq,
    };
    return this.#value;
  }

  apply(envelope: Envelope): KeeperVerdict {
    const { data } = envelope;
    if (envelope.kind === 'snapshot') {
      if (!isFields(data) || !Array.isArray(data.balances) || !Array.isArray(data.positions)) return 'malformed';
      this.#balances = new Map((data.balances as BalanceText[]).map((balance) => [balance.asset, balance]));
      this.#positions.clear();
      for (const position of data.positions as Position[]) this.#positions.set(keyOf(position), position);
      this.#logSeq = Number(data.logSeq);
    } else {
      if (this.#balances === undefined) return 'no_snapshot';
      const update = eventOf(envelope);
      if (update === undefined) return 'malformed';
      this.#take(this.#balances, update.event);
      this.#logSeq = update.logSeq;
    }
    this.#value = null;
    return 'applied';
  }

  clear(): void {
    this.#balances = undefined;
    this.#positions.clear();
    this.#value = null;
  }

  snapshotData(): unknown {
    return this.value ?? undefined;
  }

  #take(balances: Map<string, BalanceText>, event: UserEventBody): void {
    if (event.type === 'balance') {
      const { asset, total, available, held } = event.balance;
      balances.set(asset, { asset, total, available, held });
    }
    if (event.type === 'position') this.#positions.set(keyOf(event.position), event.position);
  }
}

function keyOf({ account, base, quote }: Position): string {
  return `${account} ${base}/${quote}`;
}

/** Each a fact of its own: passed on in order, none kept. */
export class NotificationsKeeper implements StreamKeeper {
  readonly needsSnapshot = false;
  readonly losesByGap = true;
  readonly hasData = true;

  apply(envelope: Envelope): KeeperVerdict {
    return eventOf(envelope) === undefined ? 'malformed' : 'applied';
  }

  clear(): void {}

  snapshotData(): unknown {
    return undefined;
  }
}
