import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MatchingEngine, opposite, type Fill, type OrderSide, type TimeInForce } from './matching-engine.ts';

type Command =
  | { type: 'limit'; side: OrderSide; tick: number; lots: number; timeInForce: TimeInForce; postOnly: boolean }
  | { type: 'market'; side: OrderSide; lots: number }
  | { type: 'cancel'; ago: number };

const side = fc.constantFrom<OrderSide>('buy', 'sell');
const tick = fc.integer({ min: 90, max: 110 });
const lots = fc.integer({ min: 1, max: 50 });
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('limit' as const),
      side,
      tick,
      lots,
      timeInForce: fc.constantFrom<TimeInForce>('gtc', 'gtc', 'gtc', 'ioc', 'fok'),
      postOnly: fc.constantFrom(false, false, false, true),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('market' as const), side, lots }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('cancel' as const), ago: fc.integer({ min: 1, max: 15 }) }) },
);
const commands = fc.array(command, { minLength: 1, maxLength: 200, size: 'max' });

/** The same rules written the slow and obvious way: one list of orders, sorted anew for every match. */
class NaiveEngine {
  orders: { id: number; side: OrderSide; tick: number; lots: number }[] = [];

  run(id: number, next: Command): { fills: [maker: number, tick: number, lots: number][]; refused: boolean } {
    if (next.type === 'cancel') {
      this.orders = this.orders.filter((order) => order.id !== id - next.ago);
      return { fills: [], refused: false };
    }
    const limit = next.type === 'market' ? null : next.tick;
    const makers = this.orders
      .filter((order) => order.side === opposite(next.side))
      .filter((order) => limit === null || (next.side === 'buy' ? order.tick <= limit : order.tick >= limit))
      .toSorted((a, b) => (next.side === 'buy' ? a.tick - b.tick : b.tick - a.tick) || a.id - b.id);
    const available = makers.reduce((sum, order) => sum + order.lots, 0);
    if (next.type === 'limit' && next.postOnly && (next.timeInForce !== 'gtc' || makers.length > 0)) {
      return { fills: [], refused: true };
    }
    if (next.type === 'limit' && next.timeInForce === 'fok' && available < next.lots)
      return { fills: [], refused: true };
    let missing = next.lots;
    const fills: [number, number, number][] = [];
    for (const maker of makers) {
      const traded = Math.min(missing, maker.lots);
      if (traded === 0) break;
      missing -= traded;
      maker.lots -= traded;
      fills.push([maker.id, maker.tick, traded]);
    }
    this.orders = this.orders.filter((order) => order.lots > 0);
    if (next.type === 'limit' && next.timeInForce === 'gtc' && missing > 0) {
      this.orders.push({ id, side: next.side, tick: next.tick, lots: missing });
    }
    return { fills, refused: false };
  }

  depth(bookSide: OrderSide): [tick: number, lots: number, orders: number][] {
    const levels = new Map<number, [number, number]>();
    for (const order of this.orders.filter((each) => each.side === bookSide)) {
      const [total, count] = levels.get(order.tick) ?? [0, 0];
      levels.set(order.tick, [total + order.lots, count + 1]);
    }
    return [...levels]
      .toSorted(([a], [b]) => (bookSide === 'buy' ? b - a : a - b))
      .map(([level, [total, count]]) => [level, total, count]);
  }
}

function run(engine: MatchingEngine<number>, id: number, next: Command) {
  if (next.type === 'cancel') {
    engine.cancel(id - next.ago);
    return null;
  }
  return next.type === 'market' ? engine.placeMarket({ id, ...next }) : engine.placeLimit({ id, ...next });
}

function depthOf(engine: MatchingEngine<number>, bookSide: OrderSide) {
  return engine.depth(bookSide, Infinity).map((level) => [level.tick, level.lots, level.orders]);
}

describe('matching engine', () => {
  it('never disagrees with a naive engine about fills, refusals or the book', () => {
    fc.assert(
      fc.property(commands, (stream) => {
        const engine = new MatchingEngine<number>();
        const naive = new NaiveEngine();
        for (const [id, next] of stream.entries()) {
          const outcome = run(engine, id, next);
          const expected = naive.run(id, next);
          if (outcome !== null) {
            expect(outcome.ok).toBe(!expected.refused);
            const fills = outcome.ok ? outcome.value.fills : [];
            expect(fills.map((fill) => [fill.makerId, fill.tick, fill.lots])).toEqual(expected.fills);
          }
          expect(depthOf(engine, 'buy')).toEqual(naive.depth('buy'));
          expect(depthOf(engine, 'sell')).toEqual(naive.depth('sell'));
          expect(engine.restingOrders).toBe(naive.orders.length);
          const probe = 90 + (id % 21);
          for (const each of ['buy', 'sell'] as const) {
            const better = naive.depth(each).filter(([level]) => (each === 'buy' ? level > probe : level < probe));
            expect(engine.levelsBetterThan(each, probe)).toBe(better.length);
            expect(engine.oldestAt(each, probe)).toBe(engine.queue(each, probe).at(0)?.id);
            expect(engine.newestAt(each, probe)).toBe(engine.queue(each, probe).at(-1)?.id);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it('never leaves a crossed book', () => {
    fc.assert(
      fc.property(commands, (stream) => {
        const engine = new MatchingEngine<number>();
        for (const [id, next] of stream.entries()) {
          run(engine, id, next);
          const bid = engine.bestTick('buy');
          const ask = engine.bestTick('sell');
          if (bid !== undefined && ask !== undefined) expect(bid).toBeLessThan(ask);
        }
      }),
    );
  });

  it('never creates or loses quantity: ordered = filled + resting + cancelled, and every fill has two equal sides', () => {
    fc.assert(
      fc.property(commands, (stream) => {
        const engine = new MatchingEngine<number>();
        const ordered = { buy: 0, sell: 0 };
        const traded = { buy: 0, sell: 0 };
        const cancelled = { buy: 0, sell: 0 };
        for (const [id, next] of stream.entries()) {
          if (next.type === 'cancel') {
            const victim = engine.order(id - next.ago);
            const gone = engine.cancel(id - next.ago);
            expect(gone).toBe(victim?.lots);
            if (victim) cancelled[victim.side] += victim.lots;
            continue;
          }
          const outcome = run(engine, id, next)!;
          if (!outcome.ok) continue;
          const { fills, filledLots, restingLots, cancelledLots } = outcome.value;
          expect(filledLots + restingLots + cancelledLots).toBe(next.lots);
          expect(fills.reduce((sum, fill) => sum + fill.lots, 0)).toBe(filledLots);
          ordered[next.side] += next.lots;
          cancelled[next.side] += cancelledLots;
          traded.buy += filledLots;
          traded.sell += filledLots;
        }
        for (const each of ['buy', 'sell'] as const) {
          const resting = engine.depth(each, Infinity).reduce((sum, level) => sum + level.lots, 0);
          expect(ordered[each]).toBe(traded[each] + cancelled[each] + resting);
        }
      }),
    );
  });

  it('never fills a worse price or a younger order first', () => {
    fc.assert(
      fc.property(commands, (stream) => {
        const engine = new MatchingEngine<number>();
        for (const [id, next] of stream.entries()) {
          const before = next.type === 'cancel' ? [] : queuesOf(engine, opposite(next.side));
          const outcome = run(engine, id, next);
          if (!outcome?.ok) continue;
          const fills: readonly Fill<number>[] = outcome.value.fills;
          expect(fills.map((fill) => fill.makerId)).toEqual(before.slice(0, fills.length));
          for (const fill of fills.slice(0, -1)) expect(fill.makerLotsLeft).toBe(0);
        }
      }),
    );
  });

  it('tells of every level change with the total before it, so that a publisher can mirror the book', () => {
    fc.assert(
      fc.property(commands, (stream) => {
        const mirror = { buy: new Map<number, number>(), sell: new Map<number, number>() };
        const engine = new MatchingEngine<number>({
          onLevelChange(levelSide, levelTick, before) {
            expect(before).toBe(mirror[levelSide].get(levelTick) ?? 0);
            const now = engine.lotsAt(levelSide, levelTick);
            if (now === 0) mirror[levelSide].delete(levelTick);
            else mirror[levelSide].set(levelTick, now);
          },
        });
        for (const [id, next] of stream.entries()) run(engine, id, next);
        for (const each of ['buy', 'sell'] as const) {
          expect(engine.depth(each, Infinity).map((level) => [level.tick, level.lots])).toEqual(
            [...mirror[each]].toSorted(([a], [b]) => (each === 'buy' ? b - a : a - b)),
          );
        }
      }),
    );
  });

  it.each([
    ['a fraction of a tick', { tick: 1.5, lots: 1 }],
    ['no quantity', { tick: 1, lots: 0 }],
    ['a negative quantity', { tick: 1, lots: -1 }],
    ['a quantity that is not a number', { tick: 1, lots: Number.NaN }],
    ['a price beyond exact integers', { tick: 2 ** 53, lots: 1 }],
  ])('refuses %s instead of corrupting the book', (_, values) => {
    const engine = new MatchingEngine<string>();
    expect(engine.placeLimit({ id: 'a', side: 'buy', ...values })).toMatchObject({ ok: false, code: 'invalid_order' });
    expect(engine.restingOrders).toBe(0);
  });

  it('refuses a second resting order with the same id, and forgets an id once its order is gone', () => {
    const engine = new MatchingEngine<string>();
    engine.placeLimit({ id: 'a', side: 'buy', tick: 100, lots: 5 });
    expect(engine.placeLimit({ id: 'a', side: 'buy', tick: 99, lots: 5 })).toMatchObject({ code: 'duplicate_order' });
    expect(engine.cancel('a')).toBe(5);
    expect(engine.cancel('a')).toBeUndefined();
    expect(engine.placeLimit({ id: 'a', side: 'buy', tick: 99, lots: 5 })).toMatchObject({ ok: true });
  });

  it('stays bounded: a full book refuses what would rest and still matches what would not', () => {
    const engine = new MatchingEngine<string>({ restingLimitOrders: 2 });
    engine.placeLimit({ id: 'a', side: 'sell', tick: 100, lots: 5 });
    engine.placeLimit({ id: 'b', side: 'sell', tick: 101, lots: 5 });
    expect(engine.placeLimit({ id: 'c', side: 'sell', tick: 102, lots: 5 })).toMatchObject({ code: 'book_full' });
    expect(engine.placeLimit({ id: 'd', side: 'buy', tick: 101, lots: 11 })).toMatchObject({ code: 'book_full' });
    expect(engine.placeLimit({ id: 'e', side: 'buy', tick: 101, lots: 10 })).toMatchObject({
      value: { filledLots: 10 },
    });
  });
});

function queuesOf(engine: MatchingEngine<number>, bookSide: OrderSide): number[] {
  return engine
    .depth(bookSide, Infinity)
    .flatMap((level) => engine.queue(bookSide, level.tick).map((order) => order.id));
}
