import { describe, expect, it } from 'vitest';
import type { Level } from '../../../protocol/messages.ts';
import {
  ASKS,
  BIDS,
  PaperRig,
  RIG_SETTINGS,
  newWorkingOrder,
  openedRig,
  restartedRig,
} from '../../../testing/paper-rig.ts';
import { coarse, plain } from '../fixed.ts';
import { walk } from '../pricing.ts';

describe('takers', () => {
  it('an order does not see the book before its latency has passed, nor the book from before', () => {
    const rig = openedRig();
    const id = rig.place({ side: 'buy', type: 'market', quantity: '1' });
    rig.wait(20);
    rig.book(BIDS, [['105.00', '9']]);
    expect(rig.seen(id)).toBe('submitted 0/1');
    rig.wait(40);
    expect(rig.fillsOf(id)).toEqual(['taker 1 @ 105']);
    expect(rig.fills[0]!.market).toMatchObject({ seq: 3, latencyMs: 50, ageMs: 30, exchangeSeq: 3, tradeId: null });
  });

  it('walks the book to the limit and rests with the remainder', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'buy', type: 'limit', price: '101', quantity: '3' });
    expect(rig.fillsOf(id)).toEqual(['taker 2 @ 101']);
    expect(rig.seen(id)).toBe('partially_filled 2/3');
  });

  it('what one paper order ate is not there for the next one until the level changes', () => {
    const rig = openedRig();
    rig.send({ side: 'buy', type: 'limit', price: '101', quantity: '1.5', timeInForce: 'IOC' });
    const second = rig.send({ side: 'buy', type: 'limit', price: '101', quantity: '1', timeInForce: 'IOC' }, 'u2');
    expect(rig.fillsOf(second)).toEqual(['taker 0.5 @ 101']);
    expect(rig.seen(second)).toBe('expired 0.5/1');
    rig.book(BIDS, ASKS);
    const third = rig.send({ side: 'buy', type: 'limit', price: '101', quantity: '1', timeInForce: 'IOC' });
    expect(rig.seen(third)).toBe('expired 0/1');
    rig.change([], [['101.00', '2.5']]);
    const fourth = rig.send({ side: 'buy', type: 'limit', price: '101', quantity: '1', timeInForce: 'IOC' });
    expect(rig.seen(fourth)).toBe('filled 1/1');
  });

  it('a level that came back in another size after a gap is whole again, one that did not change is not', () => {
    const rig = openedRig();
    rig.send({ side: 'buy', type: 'limit', price: '102', quantity: '3', timeInForce: 'IOC' });
    rig.state('book', false);
    rig.open(BIDS, [
      ['101.00', '2'],
      ['102.00', '4'],
    ]);
    const id = rig.send({ side: 'buy', type: 'limit', price: '102', quantity: '9', timeInForce: 'IOC' });
    expect(rig.fillsOf(id)).toEqual(['taker 4 @ 102']);
  });

  it('a market order stops at its protection price and gives the rest up', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'sell', type: 'market', quantity: '4', protectionPrice: '98.5' });
    expect(rig.fillsOf(id)).toEqual(['taker 2 @ 99']);
    expect(rig.order(id)).toMatchObject({ status: 'expired', reason: { code: 'remainder_expired' } });
  });

  it('fill or kill leaves the book untouched when not everything is there', () => {
    const rig = openedRig();
    const killed = rig.send({ side: 'buy', type: 'limit', price: '101', quantity: '2.001', timeInForce: 'FOK' });
    expect(rig.order(killed)).toMatchObject({ status: 'expired', reason: { code: 'fok_not_filled' } });
    const whole = rig.send({ side: 'buy', type: 'limit', price: '101', quantity: '2', timeInForce: 'FOK' });
    expect(rig.seen(whole)).toBe('filled 2/2');
  });

  it('post-only that would take is rejected, one tick away it rests', () => {
    const rig = openedRig();
    const takes = rig.send({ side: 'buy', type: 'limit', price: '101', postOnly: true });
    expect(rig.order(takes)).toMatchObject({ status: 'rejected', reason: { code: 'post_only_would_take' } });
    const rests = rig.send({ side: 'buy', type: 'limit', price: '100.99', postOnly: true });
    expect(rig.seen(rests)).toBe('accepted 0/1');
  });

  it('a budget buys whole lots and never costs more than it is', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'buy', type: 'market', quoteQuantity: '250' });
    expect(rig.fillsOf(id)).toEqual(['taker 2 @ 101', 'taker 0.47 @ 102']);
  });

  it('a budget in a market without lots is spent to the last unit, exactly as a quote of it says', () => {
    const asks: readonly Level[] = [
      ['0.100000000000000007', '333.333333333333333333'],
      ['0.110000000000000001', '777.777777777777777777'],
      ['0.13', '5000'],
    ];
    const rig = new PaperRig({ lot: 1n });
    rig.open([['0.09', '1']], asks);
    const id = rig.send({ side: 'buy', type: 'market', quoteQuantity: '123.456789012345678901' });
    const levels = asks.map(([price, size]) => ({ price: coarse(price), size: coarse(size) }));
    const wish = {
      side: 'buy',
      quantity: null,
      budget: coarse('123.456789012345678901'),
      limit: null,
      lot: 1n,
    } as const;
    const quoted = walk(levels, wish);
    expect(quoted.complete).toBe(true);
    expect(rig.fillsOf(id)).toEqual(
      quoted.matches.map(({ price, quantity }) => `taker ${plain(quantity)} @ ${plain(price)}`),
    );
  });

  it('a stream that is not live, a crossed book or an old one fills nothing and says so', () => {
    for (const doubt of [
      (rig: PaperRig) => rig.state('book', false),
      (rig: PaperRig) => rig.state('trades', false),
      (rig: PaperRig) => rig.change([['101.50', '1']], []),
      (rig: PaperRig) => rig.wait(RIG_SETTINGS.bookAgeLimitMs + 1),
    ]) {
      const rig = openedRig();
      doubt(rig);
      const id = rig.send({ side: 'buy', type: 'market', quantity: '1' });
      rig.wait(3_000);
      expect(rig.order(id)).toMatchObject({ status: 'submitted', waiting: 'market_data' });
      rig.open(BIDS, ASKS);
      rig.wait(100);
      expect(rig.seen(id)).toBe('filled 1/1');
    }
  });
});

describe('resting orders', () => {
  it('fills only what trades at its price leave after everybody before it', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'buy', type: 'limit', price: '99', quantity: '1' });
    rig.trades([['99.00', '1.5', 'sell']]);
    expect(rig.seen(id)).toBe('accepted 0/1');
    rig.wait(1);
    rig.trades([['99.00', '5', 'buy']]);
    expect(rig.seen(id)).toBe('accepted 0/1');
    rig.trades([['99.00', '0.75', 'sell']]);
    expect(rig.fillsOf(id)).toEqual(['maker 0.25 @ 99']);
    expect(rig.fills[0]!.market).toMatchObject({ stream: RIG_SETTINGS.tradesStream, tradeId: 't3' });
    rig.trades([['99.00', '4', 'sell']]);
    expect(rig.seen(id)).toBe('filled 1/1');
  });

  it('a trade that the book showed first does not move the queue twice', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'buy', type: 'limit', price: '99', quantity: '1' });
    rig.change([['99.00', '0']], []);
    rig.trades([['99.00', '2', 'sell']]);
    expect(rig.seen(id)).toBe('accepted 0/1');
    rig.trades([['99.00', '0.4', 'sell']]);
    expect(rig.fillsOf(id)).toEqual(['maker 0.4 @ 99']);
  });

  it('trades from before it rested do not fill it', () => {
    const rig = openedRig();
    const beforeMs = rig.nowMs;
    const id = rig.send({ side: 'buy', type: 'limit', price: '99.5', quantity: '1' });
    rig.trades([['99.00', '3', 'sell', beforeMs]]);
    expect(rig.seen(id)).toBe('accepted 0/1');
    rig.trades([['99.00', '3', 'sell']]);
    expect(rig.fillsOf(id)).toEqual(['maker 1 @ 99.5']);
  });

  it('shares one trade among all orders that it reaches, best price and first come first', () => {
    const rig = openedRig();
    const second = rig.send({ side: 'buy', type: 'limit', price: '99.4', quantity: '1' });
    const third = rig.send({ side: 'buy', type: 'limit', price: '99.4', quantity: '1' }, 'u2');
    const first = rig.send({ side: 'buy', type: 'limit', price: '99.5', quantity: '1' }, 'u3');
    rig.trades([['99.40', '2.25', 'sell']]);
    expect([first, second, third].map((id) => rig.seen(id))).toEqual([
      'filled 1/1',
      'filled 1/1',
      'partially_filled 0.25/1',
    ]);
  });

  it('a book that comes to its price fills it at its own price, as far as the book goes, once', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'sell', type: 'limit', price: '100', quantity: '5' });
    rig.change([['100.50', '2']], []);
    expect(rig.fillsOf(id)).toEqual(['maker 2 @ 100']);
    rig.change([['97.00', '1']], []);
    expect(rig.seen(id)).toBe('partially_filled 2/5');
    rig.change([['100.50', '1']], []);
    expect(rig.seen(id)).toBe('partially_filled 3/5');
  });

  it('a level that falls out of sight is not taken for a level that is empty', () => {
    const rig = new PaperRig({ depth: 2 });
    rig.open(BIDS, ASKS);
    const id = rig.send({ side: 'buy', type: 'limit', price: '98', quantity: '1' });
    rig.change(
      [
        ['99.50', '1'],
        ['98.00', '0'],
      ],
      [],
    );
    rig.trades([['98.00', '4', 'sell']]);
    expect(rig.seen(id)).toBe('accepted 0/1');
    rig.trades([['98.00', '2', 'sell']]);
    expect(rig.fillsOf(id)).toEqual(['maker 1 @ 98']);
  });

  it('a price beyond the end of a book that shows everything has nobody before it', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'buy', type: 'limit', price: '97', quantity: '1' });
    rig.trades([['97.00', '0.5', 'sell']]);
    expect(rig.fillsOf(id)).toEqual(['maker 0.5 @ 97']);
  });

  it('an older state of an order does not undo a newer one', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'buy', type: 'limit', price: '99.5', quantity: '1' });
    const old = rig.orders.get(id)!;
    rig.trades([['99.00', '0.75', 'sell']]);
    rig.feed({ type: 'order', nowMs: rig.nowMs, working: old });
    rig.trades([['99.00', '5', 'sell']]);
    expect(rig.fillsOf(id)).toEqual(['maker 0.75 @ 99.5', 'maker 0.25 @ 99.5']);
  });

  it('after a restart it stands where it stood, takes nothing anew, and its fills go on in number', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'buy', type: 'limit', price: '99', quantity: '1' });
    rig.trades([['99.00', '2.25', 'sell']]);
    rig.wait(1_100);
    const next = restartedRig(rig);
    next.open([['99.00', '7']], [['99.00', '0']]);
    next.trades([['99.00', '0.25', 'sell']]);
    expect(next.fillsOf(id)).toEqual(['maker 0.25 @ 99', 'maker 0.25 @ 99']);
    expect(next.fills.map(({ tradeId }) => tradeId)).toEqual([`paper:${id}:0`, `paper:${id}:1`]);
  });

  it('after a restart it is a maker where the market has come to it', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'buy', type: 'limit', price: '99', quantity: '1' });
    const next = restartedRig(rig);
    next.open([['97.00', '1']], [['98.00', '0.5']]);
    expect(next.fillsOf(id)).toEqual(['maker 0.5 @ 99']);
  });

  it('a database whose clock is ahead does not hold an order up', () => {
    const rig = openedRig();
    const working = newWorkingOrder(
      'ahead',
      { side: 'buy', type: 'market', createdAt: rig.nowMs + 10_000 },
      { userId: 'u1', nowMs: rig.nowMs + 10_000 },
    );
    rig.orders.set('ahead', working);
    rig.feed({ type: 'order', nowMs: rig.nowMs, working });
    rig.wait(60);
    expect(rig.seen('ahead')).toBe('filled 1/1');
  });

  it('an outage is told to many orders in portions', () => {
    const rig = openedRig();
    const ids = Array.from({ length: 80 }, () => rig.send({ side: 'buy', type: 'limit', price: '98', quantity: '1' }));
    rig.state('book', false);
    rig.wait(2_000);
    const waiting = () => ids.filter((id) => rig.order(id).waiting !== null).length;
    expect(waiting()).toBe(50);
    rig.wait(30);
    expect(waiting()).toBe(80);
    rig.state('book', true);
    rig.wait(100);
    expect(waiting()).toBe(0);
  });

  it('a smaller size keeps the place, a larger one or another price gives it up', () => {
    for (const { change, fills } of [
      { change: { quantity: '0.5' }, fills: ['maker 0.5 @ 99'] },
      { change: { quantity: '3' }, fills: [] },
      { change: { price: '98' }, fills: [] },
    ]) {
      const rig = openedRig();
      const id = rig.send({ side: 'buy', type: 'limit', price: '99', quantity: '1' });
      rig.change([['99.00', '10']], []);
      rig.amend(id, change);
      rig.wait(60);
      rig.trades([['99.00', '2.5', 'sell']]);
      expect(rig.fillsOf(id)).toEqual(fills);
    }
  });

  it('a new price may take what the old one could not', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'buy', type: 'limit', price: '99', quantity: '1' });
    rig.amend(id, { price: '101' });
    rig.wait(60);
    expect(rig.fillsOf(id)).toEqual(['taker 1 @ 101']);
  });

  it('fills that come before a cancellation takes effect count', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'buy', type: 'limit', price: '99.5', quantity: '1' });
    rig.cancel(id);
    rig.wait(10);
    rig.trades([['99.00', '0.4', 'sell']]);
    rig.wait(100);
    rig.trades([['99.00', '9', 'sell']]);
    expect(rig.seen(id)).toBe('canceled 0.4/1');
  });

  it('expires at its time, whether or not there is a market', () => {
    const rig = openedRig();
    const expireAt = rig.nowMs + 5_000;
    const id = rig.send({ side: 'buy', type: 'limit', price: '99', timeInForce: 'GTD', expireAt });
    rig.state('book', false);
    rig.wait(4_900);
    expect(rig.order(id)).toMatchObject({ status: 'accepted', waiting: 'market_data' });
    rig.wait(100);
    expect(rig.order(id)).toMatchObject({ status: 'expired', reason: { code: 'gtd_expired' } });
  });

  it('nothing is filled by what happened while the market was in doubt', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'buy', type: 'limit', price: '99.5', quantity: '1' });
    rig.state('book', false);
    rig.trades([['98.00', '9', 'sell']]);
    rig.open(BIDS, ASKS);
    expect(rig.seen(id)).toBe('accepted 0/1');
  });
});

it('an order that was closed behind our back is let go', () => {
  const rig = openedRig();
  const id = rig.send({ side: 'buy', type: 'limit', price: '99.5', quantity: '1' });
  rig.alter(id, { status: 'canceled' });
  rig.trades([['99.00', '1', 'sell']]);
  expect(rig.fills).toEqual([]);
  expect(rig.core.orderCount).toBe(0);
});

it('late news of an order that is over do not raise it', () => {
  const rig = openedRig();
  const id = rig.place({ side: 'buy', type: 'market', quantity: '1' });
  const submitted = rig.orders.get(id)!;
  rig.wait(60);
  expect(rig.seen(id)).toBe('filled 1/1');
  const decisions = rig.decided.length;
  rig.feed({ type: 'order', nowMs: rig.nowMs, working: submitted });
  rig.wait(1_000);
  expect(rig.decided).toHaveLength(decisions);
  expect(rig.core.orderCount).toBe(0);
});

it('what an order was filled with while an answer was late is told after it', () => {
  const rig = openedRig();
  const id = rig.place({ side: 'buy', type: 'limit', price: '99.5', quantity: '1' });
  rig.answersLate = true;
  rig.wait(60);
  rig.trades([['99.00', '0.25', 'sell']]);
  rig.trades([['99.00', '5', 'sell']]);
  expect(rig.decided.map(({ step }) => step.do)).toEqual(['accept']);
  rig.answerAll();
  expect(rig.seen(id)).toBe('filled 1/1');
  expect(rig.fillsOf(id)).toEqual(['maker 0.25 @ 99.5', 'maker 0.75 @ 99.5']);
});

it('more orders than a market takes are rejected, not forgotten', () => {
  const rig = openedRig({ ordersLimit: 1 });
  rig.send({ side: 'buy', type: 'limit', price: '99.5' });
  const id = rig.send({ side: 'buy', type: 'limit', price: '99.5' });
  expect(rig.order(id)).toMatchObject({ status: 'rejected', reason: { code: 'engine_full' } });
});
