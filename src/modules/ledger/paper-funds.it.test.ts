import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  balanceOf,
  codeOf,
  createFundedUser,
  createTestLedger,
  done,
  expectSound,
  origin,
  reason,
} from '../../testing/ledger.ts';
import type { TestLedger } from '../../testing/ledger.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestPostgres } from '../../testing/postgres.ts';
import { PAPER_FUNDS_LIMIT, createMoneyView, givePaperFunds, grantInitialFunds, paperAsset } from './index.ts';

let server: TestPostgres;
let under: TestLedger;

beforeAll(async () => {
  server = await startTestPostgres();
  const at = await server.createDatabase();
  under = await createTestLedger(await at.open());
});
afterAll(async () => {
  await expectSound(under.database);
  await server.stop();
});

function give(owner: string, asset: string, amount: string, key: string = randomUUID()) {
  return givePaperFunds(under.ledger, { ...origin(key, owner), owner, asset, amount });
}

describe('paper funds', () => {
  it('of a new user are given once, however often and at once they are asked for', async () => {
    const owner = randomUUID();
    const funds = [
      { code: 'SOL', amount: '7.5' },
      { code: 'PAPER:ADA', amount: '100' },
    ];
    await Promise.all(Array.from({ length: 20 }, () => grantInitialFunds(under.ledger, owner, funds, 'registration')));
    await grantInitialFunds(under.ledger, owner, funds, 'login');
    expect(await createMoneyView(under.ledger).balances(owner)).toEqual([
      { asset: 'PAPER:ADA', total: '100', available: '100', held: '0' },
      { asset: 'PAPER:SOL', total: '7.5', available: '7.5', held: '0' },
    ]);
  });

  it('stop at the limit, also when a hundred ask at the same time for an account that is not open yet', async () => {
    const owner = randomUUID();
    const share = String(PAPER_FUNDS_LIMIT / 4n);
    const codes = await Promise.all(
      Array.from({ length: 100 }, async () => codeOf(await give(owner, 'PAPER:XRP', share))),
    );
    expect(codes.filter((code) => code === 'accepted')).toHaveLength(4);
    expect(new Set(codes)).toEqual(new Set(['accepted', 'above_maximum']));
    expect((await createMoneyView(under.ledger).balances(owner))[0]?.total).toBe(String(PAPER_FUNDS_LIMIT));
    expect(codeOf(await give(owner, 'PAPER:XRP', '0.000000000000000001'))).toBe('above_maximum');
  });

  it('with a key that was used are answered as then, or refused for another amount, also beyond the limit', async () => {
    const owner = randomUUID();
    const first = await give(owner, 'PAPER:DOT', '10000000', 'k');
    expect(await give(owner, 'PAPER:DOT', '10000000', 'k')).toEqual({
      ok: true,
      value: { ...(first.ok && first.value), repeated: true },
    });
    expect(codeOf(await give(owner, 'PAPER:DOT', '5', 'k'))).toBe('key_reused');
  });

  it('keep the decimals of an asset that is known with others', async () => {
    const owner = randomUUID();
    expect(codeOf(await give(owner, paperAsset('USDT'), '1.001'))).toBe('invalid_amount');
    expect(codeOf(await give(owner, paperAsset('USDT'), '1.01'))).toBe('accepted');
    expect(await balanceOf(under.ledger, owner, 'PAPER:USDT')).toBe('101/0');
  });

  it('cannot be had as real money, nor from anything but equity', async () => {
    const owner = randomUUID();
    await under.ledger.defineAsset({ code: 'BTC', scale: 8 });
    const granted = await under.ledger.grantPaper({ ...origin(), owner, asset: 'BTC', amount: 1n, limit: 10n });
    expect(codeOf(granted)).toBe('invalid_command');
    expect(await under.ledger.balances(owner)).toEqual([]);
  });
});

describe('the view of money', () => {
  it('explains every held unit at one instant, whatever happens meanwhile', async () => {
    const owner = await createFundedUser(under.ledger, { 'PAPER:USDT': 1_000_000n });
    const money = createMoneyView(under.ledger);
    const asset = 'PAPER:USDT';
    let working = true;
    const writers = Array.from({ length: 4 }, async () => {
      while (working) {
        const why = reason();
        done(await under.ledger.hold({ ...origin(), owner, asset, amount: 1_001n, reason: why }));
        done(await under.ledger.releaseHold({ ...origin(), owner, asset, amount: 1n, reason: why }));
        if (Math.random() < 0.5) done(await under.ledger.releaseHold({ ...origin(), owner, asset, reason: why }));
      }
    });
    for (let round = 0; round < 40; round++) {
      for (const { held, explained } of (await money.holds(owner)).totals) expect(explained).toBe(held);
    }
    working = false;
    await Promise.all(writers);
    expect((await money.holds(owner)).totals).toHaveLength(1);
  });

  it('explains what is held, and pages through every change of every balance', async () => {
    const owner = await createFundedUser(under.ledger, { 'PAPER:BTC': 100_000_000n, 'PAPER:USDT': 10_000n });
    const money = createMoneyView(under.ledger);
    for (const amount of [10n, 20n, 30n]) {
      done(await under.ledger.hold({ ...origin(), owner, asset: 'PAPER:USDT', amount, reason: reason() }));
    }
    const { holds, totals } = await money.holds(owner);
    expect(holds.map(({ amount }) => amount)).toEqual(['0.1', '0.2', '0.3']);
    expect(totals).toEqual([{ asset: 'PAPER:USDT', held: '0.6', explained: '0.6' }]);
    const seen: string[] = [];
    for (let before: Parameters<typeof money.statement>[0]['before'] | null; before !== null;) {
      const page = await money.statement({ owner, limit: 2, ...(before && { before }) });
      seen.push(...page.entries.map(({ asset, version, kind }) => `${asset} ${version} ${kind}`));
      before = page.next;
    }
    expect(seen).toEqual([
      'PAPER:USDT 4 hold',
      'PAPER:USDT 3 hold',
      'PAPER:USDT 2 hold',
      'PAPER:USDT 1 credit',
      'PAPER:BTC 1 credit',
    ]);
    const holdsOnly = await money.statement({ owner, kind: 'hold', asset: 'PAPER:USDT', limit: 10 });
    expect(holdsOnly.entries.map(({ heldChange, held }) => [heldChange, held])).toEqual([
      ['0.3', '0.6'],
      ['0.2', '0.3'],
      ['0.1', '0.1'],
    ]);
    expect((await money.statement({ owner, fromMs: Date.now() + 60_000, limit: 10 })).entries).toEqual([]);
    expect((await money.statement({ owner: randomUUID(), limit: 10 })).entries).toEqual([]);
  });
});
