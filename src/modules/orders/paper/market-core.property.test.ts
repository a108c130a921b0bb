import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Level, Trade } from '../../../protocol/messages.ts';
import type { Order } from '../../../protocol/trading.ts';
import { PaperRig, RIG_SETTINGS, RIG_START_MS } from '../../../testing/paper-rig.ts';
import type { RigFill } from '../../../testing/paper-rig.ts';
import type { PaperEvent } from './core-events.ts';
import { UNIT, exactly, most } from './fixed-point.ts';
import { MarketCore } from './market-core.ts';

/** Prices 95.0 to 105.0 in steps of 0.5, sizes 0.5 to 4. */
const price = fc.integer({ min: 0, max: 20 }).map((step) => (95 + step / 2).toFixed(2));
const size = fc.integer({ min: 1, max: 8 }).map((step) => String(step / 2));
const side = fc.constantFrom('buy' as const, 'sell' as const);
const user = fc.constantFrom('u1', 'u2', 'u3');

/** Any side of a book around a middle that moves; asks from the middle up, bids below it. */
const book = fc
  .record({
    middle: fc.integer({ min: 2, max: 18 }),
    sizes: fc.array(fc.integer({ min: 0, max: 8 }), { minLength: 21, maxLength: 21 }),
  })
  .map(({ middle, sizes }) => {
    const levels = sizes.map((each, step): Level => [(95 + step / 2).toFixed(2), String(each / 2)]);
    return { bids: levels.slice(0, middle).reverse(), asks: levels.slice(middle) };
  });
const trade = fc.record({ price, size, side: fc.constantFrom('buy' as const, 'sell' as const, null) });
const order = fc.record({
  side,
  type: fc.constantFrom(
    'market' as const,
    'limit' as const,
    'limit' as const,
    'stop' as const,
    'stop_limit' as const,
    'trailing_stop' as const,
    'take_profit' as const,
  ),
  quantity: size,
  price,
  stopPrice: price,
  trigger: fc.constantFrom('last' as const, 'bid_ask' as const, 'mid' as const),
  trailingDelta: fc.constantFrom(50, 100, 300),
  timeInForce: fc.constantFrom('GTC' as const, 'GTC' as const, 'IOC' as const, 'FOK' as const, 'GTD' as const),
  protectionPrice: fc.option(price),
  postOnly: fc.boolean(),
  quote: fc.option(fc.integer({ min: 10, max: 500 }), { freq: 4 }),
  selfTradePrevention: fc.constantFrom(
    'none' as const,
    'expire_taker' as const,
    'expire_maker' as const,
    'expire_both' as const,
    'decrement' as const,
  ),
  lifeMs: fc.integer({ min: 1, max: 3_000 }),
});
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('book' as const), book }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('trades' as const),
      trades: fc.array(trade, { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('place' as const), order, user }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), which: fc.nat(50) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('amend' as const),
      which: fc.nat(50),
      price: fc.option(price),
      quantity: fc.option(size),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 200 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('state' as const),
      channel: fc.constantFrom('book' as const, 'trades' as const),
      live: fc.constantFrom(true, true, true, true, false),
    }),
  },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

const isWanted = (each: { stopPrice: string | null; type: Order['type'] }) =>
  each.type !== 'market' && each.type !== 'limit';

function run(actions: readonly Action[]): PaperRig {
  const rig = new PaperRig();
  rig.open([['99.00', '2']], [['101.00', '2']]);
  for (const each of actions) {
    rig.nowMs += 1;
    act(rig, each);
  }
  return rig;
}

function act(rig: PaperRig, each: Action): void {
  switch (each.do) {
    case 'book': {
      const whole = (levels: readonly Level[]) => levels.filter((level) => level[1] !== '0');
      return rig.book(whole(each.book.bids), whole(each.book.asks));
    }
    case 'trades':
      return rig.trades(each.trades.map((made) => [made.price, made.size, made.side]));
    case 'place':
      return void rig.place(orderOf(rig, each.order), each.user);
    case 'wait':
      return rig.wait(each.ms);
    case 'state':
      return rig.state(each.channel, each.live);
    case 'cancel':
    case 'amend': {
      const open = [...rig.orders.values()].filter(({ order: { status } }) =>
        ['accepted', 'partially_filled', 'triggered'].includes(status),
      );
      const target = open[each.which % Math.max(1, open.length)]?.order;
      if (target === undefined) return;
      if (each.do === 'cancel') return rig.cancel(target.id);
      const { filledQuantity, preventedQuantity } = target;
      const least = exactly(filledQuantity) + exactly(preventedQuantity);
      const quantity =
        each.quantity !== null && target.quantity !== null && exactly(each.quantity) > least
          ? each.quantity
          : undefined;
      const next = target.price === null || each.price === null ? undefined : each.price;
      if (quantity ?? next) rig.amend(target.id, { ...(quantity && { quantity }), ...(next && { price: next }) });
      return;
    }
    default:
      each satisfies never;
  }
}

function orderOf(rig: PaperRig, made: typeof order extends fc.Arbitrary<infer T> ? T : never) {
  const { quote, lifeMs, postOnly, protectionPrice, type } = made;
  const isLimit = type === 'limit' || type === 'stop_limit';
  const byQuote = type === 'market' && made.side === 'buy' && quote !== null;
  const timeInForce = isLimit ? made.timeInForce : 'IOC';
  return {
    side: made.side,
    type,
    trigger: isWanted(made) ? made.trigger : null,
    selfTradePrevention: made.selfTradePrevention,
    timeInForce,
    quantity: byQuote ? null : made.quantity,
    ...(byQuote ? { quoteQuantity: String(quote) } : {}),
    price: isLimit ? made.price : null,
    protectionPrice: isLimit ? null : protectionPrice,
    stopPrice: isWanted(made) && type !== 'trailing_stop' ? made.stopPrice : null,
    trailingDelta: type === 'trailing_stop' ? made.trailingDelta : null,
    postOnly: isLimit && timeInForce === 'GTC' && postOnly,
    expireAt: timeInForce === 'GTD' ? rig.nowMs + lifeMs : null,
  };
}

/** Everything that the market showed, as an independent reader of the journal keeps it. */
type Shown = {
  bids: ReadonlyMap<string, string>;
  asks: ReadonlyMap<string, string>;
  live: { book: boolean; trades: boolean };
  bookMs: number;
};

it('fills never exceed what was ordered, what was allowed, or what the market proves', () => {
  const filled = { taker: 0, trade: 0, cross: 0 };
  fc.assert(
    fc.property(fc.array(action, { minLength: 60, maxLength: 200 }), (actions) => {
      const rig = run(actions);
      for (const { liquidity, market } of rig.fills) {
        filled[liquidity === 'taker' ? 'taker' : market.tradeId === null ? 'cross' : 'trade'] += 1;
      }
      checkOrders(rig);
      checkEvidence(rig);
    }),
    { numRuns: 300, seed: 7 },
  );
  // A property about fills of which there are none would prove nothing.
  expect(Math.min(filled.taker, filled.trade, filled.cross), JSON.stringify(filled)).toBeGreaterThan(100);
});

function checkOrders(rig: PaperRig): void {
  for (const { order: made } of rig.orders.values()) {
    const fills = rig.fills.filter(({ orderId }) => orderId === made.id);
    const total = fills.reduce((sum, { quantity }) => sum + exactly(quantity), 0n);
    const cost = fills.reduce((sum, fill) => sum + exactly(fill.price) * exactly(fill.quantity), 0n);
    if (made.quantity !== null) expect(total + exactly(made.preventedQuantity) <= exactly(made.quantity)).toBe(true);
    if (made.quoteQuantity !== null) expect(cost <= exactly(made.quoteQuantity) * UNIT).toBe(true);
    if (made.timeInForce === 'FOK' && made.type !== 'trailing_stop' && total > 0n) expect(made.status).toBe('filled');
    if (made.postOnly) for (const { liquidity } of fills) expect(liquidity).toBe('maker');
    expect(exactly(made.filledQuantity)).toBe(total);
  }
}

/** Walks the journal and holds every fill against what had been shown by then. */
function checkEvidence(rig: PaperRig): void {
  const shown: Shown = { bids: new Map(), asks: new Map(), live: { book: false, trades: false }, bookMs: 0 };
  const trades = new Map<string, { trade: Trade; used: bigint }>();
  /** What was eaten of each level since it was last seen to change. */
  const eaten = new Map<string, bigint>();
  const limits = new Map<string, Order>();
  for (const event of rig.journal) {
    watch(shown, eaten, trades, event);
    if (event.type === 'order') limits.set(event.working.order.id, event.working.order);
    if (event.type !== 'done') continue;
    const { step, orderId } = event.decision;
    const before = limits.get(orderId)!;
    if (step.do === 'fill')
      for (const fill of step.fills) checkFill({ ...fill, orderId } as RigFill, before, { shown, eaten, trades });
    if (event.answer.working !== null) limits.set(orderId, event.answer.working.order);
  }
}

function watch(
  shown: Shown,
  eaten: Map<string, bigint>,
  trades: Map<string, { trade: Trade; used: bigint }>,
  event: PaperEvent,
): void {
  if (event.type === 'state') shown.live[event.channel] = event.live;
  if (event.type === 'trades') for (const each of event.trades) trades.set(each.id, { trade: each, used: 0n });
  if (event.type !== 'book') return;
  for (const name of ['bids', 'asks'] as const) {
    const next = new Map(event[name]);
    for (const key of eaten.keys()) {
      const [where, at] = key.split(' ');
      if (where === name && next.get(at!) !== shown[name].get(at!)) eaten.delete(key);
    }
    shown[name] = next;
  }
  shown.bookMs = event.nowMs;
}

function checkFill(
  fill: RigFill,
  made: Order,
  {
    shown,
    eaten,
    trades,
  }: { shown: Shown; eaten: Map<string, bigint>; trades: Map<string, { trade: Trade; used: bigint }> },
): void {
  const buys = made.side === 'buy';
  const limit = made.price ?? made.protectionPrice;
  const at = Number(fill.price);
  if (limit !== null) expect(buys ? at <= Number(limit) : at >= Number(limit)).toBe(true);
  expect(shown.live).toEqual({ book: true, trades: true });
  const prices = (levels: ReadonlyMap<string, string>) => [...levels.keys()].map(Number);
  expect(Math.max(...prices(shown.bids), 0)).toBeLessThan(Math.min(...prices(shown.asks), Infinity));
  expect(fill.market.ageMs).toBeLessThanOrEqual(RIG_SETTINGS.bookAgeLimitMs);
  const quantity = exactly(fill.quantity);
  if (fill.market.tradeId !== null) {
    const evidence = trades.get(fill.market.tradeId)!;
    expect(fill.liquidity).toBe('maker');
    expect(evidence.trade.side).not.toBe(made.side);
    expect(buys ? Number(evidence.trade.price) <= at : Number(evidence.trade.price) >= at).toBe(true);
    evidence.used += quantity;
    expect(evidence.used <= exactly(evidence.trade.size)).toBe(true);
    return;
  }
  // From the book: a taker at the level's own price, a resting order at its own while the book reaches it.
  const [name, levels] = buys ? (['asks', shown.asks] as const) : (['bids', shown.bids] as const);
  const reaching = [...levels].filter(([level]) =>
    fill.liquidity === 'taker' ? Number(level) === at : buys ? Number(level) <= at : Number(level) >= at,
  );
  expect(reaching.length).toBeGreaterThan(0);
  let left = quantity;
  for (const [level, displayed] of reaching.sort((a, b) => (Number(a[0]) - Number(b[0])) * (buys ? 1 : -1))) {
    const key = `${name} ${level}`;
    const free = most(0n, exactly(displayed) - (eaten.get(key) ?? 0n));
    const part = left < free ? left : free;
    eaten.set(key, (eaten.get(key) ?? 0n) + part);
    left -= part;
  }
  expect(left).toBe(0n);
}

it('the same events give the same decisions, in another process too', () => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 20, maxLength: 120 }), (actions) => {
      const rig = run(actions);
      const again = new MarketCore(RIG_SETTINGS, RIG_START_MS);
      expect(rig.journal.flatMap((event) => again.step(event))).toEqual(rig.decided);
    }),
    { numRuns: 100, seed: 11 },
  );
});

it('a restart in the middle never fills more than before, and nothing twice', () => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 20, maxLength: 80 }), fc.nat(79), (actions, at) => {
      const rig = run(actions.slice(0, at));
      const next = new PaperRig();
      next.nowMs = rig.nowMs;
      next.fills.push(...rig.fills);
      for (const [id, working] of rig.orders) next.orders.set(id, working);
      for (const working of rig.orders.values()) next.feed({ type: 'order', nowMs: next.nowMs, working });
      next.open([['99.00', '2']], [['101.00', '2']]);
      for (const each of actions.slice(at)) {
        next.nowMs += 1;
        act(next, each);
      }
      checkOrders(next);
    }),
    { numRuns: 200, seed: 13 },
  );
});

it('answers that come late, or after a command of the user, change nothing about what may be filled', () => {
  let filled = 0;
  fc.assert(
    fc.property(
      fc.array(action, { minLength: 60, maxLength: 200 }),
      fc.integer({ min: 1, max: 4 }),
      (actions, pace) => {
        const rig = new PaperRig();
        rig.open([['99.00', '2']], [['101.00', '2']]);
        rig.answersLate = true;
        for (const [index, each] of actions.entries()) {
          rig.nowMs += 1;
          act(rig, each);
          if (index % pace === 0) rig.answerOne();
        }
        rig.answerAll();
        filled += rig.fills.length;
        checkOrders(rig);
        checkTrades(rig);
        const again = new MarketCore(RIG_SETTINGS, RIG_START_MS);
        expect(rig.journal.flatMap((event) => again.step(event))).toEqual(rig.decided);
      },
    ),
    { numRuns: 200, seed: 17 },
  );
  expect(filled).toBeGreaterThan(500);
});

/** No public trade fills more than its size, whoever waits for the database. */
function checkTrades(rig: PaperRig): void {
  const left = new Map<string, bigint>();
  for (const event of rig.journal) {
    if (event.type === 'trades') for (const { id, size: traded } of event.trades) left.set(id, exactly(traded));
  }
  for (const { market, quantity } of rig.fills) {
    if (market.tradeId !== null) left.set(market.tradeId, left.get(market.tradeId)! - exactly(quantity));
  }
  for (const rest of left.values()) expect(rest >= 0n).toBe(true);
}
