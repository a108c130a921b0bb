import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeCommand } from '../ledger/store.ts';
import { BTC, TEST_ASSETS, USDT, createFundedUser, createTestLedger, expectSound } from '../../testing/ledger.ts';
import type { TestLedger } from '../../testing/ledger.ts';
import { decimalUnits, modelPosition } from '../../testing/position-model.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestDatabase, TestPostgres } from '../../testing/postgres.ts';
import { prepareGround, writeFills } from '../../testing/trading-ground.ts';
import type { GroundFill } from '../../testing/trading-ground.ts';
import { PositionSchema } from '../../protocol/trading.ts';
import { recomputePositions } from './index.ts';
import { selectPositions } from './position-store.ts';

let server: TestPostgres;
let at: TestDatabase;
let under: TestLedger;

beforeAll(async () => {
  server = await startTestPostgres();
  at = await server.createDatabase();
  under = await createTestLedger(await at.open());
  await prepareGround(at);
});
afterAll(async () => {
  await expectSound(under.database);
  await server.stop();
});

const ETH = 'PAPER:ETH';
const RUNS = Number(process.env.POSITION_RUNS ?? 60);

const positionsOf = (userId: string) =>
  under.database.read('test.positions', (queries) => selectPositions(queries, userId));

/** Whatever an engine might write; amounts need not fit together for the arithmetic to be right. */
function fills(base: string, quote = USDT) {
  const scale = TEST_ASSETS[base as keyof typeof TEST_ASSETS];
  const decimal = (units: bigint, places: number) => {
    const digits = units.toString().padStart(places + 1, '0');
    return places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`;
  };
  return fc
    .record({
      side: fc.constantFrom('buy' as const, 'buy' as const, 'sell' as const),
      price: fc.bigInt({ min: 1n, max: 10n ** 9n }).map((units) => decimal(units, 4)),
      units: fc.oneof(fc.bigInt({ min: 1n, max: 9n }), fc.bigInt({ min: 1n, max: 10n ** BigInt(scale) * 50n })),
      quoteUnits: fc.oneof(fc.bigInt({ min: 0n, max: 5n }), fc.bigInt({ min: 0n, max: 10n ** 9n })),
      feeShare: fc.constantFrom(0n, 1n, 10n, 1_000n),
      flatFeeUnits: fc.constantFrom(0n, 0n, 3n),
    })
    .map(({ side, price, units, quoteUnits, feeShare, flatFeeUnits }) => {
      const gross = side === 'buy' ? units : quoteUnits;
      const fee = (gross * feeShare + 999n) / 1_000n;
      return {
        base,
        quote,
        side,
        price,
        quantity: decimal(units, scale),
        quoteUnits,
        feeUnits: fee,
        flatFeeUnits: side === 'buy' ? flatFeeUnits : 0n,
        tsMs: 1_700_000_000_000,
      };
    });
}
type LooseFill = Omit<GroundFill, 'userId'>;

/** In batches of one to three per statement. */
async function write(userId: string, list: readonly LooseFill[], batches: readonly number[] = [1]): Promise<void> {
  for (let from = 0, turn = 0; from < list.length; turn++) {
    const size = batches[turn % batches.length]!;
    await writeFills(
      under.database,
      list.slice(from, from + size).map((fill) => ({ ...fill, userId })),
    );
    from += size;
  }
}

async function unitsOf(userId: string) {
  const positions = await positionsOf(userId);
  return new Map(
    positions.map((each) => {
      expect(PositionSchema.parse(each)).toEqual(each);
      const { base, quantity, cost, realizedPnl, feesPaid } = each;
      const units = { quantity, cost, realized: realizedPnl, fees: feesPaid };
      return [base, Object.fromEntries(Object.entries(units).map(([name, text]) => [name, decimalUnits(text)]))];
    }),
  );
}

describe('positions', () => {
  it('are what a second hand computes from the same fills, and what recomputing makes of them', async () => {
    const list = fc.array(fc.oneof(fills(BTC), fills(ETH), fills('PAPER:SHARE')), { minLength: 1, maxLength: 25 });
    const sizes = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(list, sizes, async (written, batches) => {
        const userId = randomUUID();
        await write(userId, written, batches);
        const stored = await unitsOf(userId);
        const bases = new Set(written.map(({ base }) => base));
        expect(new Set(stored.keys())).toEqual(bases);
        for (const base of bases) {
          const own = written.filter((fill) => fill.base === base).map((fill) => ({ ...fill, userId }));
          expect(stored.get(base), base).toEqual(modelPosition(own, TEST_ASSETS));
        }
      }),
      { numRuns: RUNS },
    );
    expect(await recomputePositions(under.database)).toEqual([]);
  });

  it('do not care in which order purchases come, nor how trades of different markets are mixed', async () => {
    const purchases = fc.array(fills(BTC), { minLength: 2, maxLength: 8 });
    const others = fc.array(fills(ETH), { maxLength: 8 });
    const order = fc.array(fc.nat(), { minLength: 16, maxLength: 16 });
    await fc.assert(
      fc.asyncProperty(purchases, others, order, async (bought, traded, picks) => {
        const buys = bought.map((fill) => ({ ...fill, side: 'buy' as const, feeUnits: 0n }));
        const one = randomUUID();
        const two = randomUUID();
        await write(one, [...buys, ...traded]);
        const mixed = [...traded];
        for (const [index, fill] of buys.toReversed().entries())
          mixed.splice(picks[index]! % (mixed.length + 1), 0, fill);
        await write(two, mixed);
        // Other markets keep their own order.
        expect(await unitsOf(two)).toEqual(await unitsOf(one));
      }),
      { numRuns: RUNS / 3 },
    );
  });

  it('keep every cent: what was paid is either cost of what is left or cost of what was sold', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fills(BTC), { minLength: 1, maxLength: 25 }), async (written) => {
        const userId = randomUUID();
        const small = written.map((fill) => ({ ...fill, feeUnits: fill.side === 'buy' ? 0n : fill.feeUnits }));
        await write(userId, small);
        const [position] = await positionsOf(userId);
        const closings = await at.admin`select sum(cost)::text as cost, sum(proceeds - cost)::text as gain
          from portfolio.closings where user_id = ${userId}`;
        const paid = small
          .filter(({ side }) => side === 'buy')
          .reduce((sum, fill) => sum + (fill.quoteUnits + fill.flatFeeUnits) * 10n ** 16n, 0n);
        const units = (text: string | null) => decimalUnits(text ?? '0');
        const { cost, gain } = closings[0] as { cost: string | null; gain: string | null };
        expect(units(position!.cost) + units(cost)).toBe(paid);
        expect(units(position!.realizedPnl)).toBe(units(gain));
      }),
      { numRuns: RUNS / 3 },
    );
  });

  it('show the worked example: fees in cost and proceeds, a sale of more than was bought', async () => {
    const userId = randomUUID();
    const buy = { base: BTC, quote: USDT, side: 'buy', flatFeeUnits: 0n, tsMs: 5 } as const;
    const sell = { ...buy, side: 'sell' } as const;
    // 1 BTC for 100, of which 0.1 goes as fee; 1 for 200.
    await write(userId, [
      { ...buy, price: '100', quantity: '1', quoteUnits: 10_000n, feeUnits: 10_000_000n },
      { ...buy, price: '200', quantity: '1', quoteUnits: 20_000n, feeUnits: 0n, flatFeeUnits: 100n },
    ]);
    const bought = { quantity: '1.9', cost: '301', averageCost: '158.421052631578947368', realizedPnl: '0' };
    expect(await positionsOf(userId)).toMatchObject([{ ...bought, feesPaid: '11' }]);
    // Half of it for 300 less a fee of 3.
    await write(userId, [{ ...sell, price: '300', quantity: '0.95', quoteUnits: 28_500n, feeUnits: 300n }]);
    expect(await positionsOf(userId)).toMatchObject([
      { quantity: '0.95', cost: '150.5', realizedPnl: '131.5', feesPaid: '14' },
    ]);
    // 1.9 more, of which 0.95 were there: half of the proceeds counts.
    await write(userId, [{ ...sell, price: '100', quantity: '1.9', quoteUnits: 19_000n, feeUnits: 0n }]);
    const closed = { quantity: '0', cost: '0', averageCost: null, realizedPnl: '76' };
    expect(await positionsOf(userId)).toMatchObject([closed]);
    await write(userId, [{ ...sell, price: '100', quantity: '1', quoteUnits: 10_000n, feeUnits: 0n }]);
    expect(await positionsOf(userId)).toMatchObject([closed]);
  });

  it('tell each change in the log, in the statement of the fill, and nothing when the fill fails', async () => {
    const userId = randomUUID();
    const fill = {
      base: BTC,
      quote: USDT,
      side: 'buy',
      price: '1',
      quantity: '1',
      quoteUnits: 100n,
      feeUnits: 0n,
    } as const;
    const whole = { ...fill, flatFeeUnits: 0n, tsMs: 7, userId };
    await writeFills(under.database, [whole, { ...whole, base: ETH }, whole]);
    const page = await under.ledger.eventsSince({ userId, since: 0, limit: 10 });
    expect(page.events.map(({ type, payload }) => [type, payload])).toEqual(
      (await positionsOf(userId)).map((position) => ['position', position]),
    );
    await expect(writeFills(under.database, [whole, { ...whole, price: '0' }])).rejects.toMatchObject({
      code: '23514',
    });
    expect((await under.ledger.eventHeads([userId])).get(userId)).toBe(2);
    expect((await positionsOf(userId))[0]!.quantity).toBe('2');
  });

  it('survive everybody trading and posting at once without a deadlock, a lost fill or a wrong sum', async () => {
    const users = await Promise.all(
      Array.from({ length: 4 }, () => createFundedUser(under.ledger, { [USDT]: 10n ** 9n, [BTC]: 10n ** 9n })),
    );
    const trade = async (index: number) => {
      const userId = users[index % users.length]!;
      const counterparty = users[(index * 7 + 1) % users.length]!;
      const base = [BTC, ETH][index % 2]!;
      const legs = [
        { asset: USDT, amount: 5n, code: 'trade', from: { owner: userId }, to: { owner: counterparty } },
        { asset: BTC, amount: 5n, code: 'trade', from: { owner: counterparty }, to: { owner: userId } },
      ].filter(() => counterparty !== userId);
      const key = { scope: 'ground', key: randomUUID() };
      const command = { key, actor: 'test', kind: 'trade', legs } as const;
      const fill = {
        quote: USDT,
        price: '2',
        quantity: '0.5',
        quoteUnits: 100n,
        feeUnits: 0n,
        flatFeeUnits: 0n,
        tsMs: index,
      };
      const side = index % 3 === 0 ? ('sell' as const) : ('buy' as const);
      const given = legs.length > 0 ? (JSON.parse(encodeCommand(command)) as object) : null;
      await writeFills(under.database, [{ ...fill, side, base, userId }], given);
      if (index % 5 === 0) {
        const transfer = { key: { scope: 'ground', key: randomUUID() }, actor: 'test', asset: USDT, amount: 1n };
        await under.ledger.transfer({ ...transfer, fromOwner: userId, toOwner: users[(index + 1) % users.length]! });
      }
    };
    const callers = Array.from({ length: 16 }, async (_, caller) => {
      for (let index = caller; index < 400; index += 16) await trade(index);
    });
    await Promise.all(callers);
    expect(await recomputePositions(under.database)).toEqual([]);
    const [stats] = await at.admin`select deadlocks from pg_stat_database where datname = current_database()`;
    expect(Number(stats!.deadlocks)).toBe(0);
    const counted =
      await at.admin`select sum(fills)::int as fills from portfolio.positions where user_id = any(${users})`;
    expect(counted[0]!.fills).toBe(400);
  });

  it('are found out when somebody changed them behind the fills', async () => {
    const userId = randomUUID();
    const fill = { userId, base: BTC, quote: USDT, side: 'buy', price: '1', quantity: '1', quoteUnits: 100n } as const;
    await writeFills(under.database, [{ ...fill, feeUnits: 0n, flatFeeUnits: 0n, tsMs: 7 }]);
    const change = (by: string) =>
      at.runScript(
        `begin; set local tidewire.portfolio = 'x'; update portfolio.positions set cost = cost ${by} where user_id = '${userId}'; commit`,
      );
    await change('+ 0.000000000000000001');
    expect(await recomputePositions(under.database)).toMatchObject([
      { userId, stored: { cost: '1.000000000000000001' }, recomputed: { cost: '1' } },
    ]);
    await change('- 0.000000000000000001');
  });

  it('cannot be written by the application, nor by anybody outside the statement of a fill', async () => {
    await expect(at.runScript('update portfolio.positions set quantity = 1')).rejects.toMatchObject({ code: 'TW001' });
    await expect(at.runScript('set role app_rw; update portfolio.positions set quantity = 1')).rejects.toMatchObject({
      code: '42501',
    });
  });
});
