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
import type { TestPostgres } from '../../testing/postgres.ts';
import type { Ledger, Posted } from './index.ts';

const ROUNDS = 20;
const CROWDS = [20, 100];

let server: TestPostgres;
/** Two application processes, as far as the database can tell. */
let nodes: readonly [TestLedger, TestLedger];
let ledger: Ledger;

beforeAll(async () => {
  server = await startTestPostgres();
  const at = await server.createDatabase();
  nodes = [await createTestLedger(await at.open()), await createTestLedger(await at.open())];
  ledger = nodes[0].ledger;
});
afterEach(() => expectSound(nodes[0].database));
afterAll(() => server.stop());

/** Calls `count` at once, over both nodes; answers how often each code came back. */
async function crowd(count: number, call: (on: Ledger, index: number) => Posted): Promise<Record<string, number>> {
  const codes = await Promise.all(
    Array.from({ length: count }, async (_, index) => codeOf(await call(nodes[index % 2]!.ledger, index))),
  );
  const counts: Record<string, number> = {};
  for (const code of codes) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}

describe.each(CROWDS)('%i callers at once', (count) => {
  it('cannot take one balance twice', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const owner = await createFundedUser(ledger, { [USDT]: 100n });
      const counts = await crowd(count, (on) =>
        on.debit({ ...origin(), owner, asset: USDT, amount: 100n, to: { house: 'psp' } }),
      );
      expect(counts).toEqual({ accepted: 1, insufficient_funds: count - 1 });
      expect(await balanceOf(ledger, owner, USDT)).toBe('0/0');
    }
  });

  it('cannot spend the same money in four different ways', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const owner = await createFundedUser(ledger, { [USDT]: 1_000n });
      const counts = await crowd(count, (on, index) => {
        const money = { owner, asset: USDT, amount: 130n };
        if (index % 4 === 0) return on.debit({ ...origin(), ...money, to: { house: 'psp' } });
        if (index % 4 === 1) return on.hold({ ...origin(), ...money, reason: reason() });
        const trade = {
          base: { asset: BTC, amount: 1n },
          quote: { asset: USDT, paid: 130n, received: 130n },
          buyer: { party: { owner } },
          seller: { party: { house: 'clearing' as const } },
        };
        if (index % 4 === 2) return on.settle({ ...origin(), trade });
        return on.transfer({ ...origin(), fromOwner: owner, toOwner: randomUUID(), asset: USDT, amount: 130n });
      });
      expect(counts).toEqual({ accepted: 7, insufficient_funds: count - 7 });
    }
  });

  it('with one key have one effect and one answer', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const owner = await createFundedUser(ledger, { [USDT]: 100n });
      const command = { ...origin(), owner, asset: USDT, amount: 60n, to: { house: 'psp' } as const };
      const answers = await Promise.all(
        Array.from({ length: count }, async (_, index) => done(await nodes[index % 2]!.ledger.debit(command))),
      );
      expect(answers.filter((answer) => !answer.repeated)).toHaveLength(1);
      expect(new Set(answers.map((answer) => answer.journalId)).size).toBe(1);
      expect(await balanceOf(ledger, owner, USDT)).toBe('40/0');
    }
  });

  it('with one key have one effect even where no account is locked', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const leg = {
        asset: USDT,
        amount: 5n,
        code: 'test',
        from: { house: 'equity' },
        to: { house: 'clearing' },
      } as const;
      const command = { ...origin(), kind: 'test', legs: [leg] };
      const answers = await Promise.all(
        Array.from({ length: count }, async (_, index) => done(await nodes[index % 2]!.ledger.post(command))),
      );
      expect(answers.filter((answer) => !answer.repeated)).toHaveLength(1);
    }
  });

  it('with one key and different commands let one through and refuse the others', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const owners = await Promise.all([1, 2].map(() => createFundedUser(ledger, { [USDT]: 1_000n })));
      const key = origin();
      const counts = await crowd(count, (on, index) =>
        on.debit({ ...key, owner: owners[index % 2]!, asset: USDT, amount: 5n, to: { house: 'psp' } }),
      );
      expect(counts).toEqual({ accepted: count / 2, key_reused: count / 2 });
      const left = await Promise.all(owners.map((owner) => balanceOf(ledger, owner, USDT)));
      expect(left.toSorted()).toEqual(['1000/0', '995/0']);
    }
  });

  it('resolve one hold to exactly what it held, whatever mixture of captures and releases', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const owner = await createFundedUser(ledger, { [USDT]: 100n });
      const why = reason();
      done(await ledger.hold({ ...origin(), owner, asset: USDT, amount: 100n, reason: why }));
      const counts = await crowd(count, (on, index) => {
        if (index % 2 === 0) return on.releaseHold({ ...origin(), owner, asset: USDT, reason: why, amount: 10n });
        const leg = {
          asset: USDT,
          amount: 10n,
          code: 'trade',
          from: { owner },
          to: { house: 'clearing' },
          hold: why,
        } as const;
        return on.post({ ...origin(), kind: 'trade', legs: [leg] });
      });
      expect(counts.accepted).toBe(10);
      expect((await ledger.balances(owner))[0]!.held).toBe(0n);
      expect(await ledger.openHolds(owner)).toEqual([]);
    }
  });
});

describe('money in a circle', () => {
  it('never deadlocks and loses nothing while 64 callers move it in both directions', async () => {
    const owners = await Promise.all([1, 2].map(() => createFundedUser(ledger, { [USDT]: 100_000n })));
    const [before] = await deadlocks();
    let refusals = 0;
    await Promise.all(
      Array.from({ length: 64 }, async (_, caller) => {
        for (let turn = 0; turn < 10; turn++) {
          const [fromOwner, toOwner] = caller % 2 === 0 ? owners : owners.toReversed();
          const input = { ...origin(), fromOwner: fromOwner!, toOwner: toOwner!, asset: USDT, amount: 7n };
          const outcome = await nodes[caller % 2]!.ledger.transfer(input);
          if (!outcome.ok) refusals += 1;
        }
      }),
    );
    expect(refusals).toBe(0);
    const balances = await Promise.all(owners.map((owner) => balanceOf(ledger, owner, USDT)));
    expect(balances).toEqual(['100000/0', '100000/0']);
    const [after] = await deadlocks();
    expect(after!.deadlocks).toBe(before!.deadlocks);
  });

  async function deadlocks() {
    return nodes[0].database.read('test.deadlocks', (queries) =>
      queries.execute<{ deadlocks: string }>('select sum(deadlocks) as deadlocks from pg_stat_database'),
    );
  }
});
