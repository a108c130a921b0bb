import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { candlesOrigin, createFeed } from '../../../feed/index.ts';
import { seededRandom } from '../../../kernel/random.ts';
import type { Random } from '../../../kernel/random.ts';
import { createMemoryBus } from '../../../platform/bus-memory.ts';
import { createLog } from '../../../platform/log.ts';
import { createMetrics } from '../../../platform/metrics.ts';
import type { BookSnapshot } from '../../../protocol/messages.ts';
import { openRecording, startSandbox } from '../../../sandbox/index.ts';
import { CAPTURES_DIR, CAPTURES_PRESENT } from '../../../testing/captures.ts';
import { cacheOn } from '../../../testing/market-rig.ts';
import { PaperRig, RIG_SETTINGS, RIG_START_MS } from '../../../testing/paper-rig.ts';
import { reconstruct } from '../../../testing/raw-book.ts';
import { createSequencer } from '../../market/index.ts';
import type { PaperEvent, PaperSettings } from './core-events.ts';
import { exactly } from './fixed-point.ts';
import { MarketCore } from './market-core.ts';
import { openMarketFeed } from './market-feed.ts';

const SPEED = 20;
const FOLDER = join(CAPTURES_DIR, 'binance/spot-2024-08-08');
const SYMBOL = 'BTC/USDT';
const SETTINGS: PaperSettings = {
  ...RIG_SETTINGS,
  ordersLimit: 10_000,
  bookStream: `book:binance:${SYMBOL}:100:100ms`,
  tradesStream: `trades:binance:${SYMBOL}`,
};

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

describe.skipIf(!CAPTURES_PRESENT)(`paper fills against a recording (skipped without ${CAPTURES_DIR})`, () => {
  it('every fill is one that the exchange could have given at that instant, and a replay gives the same ones', async () => {
    const rig = await trade(seededRandom(3));
    const taken = rig.fills.filter(({ market }) => market.tradeId === null);
    const made = rig.fills.filter(({ market }) => market.tradeId !== null);
    expect(taken.length).toBeGreaterThan(100);
    expect(made.length, String(taken.length)).toBeGreaterThan(20);
    expect(wrongTakes(rig)).toEqual([]);
    expect(wrongMakes(rig)).toEqual([]);
    const again = new MarketCore(SETTINGS, RIG_START_MS);
    expect(rig.journal.flatMap((event) => again.step(event))).toEqual(rig.decided);
  }, 120_000);
});

/** The whole recording through sandbox, feed and market module, with orders around the best prices all the time. */
async function trade(random: Random): Promise<PaperRig> {
  const log = createLog({ level: 'silent' });
  const clock = { now: () => Date.now(), monotonic: () => performance.now() };
  const common = { log, clock, random, metrics: createMetrics({ processMetrics: false }) };
  const [source] = await openRecording(FOLDER, { speed: SPEED, loop: false, log });
  const sandbox = await startSandbox({ sources: [source!], log });
  cleanups.push(() => sandbox.stop());
  const bus = createMemoryBus();
  const venues = [
    {
      venue: 'binance',
      ccxtId: 'binance',
      source: 'recording' as const,
      candles: candlesOrigin('binance'),
      sandboxUrl: sandbox.url,
    },
  ];
  const sequencer = createSequencer({ ...common, bus, venues });
  const feed = createFeed({ ...common, venues, ingest: sequencer.ingest });
  bus.serve(sequencer.source);
  sequencer.connect(feed);
  await bus.start();
  const cache = cacheOn(bus);
  cleanups.push(
    () => bus.stop(),
    () => sequencer.stop(),
    () => cache.stop(),
    () => feed.stop(),
  );
  await feed.start();

  const rig = new PaperRig(SETTINGS);
  const book = cache.lease(SETTINGS.bookStream, { onMessage: () => {}, onReset: () => {} }).view;
  const take = (event: PaperEvent) => {
    rig.wait(Math.max(0, event.nowMs - rig.nowMs));
    rig.feed(event);
    const best = book.snapshot()?.message.data as BookSnapshot | undefined;
    if (event.type !== 'state' && best !== undefined) placeAround(rig, best, random);
  };
  const market = openMarketFeed({ cache, ...SETTINGS, now: clock.now, take });
  cleanups.push(() => market.close());
  await source!.finished;
  return rig;
}

function placeAround(rig: PaperRig, { bids, asks }: BookSnapshot, random: Random): void {
  const side = random() < 0.5 ? 'buy' : 'sell';
  const own = (side === 'buy' ? bids : asks)[0];
  const other = (side === 'buy' ? asks : bids)[Math.floor(random() * 3)];
  if (own === undefined || other === undefined) return;
  const quantity = (0.001 + random() * 0.5).toFixed(5);
  const userId = `u${Math.floor(random() * 5)}`;
  const kind = random();
  if (kind < 0.35) rig.place({ side, type: 'limit', price: own[0], quantity }, userId);
  else if (kind < 0.6) rig.place({ side, type: 'limit', price: other[0], quantity, timeInForce: 'IOC' }, userId);
  else if (kind < 0.7) rig.place({ side, type: 'limit', price: other[0], quantity, timeInForce: 'FOK' }, userId);
  else if (kind < 0.9) rig.place({ side, type: 'market', quantity, protectionPrice: other[0] }, userId);
  else rig.place({ side, type: 'stop', stopPrice: other[0], quantity }, userId);
}

/** Fills from the book that the exchange's own updates do not bear out, level by level, at the same update id. */
function wrongTakes(rig: PaperRig): string[] {
  const wanted = new Map<number, typeof rig.fills>();
  for (const fill of rig.fills) {
    if (fill.market.tradeId !== null) continue;
    const id = fill.market.exchangeSeq ?? -1;
    wanted.set(id, [...(wanted.get(id) ?? []), fill]);
  }
  const wrong: string[] = [];
  let checked = 0;
  for (const step of reconstruct(FOLDER)) {
    if (step.market !== 'BTCUSDT') continue;
    const fills = wanted.get(step.id);
    if (fills === undefined) continue;
    wanted.delete(step.id);
    const { bids, asks } = step.top(100);
    for (const fill of fills) {
      checked += 1;
      const { side } = rig.order(fill.orderId);
      const price = Number(fill.price);
      const reaching = (side === 'buy' ? asks : bids).filter(([level]) => {
        const exact = Number(level) === price;
        return fill.liquidity === 'taker' ? exact : exact || Number(level) < price === (side === 'buy');
      });
      const there = reaching.reduce((sum, [, size]) => sum + exactly(size), 0n);
      if (exactly(fill.quantity) > there) wrong.push(`${step.id}: ${side} ${fill.quantity} @ ${fill.price}`);
    }
  }
  for (const id of wanted.keys()) wrong.push(`the exchange has no update ${id}`);
  expect(checked).toBeGreaterThan(100);
  return wrong;
}

/** Fills by public trades that were not recorded, went the other way, or were smaller. */
function wrongMakes(rig: PaperRig): string[] {
  const trades = recordedTrades();
  const used = new Map<string, bigint>();
  const wrong: string[] = [];
  for (const { orderId, price, quantity, market } of rig.fills) {
    if (market.tradeId === null) continue;
    const trade = trades.get(market.tradeId);
    const { side } = rig.order(orderId);
    const total = (used.get(market.tradeId) ?? 0n) + exactly(quantity);
    used.set(market.tradeId, total);
    const reaches =
      trade !== undefined && (side === 'buy' ? trade.price <= Number(price) : trade.price >= Number(price));
    if (!reaches || trade.taker === side || total > trade.size) {
      wrong.push(`${market.tradeId}: ${side} ${quantity} @ ${price}`);
    }
  }
  return wrong;
}

type RecordedTrade = Readonly<{ price: number; size: bigint; taker: 'buy' | 'sell' }>;

function recordedTrades(): Map<string, RecordedTrade> {
  const trades = new Map<string, RecordedTrade>();
  for (const file of readdirSync(FOLDER).filter((name) => name.startsWith('btcusdt'))) {
    for (const line of gunzipSync(readFileSync(join(FOLDER, file)))
      .toString()
      .split('\n')) {
      if (!line.includes('@trade')) continue;
      const { data } = JSON.parse((JSON.parse(line) as { raw: string }).raw) as {
        data: { t: number; p: string; q: string; m: boolean };
      };
      trades.set(String(data.t), { price: Number(data.p), size: exactly(data.q), taker: data.m ? 'sell' : 'buy' });
    }
  }
  return trades;
}
