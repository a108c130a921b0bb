import { describe, expect, it } from 'vitest';
import type { Level } from '../../../protocol/messages.ts';
import { ASKS, BIDS, PaperRig, openedRig } from '../../../testing/paper-rig.ts';

describe('stops', () => {
  it('a stop waits for its price, then takes what the trade left', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'sell', type: 'stop', stopPrice: '99', quantity: '3' });
    expect(rig.seen(id)).toBe('held 0/3');
    rig.wait(5);
    rig.trades([['99.01', '1', 'sell']]);
    expect(rig.seen(id)).toBe('held 0/3');
    rig.trades([['99.00', '1.5', 'sell']]);
    // The book still shows 2 at 99, of which the trade took 1.5.
    expect(rig.fillsOf(id)).toEqual(['taker 0.5 @ 99', 'taker 2.5 @ 98']);
  });

  it('a newer book has the trade in it already', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'sell', type: 'stop', stopPrice: '99', quantity: '3' });
    rig.change([['99.00', '0.5']], []);
    rig.trades([['99.00', '1.5', 'sell']]);
    expect(rig.fillsOf(id)).toEqual(['taker 0.5 @ 99', 'taker 2.5 @ 98']);
  });

  it.each([
    { type: 'stop', side: 'buy', stopPrice: '103', misses: '102.99', meets: '103' },
    { type: 'stop', side: 'sell', stopPrice: '97', misses: '97.01', meets: '97' },
    { type: 'take_profit', side: 'sell', stopPrice: '103', misses: '102.99', meets: '103' },
    { type: 'take_profit', side: 'buy', stopPrice: '97', misses: '97.01', meets: '97' },
  ] as const)('$type $side fires on the right side of its price', ({ type, side, stopPrice, misses, meets }) => {
    const rig = openedRig();
    const id = rig.send({ side, type, stopPrice, quantity: '1' });
    rig.trades([[misses, '1', 'sell']]);
    expect(rig.order(id).status).toBe('held');
    rig.trades([[meets, '0.001', 'sell']]);
    expect(rig.order(id).status).toBe('filled');
  });

  it.each([
    { trigger: 'bid_ask', side: 'sell', stopPrice: '98.5', book: [['98.50', '1']] },
    { trigger: 'mid', side: 'sell', stopPrice: '99.75', book: [['98.50', '1']] },
  ] as const)('a stop on $trigger looks at the book and not at trades', ({ trigger, side, stopPrice, book }) => {
    const rig = openedRig();
    const id = rig.send({ side, type: 'stop', trigger, stopPrice, quantity: '0.1' });
    rig.trades([['90.00', '1', 'sell']]);
    expect(rig.order(id).status).toBe('held');
    rig.book([...book] as unknown as Level[], ASKS);
    expect(rig.order(id).status).toBe('filled');
  });

  it('a trade from before it was armed does not set a stop off', () => {
    const rig = openedRig();
    const beforeMs = rig.nowMs;
    rig.wait(10);
    rig.change([['98.00', '6']], []);
    const id = rig.send({ side: 'sell', type: 'stop', stopPrice: '99', quantity: '1' });
    rig.trades([['98.00', '1', 'sell', beforeMs]]);
    expect(rig.order(id).status).toBe('held');
  });

  it('a trailing stop is not set off after a gap by a price that came before its extreme', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'sell', type: 'trailing_stop', trailingDelta: 100, quantity: '1' });
    rig.wait(10);
    const atMs = rig.nowMs;
    rig.trades([
      ['100', '1', 'buy'],
      ['110', '1', 'buy'],
    ]);
    rig.state('trades', false);
    rig.trades([['100', '1', 'buy', atMs]], { whole: true });
    rig.state('trades', true);
    expect(rig.order(id).status).toBe('held');
  });

  it('a stop that was moved to where the price is fires at once', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'sell', type: 'stop', stopPrice: '95', quantity: '1' });
    rig.trades([['98.00', '1', 'sell']]);
    expect(rig.order(id).status).toBe('held');
    rig.alter(id, { stopPrice: '98.5' });
    rig.feed({ type: 'order', nowMs: rig.nowMs, working: rig.orders.get(id)! });
    expect(rig.order(id).status).toBe('filled');
  });

  it('a stop limit that cannot fill within its limit rests there', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'sell', type: 'stop_limit', stopPrice: '99', price: '100', quantity: '1' });
    rig.trades([['99.00', '1', 'sell']]);
    expect(rig.order(id).status).toBe('triggered');
    rig.wait(1);
    rig.trades([['100.50', '0.5', 'buy']]);
    expect(rig.fillsOf(id)).toEqual(['maker 0.5 @ 100']);
  });

  it('a trailing stop follows upwards only, from its activation on, and survives a restart', () => {
    const rig = openedRig();
    const fields = {
      side: 'sell',
      type: 'trailing_stop',
      trailingDelta: 100,
      activationPrice: '105',
      quantity: '1',
    } as const;
    const id = rig.send(fields);
    for (const price of ['104', '90', '105', '110', '109']) {
      rig.wait(1_100);
      rig.trades([[price, '0.001', 'buy']]);
    }
    rig.wait(1_100);
    expect(rig.order(id)).toMatchObject({ status: 'held', stopPrice: '108.9' });
    const memo = rig.orders.get(id)!.memo;
    const next = new PaperRig();
    next.nowMs = rig.nowMs;
    next.orders.set(id, { ...rig.orders.get(id)!, memo });
    next.feed({ type: 'order', nowMs: next.nowMs, working: next.orders.get(id)! });
    next.open(BIDS, ASKS);
    next.trades([['108.91', '0.001', 'sell']]);
    expect(next.order(id).status).toBe('held');
    next.trades([['108.90', '0.001', 'sell']]);
    expect(next.seen(id)).toBe('filled 1/1');
  });

  it('a stop that was met while nobody watched fires when the snapshot shows it, and says so', () => {
    const rig = openedRig();
    const id = rig.send({ side: 'sell', type: 'stop', stopPrice: '99', quantity: '1' });
    rig.state('trades', false);
    rig.wait(1_000);
    rig.trades(
      [
        ['98.50', '1', 'sell', rig.nowMs - 500],
        ['100', '1', 'buy', rig.nowMs - 400],
      ],
      { whole: true },
    );
    expect(rig.order(id).status).toBe('held');
    rig.state('trades', true);
    expect(rig.order(id).status).toBe('filled');
    const trigger = rig.decided.find(({ step }) => step.do === 'trigger')!.step;
    expect(trigger).toMatchObject({ evidence: { price: '98.5', source: 'last_after_gap' } });
  });
});

describe('self-trade prevention', () => {
  const resting = { side: 'sell', type: 'limit', price: '101', quantity: '1' } as const;
  it.each([
    { mode: 'none', maker: 'accepted 0/1', taker: 'partially_filled 2/4' },
    { mode: 'expire_taker', maker: 'accepted 0/1', taker: 'expired_in_match 2/4' },
    { mode: 'expire_maker', maker: 'expired_in_match 0/1', taker: 'partially_filled 2/4' },
    { mode: 'expire_both', maker: 'expired_in_match 0/1', taker: 'expired_in_match 2/4' },
    { mode: 'decrement', maker: 'expired_in_match 0/1', taker: 'partially_filled 2/4' },
  ] as const)('$mode', ({ mode, maker, taker }) => {
    const rig = openedRig();
    const own = rig.send(resting);
    const other = rig.send(resting, 'u2');
    const id = rig.send({ side: 'buy', type: 'limit', price: '101', quantity: '4', selfTradePrevention: mode });
    expect([rig.seen(own), rig.seen(id), rig.seen(other)]).toEqual([maker, taker, 'accepted 0/1']);
    expect(rig.order(id).preventedQuantity).toBe(mode === 'decrement' ? '1' : '0');
  });

  it('what was prevented is not bought elsewhere', () => {
    const rig = openedRig();
    rig.send(resting);
    const id = rig.send({ side: 'buy', type: 'limit', price: '102', quantity: '4' });
    expect(rig.fillsOf(id)).toEqual(['taker 2 @ 101', 'taker 1 @ 102']);
    expect(rig.seen(id)).toBe('expired_in_match 3/4');
  });

  it('what was prevented on both sides ends both when nothing is left', () => {
    const rig = openedRig();
    rig.change([], [['100.50', '0']]);
    const own = rig.send({ side: 'sell', type: 'limit', price: '100', quantity: '1' });
    const id = rig.send({ side: 'buy', type: 'limit', price: '100', quantity: '1' });
    expect([rig.seen(own), rig.seen(id)]).toEqual(['expired_in_match 0/1', 'expired_in_match 0/1']);
  });
});
