import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  BTC,
  USDT,
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
import type { TestDatabase, TestPostgres } from '../../testing/postgres.ts';
import type { Ledger } from './index.ts';

let server: TestPostgres;
let at: TestDatabase;
let under: TestLedger;
let ledger: Ledger;

beforeAll(async () => {
  server = await startTestPostgres();
  at = await server.createDatabase();
  under = await createTestLedger(await at.open());
  ledger = under.ledger;
});
afterEach(() => expectSound(under.database));
afterAll(() => server.stop());

describe('moving money', () => {
  it('credits from the house and leaves the house owing the same', async () => {
    const owner = await createFundedUser(ledger, { [USDT]: 1_000n });
    expect(await balanceOf(ledger, owner, USDT)).toBe('1000/0');
    const before = (await ledger.houseBalances('equity')).find((each) => each.asset === USDT)!.posted;
    done(await ledger.credit({ ...origin(), owner, asset: USDT, amount: 5n, from: { house: 'equity' } }));
    const after = (await ledger.houseBalances('equity')).find((each) => each.asset === USDT)!.posted;
    expect(before - after).toBe(5n);
  });

  it('takes no more than there is, to the last unit', async () => {
    const owner = await createFundedUser(ledger, { [USDT]: 100n });
    const take = (amount: bigint) =>
      ledger.debit({ ...origin(), owner, asset: USDT, amount, to: { house: 'psp', label: 'test' } });
    expect(codeOf(await take(101n))).toBe('insufficient_funds');
    expect(codeOf(await take(100n))).toBe('accepted');
    expect(codeOf(await take(1n))).toBe('insufficient_funds');
    expect(await balanceOf(ledger, owner, USDT)).toBe('0/0');
  });

  it('takes nothing from an account that does not exist', async () => {
    const outcome = await ledger.transfer({
      ...origin(),
      fromOwner: randomUUID(),
      toOwner: randomUUID(),
      asset: USDT,
      amount: 1n,
    });
    expect(codeOf(outcome)).toBe('insufficient_funds');
  });

  it('moves 36 digits of an asset with 18 decimals without losing one', async () => {
    const amount = 123_456_789_012_345_678_901_234_567_890_123_456n;
    const owner = await createFundedUser(ledger, { 'PAPER:ETH': amount });
    const other = randomUUID();
    done(
      await ledger.transfer({ ...origin(), fromOwner: owner, toOwner: other, asset: 'PAPER:ETH', amount: amount - 1n }),
    );
    expect(await balanceOf(ledger, owner, 'PAPER:ETH')).toBe('1/0');
    expect(await balanceOf(ledger, other, 'PAPER:ETH')).toBe(`${amount - 1n}/0`);
    done(
      await ledger.debit({
        ...origin(),
        owner: other,
        asset: 'PAPER:ETH',
        amount: amount - 1n,
        to: { house: 'equity' },
      }),
    );
  });

  it('refuses a balance beyond what the database can keep', async () => {
    const owner = await createFundedUser(ledger, { 'PAPER:ETH': 10n ** 36n - 1n });
    const more = await ledger.credit({ ...origin(), owner, asset: 'PAPER:ETH', amount: 1n, from: { house: 'equity' } });
    expect(codeOf(more)).toBe('invalid_amount');
    done(
      await ledger.debit({ ...origin(), owner, asset: 'PAPER:ETH', amount: 10n ** 36n - 1n, to: { house: 'equity' } }),
    );
  });

  it('refuses an unknown asset, paper joined with real money, and a transfer to oneself', async () => {
    await ledger.defineAsset({ code: 'USDT', scale: 2 });
    const owner = await createFundedUser(ledger, { [USDT]: 100n });
    const other = randomUUID();
    const move = (asset: string, toOwner: string) =>
      ledger.transfer({ ...origin(), fromOwner: owner, toOwner, asset, amount: 1n });
    expect(codeOf(await move('PAPER:NONE', other))).toBe('unknown_asset');
    expect(codeOf(await move(USDT, owner))).toBe('same_account');
    const legs = [USDT, 'USDT'].map((asset) => ({
      asset,
      amount: 1n,
      code: 'transfer',
      from: { owner },
      to: { house: 'clearing' } as const,
    }));
    expect(codeOf(await ledger.post({ ...origin(), kind: 'test', legs }))).toBe('mixed_money');
    expect(codeOf(await ledger.defineAsset({ code: 'USDT', scale: 3 }))).toBe('asset_differs');
  });

  it('rolls queued legs of house accounts up without changing a balance', async () => {
    await createFundedUser(ledger, { [USDT]: 7n });
    const before = await ledger.houseBalances('equity');
    while ((await ledger.rollUp(3)) > 0);
    expect(await ledger.houseBalances('equity')).toEqual(before);
    const [queued] = await at.admin`select count(*) as n from ledger.deferred_legs`;
    expect(queued!.n).toBe('0');
  });
});

describe('holds', () => {
  it('keep money from being spent and give it back', async () => {
    const owner = await createFundedUser(ledger, { [USDT]: 100n });
    const why = reason();
    done(await ledger.hold({ ...origin(), owner, asset: USDT, amount: 60n, reason: why }));
    expect(await balanceOf(ledger, owner, USDT)).toBe('100/60');
    const spend = () => ledger.debit({ ...origin(), owner, asset: USDT, amount: 41n, to: { house: 'equity' } });
    expect(codeOf(await spend())).toBe('insufficient_funds');
    expect(await ledger.openHolds(owner)).toMatchObject([{ asset: USDT, ...why, amount: 60n, open: 60n }]);
    done(await ledger.releaseHold({ ...origin(), owner, asset: USDT, reason: why, amount: 20n }));
    expect(codeOf(await spend())).toBe('accepted');
    done(await ledger.releaseHold({ ...origin(), owner, asset: USDT, reason: why }));
    expect(await balanceOf(ledger, owner, USDT)).toBe('59/0');
    expect(await ledger.openHolds(owner)).toEqual([]);
  });

  it('resolve once, never beyond their amount, and never for another reason', async () => {
    const owner = await createFundedUser(ledger, { [USDT]: 100n });
    const why = reason();
    const give = (amount?: bigint, of = why) =>
      ledger.releaseHold({ ...origin(), owner, asset: USDT, reason: of, ...(amount === undefined ? {} : { amount }) });
    done(await ledger.hold({ ...origin(), owner, asset: USDT, amount: 50n, reason: why }));
    expect(codeOf(await ledger.hold({ ...origin(), owner, asset: USDT, amount: 1n, reason: why }))).toBe('hold_exists');
    expect(codeOf(await give(51n))).toBe('hold_exceeded');
    expect(codeOf(await give(1n, reason()))).toBe('hold_not_found');
    expect(codeOf(await give())).toBe('accepted');
    expect(codeOf(await give())).toBe('hold_closed');
    expect(codeOf(await ledger.hold({ ...origin(), owner, asset: USDT, amount: 1n, reason: why }))).toBe('hold_exists');
  });

  it('expire by the database clock, once, and cannot be captured afterwards', async () => {
    const owner = await createFundedUser(ledger, { [USDT]: 100n });
    const why = reason();
    const soon = Date.now() + 150;
    done(await ledger.hold({ ...origin(), owner, asset: USDT, amount: 50n, reason: why, expiresAtMs: soon }));
    const capture = {
      asset: USDT,
      amount: 10n,
      code: 'trade',
      from: { owner },
      to: { house: 'clearing' },
      hold: why,
    } as const;
    done(await ledger.post({ ...origin(), kind: 'test', legs: [capture] }));
    await expect
      .poll(async () => codeOf(await ledger.post({ ...origin(), kind: 'test', legs: [{ ...capture, amount: 1n }] })))
      .toBe('hold_expired');
    expect(await ledger.expireHolds(10)).toBe(1);
    expect(await ledger.expireHolds(10)).toBe(0);
    expect((await ledger.balances(owner))[0]!.held).toBe(0n);
    const late = { ...origin(), owner, asset: USDT, amount: 5n, reason: reason(), expiresAtMs: soon };
    expect(codeOf(await ledger.hold(late))).toBe('hold_expired');
  });
});

describe('a trade', () => {
  it('moves both assets, takes fees, keeps rounding in the house and gives the rest of the hold back', async () => {
    const buyer = await createFundedUser(ledger, { [USDT]: 10_000n });
    const seller = await createFundedUser(ledger, { [BTC]: 500_000n });
    const [bid, ask] = [reason(), reason()];
    done(await ledger.hold({ ...origin(), owner: buyer, asset: USDT, amount: 6_000n, reason: bid }));
    done(await ledger.hold({ ...origin(), owner: seller, asset: BTC, amount: 400_000n, reason: ask }));
    const trade = {
      base: { asset: BTC, amount: 100_000n },
      quote: { asset: USDT, paid: 5_001n, received: 5_000n },
      buyer: { party: { owner: buyer }, hold: bid, releaseRest: true, fee: { asset: BTC, amount: 100n } },
      seller: { party: { owner: seller }, hold: ask, fee: { asset: USDT, amount: 6n } },
    };
    done(await ledger.settle({ ...origin(), trade, reference: { type: 'fill', id: 'f1' } }));
    expect(await balanceOf(ledger, buyer, USDT)).toBe('4999/0');
    expect(await balanceOf(ledger, buyer, BTC)).toBe('99900/0');
    expect(await balanceOf(ledger, seller, USDT)).toBe('4994/0');
    expect(await balanceOf(ledger, seller, BTC)).toBe('400000/300000');
  });

  it('happens as a whole or not at all', async () => {
    const buyer = await createFundedUser(ledger, { [USDT]: 100n });
    const seller = await createFundedUser(ledger, { [BTC]: 5n });
    const trade = {
      base: { asset: BTC, amount: 6n },
      quote: { asset: USDT, paid: 50n, received: 50n },
      buyer: { party: { owner: buyer } },
      seller: { party: { owner: seller } },
    };
    expect(codeOf(await ledger.settle({ ...origin(), trade }))).toBe('insufficient_funds');
    expect(await balanceOf(ledger, buyer, USDT)).toBe('100/0');
    expect(await balanceOf(ledger, seller, USDT)).toBe('0/0');
  });

  it('captures no more from a hold than it has left, fee included', async () => {
    const buyer = await createFundedUser(ledger, { [USDT]: 1_000n });
    const bid = reason();
    done(await ledger.hold({ ...origin(), owner: buyer, asset: USDT, amount: 100n, reason: bid }));
    const trade = (fee: bigint) => ({
      base: { asset: BTC, amount: 6n },
      quote: { asset: USDT, paid: 95n, received: 95n },
      buyer: { party: { owner: buyer }, hold: bid, releaseRest: true, fee: { asset: USDT, amount: fee } },
      seller: { party: { house: 'clearing' as const } },
    });
    expect(codeOf(await ledger.settle({ ...origin(), trade: trade(6n) }))).toBe('hold_exceeded');
    done(await ledger.settle({ ...origin(), trade: trade(5n) }));
    expect(await balanceOf(ledger, buyer, USDT)).toBe('900/0');
  });

  it('is reversed once, and a reversal is not reversed', async () => {
    const owner = await createFundedUser(ledger, { [USDT]: 100n });
    const other = randomUUID();
    const moved = done(
      await ledger.transfer({ ...origin(), fromOwner: owner, toOwner: other, asset: USDT, amount: 30n }),
    );
    const back = done(await ledger.reverse({ ...origin(), journalId: moved.journalId }));
    expect(await balanceOf(ledger, owner, USDT)).toBe('100/0');
    expect(codeOf(await ledger.reverse({ ...origin(), journalId: moved.journalId }))).toBe('already_reversed');
    expect(codeOf(await ledger.reverse({ ...origin(), journalId: back.journalId }))).toBe('not_reversible');
    expect(codeOf(await ledger.reverse({ ...origin(), journalId: '999999999' }))).toBe('nothing_to_do');
  });
});

describe('a key', () => {
  it('repeats the first answer word for word and does nothing again', async () => {
    const owner = await createFundedUser(ledger, { [USDT]: 100n });
    const command = { ...origin(), fromOwner: owner, toOwner: randomUUID(), asset: USDT, amount: 70n };
    const first = done(await ledger.transfer(command));
    const again = done(await ledger.transfer({ ...command, actor: 'another session', requestId: 'r2' }));
    expect(again).toEqual({ ...first, repeated: true });
    expect(await balanceOf(ledger, owner, USDT)).toBe('30/0');
  });

  it('is refused for another command, and means nothing in another scope', async () => {
    const owner = await createFundedUser(ledger, { [USDT]: 100n });
    const command = { ...origin('k1', owner), owner, asset: USDT, amount: 10n, to: { house: 'equity' } as const };
    done(await ledger.debit(command));
    expect(codeOf(await ledger.debit({ ...command, amount: 11n }))).toBe('key_reused');
    expect(codeOf(await ledger.debit({ ...command, reference: { type: 'x', id: 'y' } }))).toBe('key_reused');
    done(await ledger.debit({ ...command, key: { scope: randomUUID(), key: 'k1' } }));
    expect(await balanceOf(ledger, owner, USDT)).toBe('80/0');
  });

  it('stays free after a refusal', async () => {
    const owner = await createFundedUser(ledger, { [USDT]: 10n });
    const command = { ...origin(), owner, asset: USDT, amount: 15n, to: { house: 'equity' } as const };
    expect(codeOf(await ledger.debit(command))).toBe('insufficient_funds');
    done(await ledger.credit({ ...origin(), owner, asset: USDT, amount: 5n, from: { house: 'equity' } }));
    expect(codeOf(await ledger.debit(command))).toBe('accepted');
  });
});

describe('the event log', () => {
  it('numbers every change of a user without a gap and tells it after commit', async () => {
    const owner = await createFundedUser(ledger, { [USDT]: 100n, [BTC]: 5n });
    done(await ledger.hold({ ...origin(), owner, asset: USDT, amount: 60n, reason: reason() }));
    expect(codeOf(await ledger.debit({ ...origin(), owner, asset: USDT, amount: 50n, to: { house: 'equity' } }))).toBe(
      'insufficient_funds',
    );
    done(await ledger.debit({ ...origin(), owner, asset: USDT, amount: 40n, to: { house: 'equity' } }));
    const page = await ledger.eventsSince({ userId: owner, since: 0, limit: 100 });
    expect(page.events.map((event) => event.seq)).toEqual([1, 2, 3, 4]);
    expect(page.headSeq).toBe(4);
    expect(page.events.at(-1)!.payload).toMatchObject({ asset: USDT, posted: '60', held: '60', kind: 'debit' });
    const told = under.told.filter((event) => event.userId === owner);
    expect(page.events).toEqual(told.map((event) => ({ ...event, stream: 'portfolio', streamSeq: event.seq })));
    expect((await ledger.eventsSince({ userId: owner, since: 3, limit: 100 })).events).toEqual(page.events.slice(3));
    expect((await ledger.eventsSince({ userId: owner, since: 0, limit: 2 })).headSeq).toBe(4);
    expect(await ledger.eventHeads([owner, randomUUID()])).toEqual(new Map([[owner, 4]]));
  });

  it('has a statement that explains every balance', async () => {
    const owner = await createFundedUser(ledger, { [USDT]: 100n });
    done(
      await ledger.hold({
        ...origin(),
        owner,
        asset: USDT,
        amount: 60n,
        reason: reason(),
        reference: { type: 'order', id: 'o1' },
      }),
    );
    done(await ledger.debit({ ...origin(), owner, asset: USDT, amount: 40n, to: { house: 'equity' } }));
    const lines = await ledger.statement({ owner, asset: USDT, limit: 10 });
    expect(lines).toMatchObject([
      { version: 3n, kind: 'debit', postedChange: -40n, heldChange: 0n, posted: 60n, held: 60n },
      { version: 2n, kind: 'hold', referenceId: 'o1', postedChange: 0n, heldChange: 60n, posted: 100n, held: 60n },
      { version: 1n, kind: 'credit', postedChange: 100n, posted: 100n },
    ]);
    expect(await ledger.statement({ owner, asset: USDT, before: 2n, limit: 10 })).toEqual(lines.slice(2));
  });

  it('opens accounts with nothing in them, twice without harm', async () => {
    const owner = randomUUID();
    for (let time = 0; time < 2; time++) {
      expect(codeOf(await ledger.openAccounts({ owner, assets: [USDT, BTC] }))).toBe('accepted');
    }
    expect(await balanceOf(ledger, owner, BTC)).toBe('0/0');
    expect(codeOf(await ledger.openAccounts({ owner, assets: ['PAPER:NONE'] }))).toBe('unknown_asset');
  });
});
