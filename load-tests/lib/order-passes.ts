import { setTimeout as sleep } from 'node:timers/promises';
import { runCallers } from './callers.ts';
import type { CpuMeter, Load, PassFigures, Work } from './callers.ts';
import { Histogram } from './histogram.ts';
import { openDoor } from './order-doors.ts';
import type { DoorName, OrderDoor, WishedOrder } from './order-doors.ts';
import type { RigCensus } from './order-rig.ts';
import { cancelAll, renewTraders } from './traders.ts';
import type { Trader } from './traders.ts';

export type OrderServer = Readonly<{
  baseUrl: string;
  traders: readonly Trader[];
  census(): Promise<RigCensus>;
  meter: CpuMeter;
}>;

const MARKETS = ['BTC/USDT', 'ETH/USDT'];
/** What one order is worth, in the quote; above every market's minimum and small enough for hundreds from one purse. */
const ORDER_WORTH = 20;
/** Of the last price: inside the band that the server accepts, and far from what the simulated market reaches. */
const RESTING_SHARE = 0.5;
const SETTLE_LIMIT_MS = 120_000;
const POLL_MS = 200;
const PRICE_LIMIT_MS = 30_000;
const OPEN_AT_ONCE = 16;

/** Limit buys that rest, one for each market; `market`: market buys of the same worth. */
export async function wishedOrders(baseUrl: string, type: 'limit' | 'market'): Promise<WishedOrder[]> {
  return Promise.all(
    MARKETS.map(async (symbol) => {
      const last = await lastPrice(baseUrl, symbol);
      const price = (last * RESTING_SHARE).toFixed(2);
      const quantity = (ORDER_WORTH / (type === 'limit' ? Number(price) : last)).toFixed(4);
      const order = { account: 'paper', venue: 'binance', symbol, side: 'buy', type, quantity };
      return type === 'limit' ? { ...order, price } : order;
    }),
  );
}

/** A market that nobody watched until now has no price yet. */
async function lastPrice(baseUrl: string, symbol: string): Promise<number> {
  const address = `${baseUrl}/v1/markets/binance/${symbol.replace('/', '-')}/ticker`;
  const deadline = Date.now() + PRICE_LIMIT_MS;
  for (;;) {
    const answer = await fetch(address);
    const text = await answer.text();
    const price = answer.ok ? Number((JSON.parse(text) as { data: { last: string | null } }).data.last) : NaN;
    if (price > 0) return price;
    if (Date.now() > deadline) throw new Error(`${address} answered ${answer.status} ${text.slice(0, 200)}`);
    await sleep(POLL_MS);
  }
}

/** Every caller goes round its own share of the traders and of the markets, so that no user's limit is met. */
export async function placeThrough(
  name: DoorName,
  { baseUrl, traders, meter }: OrderServer,
  load: Load,
  wishes: readonly WishedOrder[],
): Promise<PassFigures> {
  const doors = await openAll(traders, (trader) => openDoor(name, baseUrl, trader));
  const turns = Array.from({ length: load.callers }, () => 0);
  try {
    const place: Work = async (caller) => {
      const turn = turns[caller]!++;
      const share = Math.floor((traders.length - 1 - caller) / load.callers) + 1;
      const door = doors[caller + (turn % share) * load.callers]!;
      await door.place(wishes[Math.floor(turn / share) % wishes.length]!);
    };
    return await runCallers(load, place, meter);
  } finally {
    for (const door of doors) door.close();
  }
}

export type PushFigures = Readonly<{ afterAnswer: Histogram; beforeAnswer: number; pushes: number; missing: number }>;
const PUSH_LIMIT_MS = 10_000;

/** From the durable answer to the push of the same order on its user's stream; a push may also come first. */
export async function measurePushes(
  { baseUrl, traders }: OrderServer,
  load: Load,
  wishes: readonly WishedOrder[],
): Promise<PushFigures> {
  const pushedAt = new Map<string, number>();
  const answeredAt = new Map<string, number>();
  const onPush = (id: string, status: string, atMs: number): void => {
    if (status === 'submitted') pushedAt.set(id, atMs);
  };
  const doors = await openAll(traders, (trader) => openDoor('ws', baseUrl, trader, onPush));
  try {
    let turn = 0;
    const busy = doors.map(() => false);
    await runCallers(load, async () => {
      while (busy[turn % doors.length] === true) turn += 1;
      const place = turn++ % doors.length;
      busy[place] = true;
      try {
        const { id } = await doors[place]!.place(wishes[Math.floor(turn / doors.length) % wishes.length]!);
        answeredAt.set(id, performance.now());
      } finally {
        busy[place] = false;
      }
    });
    const deadline = performance.now() + PUSH_LIMIT_MS;
    while (pushedAt.size < answeredAt.size && performance.now() < deadline) await sleep(POLL_MS);
  } finally {
    for (const door of doors) door.close();
  }
  return comparePushes(answeredAt, pushedAt);
}

function comparePushes(answeredAt: ReadonlyMap<string, number>, pushedAt: ReadonlyMap<string, number>): PushFigures {
  const afterAnswer = new Histogram();
  let beforeAnswer = 0;
  let missing = 0;
  for (const [id, answeredMs] of answeredAt) {
    const pushedMs = pushedAt.get(id);
    if (pushedMs === undefined) {
      missing += 1;
      continue;
    }
    if (pushedMs <= answeredMs) beforeAnswer += 1;
    afterAnswer.record(Math.max(0, pushedMs - answeredMs));
  }
  return { afterAnswer, beforeAnswer, pushes: answeredAt.size - missing, missing };
}

async function openAll(traders: readonly Trader[], open: (trader: Trader) => Promise<OrderDoor>): Promise<OrderDoor[]> {
  const doors: OrderDoor[] = [];
  for (let from = 0; from < traders.length; from += OPEN_AT_ONCE) {
    doors.push(...(await Promise.all(traders.slice(from, from + OPEN_AT_ONCE).map(open))));
  }
  return doors;
}

/** Nothing open and nothing under way, so that no pass pays for the one before it. */
export async function clearOrders({ baseUrl, traders, census }: OrderServer): Promise<void> {
  await renewTraders(baseUrl, traders);
  await cancelAll(baseUrl, traders);
  const deadline = Date.now() + SETTLE_LIMIT_MS;
  for (;;) {
    const { open } = await census();
    if (open === 0) return;
    if (Date.now() > deadline) throw new Error(`${open} orders are still open ${SETTLE_LIMIT_MS} ms after cancelling`);
    await sleep(POLL_MS);
  }
}
