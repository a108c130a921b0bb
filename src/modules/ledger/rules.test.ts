import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AMOUNT_LIMIT } from './amounts.ts';
import { decideCommand, decideTrade } from './rules.ts';
import type { LedgerCommand, Leg, Trade } from './rules.ts';
import { encodeCommand } from './store.ts';

const USER = '00000000-0000-7000-8000-00000000000a';
const OTHER = '00000000-0000-7000-8000-00000000000b';
const LEG: Leg = { asset: 'BTC', amount: 1n, code: 'test', from: { owner: USER }, to: { house: 'fee' } };
const COMMAND: LedgerCommand = { key: { scope: USER, key: 'k' }, actor: 'test', kind: 'test', legs: [LEG] };

/** What a caller without types could hand in. */
function withLeg(change: Record<string, unknown>): LedgerCommand {
  return { ...COMMAND, legs: [{ ...LEG, ...change } as Leg] };
}

describe('a command at the door', () => {
  it('is let in when it is sound', () => {
    expect(decideCommand(COMMAND)).toMatchObject({ ok: true });
  });

  const AMOUNTS: readonly unknown[] = [
    0n,
    -1n,
    AMOUNT_LIMIT,
    1,
    0.1,
    '1',
    '1e5',
    Number.NaN,
    Number.POSITIVE_INFINITY,
    null,
    undefined,
    true,
    [],
    ['5'],
    {},
    new Date(0),
  ];
  it.each(AMOUNTS.map((amount) => [amount]))('is refused with the amount %s', (amount) => {
    expect(decideCommand(withLeg({ amount }))).toMatchObject({ code: 'invalid_amount' });
    const hold = { owner: USER, asset: 'BTC', amount: amount as bigint, reason: { purpose: 'order', reference: '1' } };
    expect(decideCommand({ ...COMMAND, legs: [], holds: [hold] })).toMatchObject({ code: 'invalid_amount' });
    if (amount === undefined || amount === null) return;
    expect(decideCommand({ ...COMMAND, legs: [], releases: [hold] })).toMatchObject({ code: 'invalid_amount' });
  });

  const REFUSED: readonly (readonly [string, LedgerCommand, string])[] = [
    ['an asset in lower case', withLeg({ asset: 'btc' }), 'unknown_asset'],
    ['an asset with a look-alike letter', withLeg({ asset: 'ВTC' }), 'unknown_asset'],
    ['an owner who is no user id', withLeg({ from: { owner: '1' } }), 'invalid_command'],
    ['an owner in upper case', withLeg({ from: { owner: USER.toUpperCase() } }), 'invalid_command'],
    ['a house account of no kind', withLeg({ to: { house: 'user' } }), 'invalid_command'],
    ['a NUL in the key', { ...COMMAND, key: { scope: USER, key: 'a\u0000' } }, 'invalid_command'],
    ['half a character in the key', { ...COMMAND, key: { scope: USER, key: 'a\ud800' } }, 'invalid_command'],
    ['an empty key', { ...COMMAND, key: { scope: USER, key: '' } }, 'invalid_command'],
    ['a key of 10 KB', { ...COMMAND, key: { scope: USER, key: 'k'.repeat(10_240) } }, 'invalid_command'],
    ['too many legs', { ...COMMAND, legs: Array.from({ length: 65 }, () => LEG) }, 'invalid_command'],
    [
      'a hold of the house',
      withLeg({ from: { house: 'fee' }, to: { owner: USER }, hold: { purpose: 'o', reference: '1' } }),
      'invalid_command',
    ],
    ['legs beside a reversal', { ...COMMAND, reverses: '1' }, 'invalid_command'],
    ['a reversal of no journal', { ...COMMAND, legs: [], reverses: '1;drop' }, 'invalid_command'],
  ];
  it.each(REFUSED)('is refused with %s', (_, command, code) => {
    expect(decideCommand(command)).toMatchObject({ ok: false, code });
  });

  it('travels with its amounts as text, so that no parser on the way can round them', () => {
    const hold = { owner: USER, asset: 'BTC', amount: 5n, reason: { purpose: 'order', reference: '1' } };
    const one: unknown = JSON.parse(encodeCommand({ ...COMMAND, holds: [hold] }));
    expect(one).toMatchObject({ legs: [{ amount: '1', fromOwner: USER, toKind: 'fee' }], holds: [{ amount: '5' }] });
  });
});

describe('a trade', () => {
  const trades: fc.Arbitrary<Trade> = fc
    .record({
      amount: fc.bigInt({ min: 1n, max: 10n ** 30n }),
      received: fc.bigInt({ min: 0n, max: 10n ** 30n }),
      remainder: fc.constantFrom(0n, 1n),
      fees: fc.tuple(fc.bigInt({ min: 0n, max: 1_000n }), fc.bigInt({ min: 0n, max: 1_000n })),
      feeAssets: fc.tuple(fc.constantFrom('BTC', 'USDT', 'BNB'), fc.constantFrom('BTC', 'USDT', 'BNB')),
      held: fc.tuple(fc.boolean(), fc.boolean()),
      house: fc.boolean(),
    })
    .map(({ amount, received, remainder, fees, feeAssets, held, house }) => ({
      base: { asset: 'BTC', amount },
      quote: { asset: 'USDT', paid: received + remainder, received },
      buyer: {
        party: { owner: USER },
        fee: { asset: feeAssets[0], amount: fees[0] },
        ...(held[0] ? { hold: { purpose: 'order', reference: 'b' }, releaseRest: true } : {}),
      },
      seller: house
        ? { party: { house: 'clearing' as const } }
        : {
            party: { owner: OTHER },
            fee: { asset: feeAssets[1], amount: fees[1] },
            ...(held[1] ? { hold: { purpose: 'order', reference: 's' } } : {}),
          },
    }));

  it('neither makes nor loses a unit of any asset, and moves exactly what was agreed', () => {
    fc.assert(
      fc.property(trades, (trade) => {
        const decided = decideTrade(trade);
        if (!decided.ok) throw new Error(decided.code);
        const changes = new Map<string, bigint>();
        for (const leg of decided.value.legs) {
          expect(leg.amount > 0n).toBe(true);
          for (const [party, sign] of [
            [leg.from, -1n],
            [leg.to, 1n],
          ] as const) {
            const name = `${'owner' in party ? party.owner : party.house} ${leg.asset}`;
            changes.set(name, (changes.get(name) ?? 0n) + sign * leg.amount);
          }
        }
        const sums = new Map<string, bigint>();
        for (const [name, change] of changes) {
          const asset = name.split(' ')[1]!;
          sums.set(asset, (sums.get(asset) ?? 0n) + change);
        }
        expect([...sums.values()].every((sum) => sum === 0n)).toBe(true);
        const feesIn = (asset: string) => (trade.buyer.fee?.asset === asset ? trade.buyer.fee.amount : 0n);
        expect(changes.get(`${USER} BTC`) ?? 0n).toBe(trade.base.amount - feesIn('BTC'));
        expect(-(changes.get(`${USER} USDT`) ?? 0n)).toBe(trade.quote.paid + feesIn('USDT'));
      }),
    );
  });

  it('is refused when the seller would receive more than the buyer pays', () => {
    const side = { party: { owner: USER } };
    const trade = {
      base: { asset: 'BTC', amount: 1n },
      quote: { asset: 'USDT', paid: 1n, received: 2n },
      buyer: side,
      seller: side,
    };
    expect(decideTrade(trade)).toMatchObject({ ok: false, code: 'invalid_amount' });
  });

  it('pays its fee from the hold only in the asset that is held', () => {
    const hold = { purpose: 'order', reference: 'b' };
    const trade = (asset: string): Trade => ({
      base: { asset: 'BTC', amount: 10n },
      quote: { asset: 'USDT', paid: 5n, received: 5n },
      buyer: { party: { owner: USER }, hold, fee: { asset, amount: 1n } },
      seller: { party: { house: 'clearing' } },
    });
    const feeLeg = (asset: string) => {
      const decided = decideTrade(trade(asset));
      return decided.ok ? decided.value.legs.find((leg) => leg.code === 'fee') : undefined;
    };
    expect(feeLeg('USDT')).toMatchObject({ hold });
    expect(feeLeg('BTC')).not.toHaveProperty('hold');
  });
});
