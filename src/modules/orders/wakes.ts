import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { assert } from '../../kernel/assert.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/postgres.ts';
import type { Signals } from '../../platform/signals.ts';
import type { ExecutionDesk, WorkingOrder } from './desk.ts';
import { readAnswers, readWorking } from './queries.ts';

type Listener = (order: WorkingOrder) => void;
export type Wakes = Readonly<{
  /** After commit. Listeners of this process hear at once, other processes by a signal. */
  wake(orders: readonly WorkingOrder[]): void;
  onCommand: ExecutionDesk['onCommand'];
  commandsSince: ExecutionDesk['commandsSince'];
  stop(): void;
}>;

/** Ids that wait to be read after signals of other processes; past it the oldest are dropped, for a signal is only a hint. */
const HEARD_LIMIT = 5_000;
/** Read in one query. */
const BATCH_LIMIT = 200;
/** Ids in one signal; each is 36 characters. */
const IDS_PER_SIGNAL = 500;
const PAGE_LIMIT = 1_000;
const NO_ORDER = '00000000-0000-0000-0000-000000000000';
const CURSOR = /^([0-9]{1,20}) ([0-9a-f-]{36})$/;

export function createWakes(deps: Readonly<{ database: Database; signals: Signals; log: Log }>): Wakes {
  const { database, signals, log } = deps;
  const self = randomUUID();
  const listeners = new Set<Listener>();
  const heard = new Set<string>();
  let reading = false;
  let stopped = false;

  const call = (order: WorkingOrder): void => {
    for (const listener of listeners) {
      try {
        listener(order);
      } catch (error) {
        log.error({ event: 'order_listener_failed', orderId: order.order.id, err: error });
      }
    }
  };
  const read = async (): Promise<void> => {
    if (reading) return;
    reading = true;
    try {
      while (heard.size > 0 && listeners.size > 0 && !stopped) {
        const ids = [...heard].slice(0, BATCH_LIMIT);
        for (const id of ids) heard.delete(id);
        for (const order of await readWorking(database, ids)) call(order);
      }
    } catch (error) {
      // The engine's own look at `commandsSince` finds what this one lost.
      log.warn({ event: 'order_wake_lost', err: error });
    } finally {
      reading = false;
    }
  };
  const unsubscribe = signals.subscribe('orders', (text) => {
    const [sender, ...ids] = text.split(' ');
    if (sender === self || listeners.size === 0) return;
    for (const id of ids) heard.add(id);
    for (const id of heard) {
      if (heard.size <= HEARD_LIMIT) break;
      heard.delete(id);
    }
    void read();
  });
  return {
    wake(orders) {
      for (const order of orders) call(order);
      for (let from = 0; from < orders.length; from += IDS_PER_SIGNAL) {
        const ids = orders.slice(from, from + IDS_PER_SIGNAL).map((work) => work.order.id);
        signals.publish('orders', [self, ...ids].join(' '));
      }
    },
    onCommand(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    commandsSince: (cursor, limit) => readCommands(database, cursor, limit),
    stop() {
      stopped = true;
      unsubscribe();
      listeners.clear();
    },
  };
}

type Page = Readonly<{ horizon: string; works: readonly WorkingOrder[]; last: string | null }>;

async function readCommands(
  database: Database,
  cursor: string | null,
  limit: number,
): Promise<Readonly<{ orders: readonly WorkingOrder[]; cursor: string }>> {
  const page = Math.max(1, Math.min(PAGE_LIMIT, Math.floor(limit)));
  const [, transaction, order] = cursor === null ? [null, null, null] : (CURSOR.exec(cursor) ?? []);
  assert(cursor === null || transaction !== undefined, 'orders: this is no cursor of commands');
  // From now: a page of nothing, whose horizon is where the next call begins.
  const since = transaction ?? '18446744073709551615';
  const query = sql`select orders.commands_since(${since}::xid8, ${order ?? NO_ORDER}::uuid, ${page}) as answer`;
  const [found] = await readAnswers<Page>(database, 'commands_since', query);
  const { horizon, works, last } = found!;
  if (works.length === page && last !== null) return { orders: works, cursor: last };
  // All below the horizon was listed; numbers from it on are still to come.
  return { orders: works, cursor: later(`${horizon} ${NO_ORDER}`, cursor) };
}

/** A cursor never goes back: a horizon can, on a server that was restored from a copy. */
function later(one: string, other: string | null): string {
  if (other === null) return one;
  return BigInt(one.split(' ')[0]!) >= BigInt(other.split(' ')[0]!) ? one : other;
}
