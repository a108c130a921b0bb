import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bookOf, BTC_USDT } from '../../testing/orders.ts';
import { BOOK_AGE_LIMIT_MS, isFresh, referencePrice } from './books.ts';
import { applyFill, emptyTally, holdUnits } from './fill-math.ts';
import type { Rates } from './fill-math.ts';
import { fixed, ONE, plain, toStep } from './fixed.ts';
import type { Fixed } from './fixed.ts';
import { createIds, isOrderId } from './ids.ts';
import { beyond, protectionFromBook, protectionOfStop, walk } from './pricing.ts';
import { hashOf } from './store.ts';

const LEVELS = [
  { price: fixed('100'), size: fixed('1') },
  { price: fixed('101'), size: fixed('2') },
];
const RATES: Rates = { maker: 1n, makerScale: 3, taker: 2n, takerScale: 3, flat: 0n };

describe('a walk through the book', () => {
  const wish = { side: 'buy' as const, quantity: null, budget: null, limit: null, lot: fixed('0.01') };
  const shown = (of: ReturnType<typeof walk>) => [
    of.matches.map((match) => `${plain(match.quantity)}@${plain(match.price)}`),
    of.complete,
  ];
  it.each<[string, Parameters<typeof walk>[1], unknown]>([
    ['takes the best first', { ...wish, quantity: fixed('2') }, [['1@100', '1@101'], true]],
    ['stops at the limit', { ...wish, quantity: fixed('2'), limit: fixed('100') }, [['1@100'], false]],
    ['ends with the book', { ...wish, quantity: fixed('9') }, [['1@100', '2@101'], false]],
    ['spends a budget to the last lot', { ...wish, budget: fixed('150') }, [['1@100', '0.49@101'], true]],
    ['buys nothing with less than a lot costs', { ...wish, budget: fixed('0.99') }, [[], false]],
  ])('%s', (_name, given, expected) => expect(shown(walk(LEVELS, given))).toEqual(expected));
});

describe('protection', () => {
  it('lies one percent beyond the worst price that the size touches, on a tick', () => {
    const order = { side: 'buy' as const, quantity: fixed('2'), budget: null };
    expect(plain(protectionFromBook(order, bookOf(), BTC_USDT)!)).toBe('101.1');
    expect(plain(protectionFromBook({ ...order, side: 'sell' }, bookOf(), BTC_USDT)!)).toBe('98.91');
    expect(protectionFromBook(order, bookOf({ asks: [] }), BTC_USDT)).toBeNull();
  });

  it('of a stop lies five percent beyond its trigger, of a trailing one beyond where it can be at worst', () => {
    const market = { account: 'paper', venue: 'binance', symbol: 'BTC/USDT', quantity: '1' } as const;
    const stop = { ...market, side: 'sell', type: 'stop', stopPrice: '90' } as const;
    expect(plain(protectionOfStop(stop, null, BTC_USDT)!)).toBe('85.5');
    const trailing = { ...market, side: 'buy', type: 'trailing_stop', trailingDelta: 200 } as const;
    expect(plain(protectionOfStop(trailing, bookOf(), BTC_USDT)!)).toBe('107.1');
    expect(protectionOfStop(trailing, null, BTC_USDT)).toBeNull();
    expect(plain(protectionOfStop({ ...trailing, activationPrice: '95' }, null, BTC_USDT)!)).toBe('101.74');
  });

  it('is never better than the price it protects, and never further away than it says', () => {
    const price = fc.bigInt({ min: 1n, max: 10n ** 24n });
    const tick = fc.option(fc.bigInt({ min: 1n, max: 10n ** 20n }), { nil: null });
    fc.assert(
      fc.property(price, tick, fc.bigInt({ min: 0n, max: 5_000n }), (given, step, bips) => {
        const [high, low] = [beyond(given, 'buy', bips, step), beyond(given, 'sell', bips, step)];
        expect(high >= given && high * 10_000n <= given * (10_000n + bips)).toBe(true);
        expect(low <= given && low * 10_000n >= given * (10_000n - bips)).toBe(true);
      }),
    );
  });

  it('needs a book that is live and young', () => {
    expect(isFresh(bookOf())).toBe(true);
    for (const status of ['stale', 'resyncing', 'down'] as const) expect(isFresh(bookOf({ status }))).toBe(false);
    expect(isFresh(bookOf({ ageMs: BOOK_AGE_LIMIT_MS + 1 }))).toBe(false);
    expect(isFresh(null)).toBe(false);
  });

  it('knows the price of a market from its last trade, else from the middle of its book', () => {
    expect(referencePrice(bookOf({ last: '99' }))).toBe(fixed('99'));
    expect(referencePrice(bookOf({ last: null }))).toBe(fixed('100'));
    expect(referencePrice(bookOf({ last: null, bids: [] }))).toBeNull();
  });
});

describe('rounding', () => {
  const amount = fc.bigInt({ min: 1n, max: 10n ** 21n });
  const fill = fc.record({
    price: amount,
    quantity: amount,
    liquidity: fc.constantFrom('maker' as const, 'taker' as const),
  });
  const rates = fc.record({
    maker: fc.bigInt({ min: 0n, max: 999_999n }),
    makerScale: fc.constant(6),
    taker: fc.bigInt({ min: 0n, max: 999_999n }),
    takerScale: fc.constant(6),
    flat: fc.oneof(fc.constant(0n), amount),
  });
  const fills = fc.array(fill, { minLength: 1, maxLength: 12 });
  const side = fc.constantFrom('buy' as const, 'sell' as const);

  it('makes buyers pay the exact sum rounded up and sellers get it rounded down, however it was cut', () => {
    fc.assert(
      fc.property(side, fills, rates, (given, list, of) => {
        const tally = list.reduce((sum, each) => applyFill(sum, each, of).tally, emptyTally(given, of));
        const exact = list.reduce((sum, each) => sum + each.price * each.quantity, 0n);
        const whole = exact / ONE + (given === 'buy' && exact % ONE !== 0n ? 1n : 0n);
        expect(tally.quoteUnits).toBe(whole);
      }),
    );
  });

  it('comes to the same for each order of the fills', () => {
    const shuffled = fills.chain((list) => {
      const whole = { minLength: list.length, maxLength: list.length };
      return fc.tuple(fc.constant(list), fc.shuffledSubarray(list, whole));
    });
    fc.assert(
      fc.property(side, shuffled, rates, (given, [list, other], of) => {
        const free = { ...of, flat: given === 'sell' ? 0n : of.flat };
        const end = (some: typeof list) => {
          const tally = some.reduce((sum, each) => applyFill(sum, each, free).tally, emptyTally(given, free));
          // A seller's fee is taken from proceeds that are cut differently: at most one unit a fill.
          return given === 'buy' ? tally : { ...tally, feeQuote: 0n };
        };
        expect(end(other)).toEqual(end(list));
      }),
    );
  });

  it('takes fees of at least the rate and at most one unit a fill more, and never more than was received', () => {
    fc.assert(
      fc.property(side, fills, rates, (given, list, of) => {
        const free = { ...of, flat: 0n, maker: of.taker };
        let tally = emptyTally(given, free);
        for (const each of list) {
          const { tally: next, amounts } = applyFill(tally, each, free);
          expect(amounts.fee <= (given === 'buy' ? each.quantity : amounts.quote)).toBe(true);
          tally = next;
        }
        const [gross, fee] = given === 'buy' ? [tally.filled, tally.feeBase] : [tally.quoteUnits, tally.feeQuote];
        const exact = gross * of.taker;
        expect(fee * 1_000_000n >= exact && fee * 1_000_000n <= exact + BigInt(list.length) * 1_000_000n).toBe(true);
      }),
    );
  });

  it('never lets fills within the limit cost more than the hold', () => {
    fc.assert(
      fc.property(fills, rates, fc.bigInt({ min: 0n, max: 10n ** 20n }), (list, of, more) => {
        const quantity = list.reduce((sum, each) => sum + each.quantity, 0n);
        const limit = list.reduce((most, each) => (each.price > most ? each.price : most), 0n) + more;
        const tally = list.reduce((sum, each) => applyFill(sum, each, of).tally, emptyTally('buy', of));
        const hold = holdUnits({ side: 'buy', quantity, quoteQuantity: null, limit }, of.flat);
        expect(tally.quoteUnits + tally.feeQuote <= hold).toBe(true);
      }),
    );
  });

  it('of a flat fee takes it once, never more than a sale brings', () => {
    const flat: Rates = { ...RATES, flat: fixed('3') };
    const small = { price: fixed('1'), quantity: fixed('1'), liquidity: 'taker' as const };
    let tally = emptyTally('sell', flat);
    const taken: Fixed[] = [];
    for (let count = 0; count < 5; count++) {
      const next = applyFill(tally, small, flat);
      taken.push(next.amounts.fee);
      tally = next.tally;
    }
    expect(taken.map(plain)).toEqual(['1', '1', '1', '0.008', '0.002']);
  });

  it('to a step stays next to the value', () => {
    fc.assert(
      fc.property(amount, amount, (value, step) => {
        const [low, high] = [toStep(value, step, 'down'), toStep(value, step, 'up')];
        expect(low <= value && value <= high && high - low <= step && low % step === 0n).toBe(true);
      }),
    );
  });

  it('reads and writes every fixed number without a change', () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 10n ** 36n }), (value) => fixed(plain(value)) === value));
  });
});

describe('ids', () => {
  it('sort in the order of making, also within a millisecond and when the clock steps back', () => {
    const times = [5, 5, 5, 9, 7, 7, 10];
    const newId = createIds({ now: () => times.shift() ?? 10, monotonic: () => 0 });
    const ids = Array.from({ length: 10_000 }, newId);
    expect(ids.every(isOrderId)).toBe(true);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.toSorted()).toEqual(ids);
  });

  it.each(['', '0', '-1', "x' or 1=1", '018F0000-0000-7000-8000-000000000000', '018f0000-0000-4000-8000-000000000000'])(
    'of others are not ours: %j',
    (text) => expect(isOrderId(text)).toBe(false),
  );
});

describe('the hash of a request', () => {
  it('is the same for the same meaning and another for another', () => {
    expect(hashOf('place', { a: '1', b: { c: 2, d: undefined } })).toBe(hashOf('place', { b: { c: 2 }, a: '1' }));
    expect(hashOf('place', { a: '1' })).not.toBe(hashOf('amend', { a: '1' }));
    expect(hashOf('place', { a: '1' })).not.toBe(hashOf('place', { a: '1.0' }));
  });
});
