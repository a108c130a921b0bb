import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BTC, USDT, codeOf, createTestLedger, expectSound } from '../../testing/ledger.ts';
import type { TestLedger } from '../../testing/ledger.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestPostgres } from '../../testing/postgres.ts';
import type { CommandOrigin, Ledger, Posted } from './index.ts';

const RUNS = Number(process.env.LEDGER_MODEL_RUNS ?? 60);
const ASSETS = [USDT, BTC] as const;
const USERS = 3;
const HOLDS = 4;

let server: TestPostgres;
let under: TestLedger;

beforeAll(async () => {
  server = await startTestPostgres();
  under = await createTestLedger(await (await server.createDatabase()).open());
});
afterAll(async () => {
  await expectSound(under.database);
  await server.stop();
});

type Step = Readonly<{
  kind: 'credit' | 'debit' | 'transfer' | 'hold' | 'release' | 'releaseAll' | 'capture';
  user: number;
  other: number;
  asset: (typeof ASSETS)[number];
  amount: bigint;
  hold: number;
  /** Sent a second time later on, with the same key. */
  repeated: boolean;
}>;

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(
    'credit',
    'credit',
    'debit',
    'transfer',
    'hold',
    'hold',
    'release',
    'releaseAll',
    'capture',
    'capture',
  ),
  user: fc.nat(USERS - 1),
  other: fc.nat(USERS - 1),
  asset: fc.constantFrom(...ASSETS),
  amount: fc.bigInt({ min: 1n, max: 40n }),
  hold: fc.nat(HOLDS - 1),
  repeated: fc.boolean(),
});

type Account = { posted: bigint; held: bigint };
type Hold = { left: bigint };

/** The ledger in thirty lines: what each step should do, without a database. */
class Model {
  readonly accounts = new Map<string, Account>();
  readonly holds = new Map<string, Hold>();

  account(user: number, asset: string): Account {
    const name = `${user} ${asset}`;
    if (!this.accounts.has(name)) this.accounts.set(name, { posted: 0n, held: 0n });
    return this.accounts.get(name)!;
  }

  apply({ kind, user, other, asset, amount, hold }: Step): string {
    const own = this.account(user, asset);
    const free = own.posted - own.held;
    const name = `${user} ${asset} ${hold}`;
    const existing = this.holds.get(name);
    switch (kind) {
      case 'credit':
        own.posted += amount;
        return 'accepted';
      case 'debit':
      case 'transfer': {
        if (kind === 'transfer' && user === other) return 'same_account';
        if (free < amount) return 'insufficient_funds';
        own.posted -= amount;
        if (kind === 'transfer') this.account(other, asset).posted += amount;
        return 'accepted';
      }
      case 'hold':
        if (existing) return 'hold_exists';
        if (free < amount) return 'insufficient_funds';
        own.held += amount;
        this.holds.set(name, { left: amount });
        return 'accepted';
      default:
        return this.resolve(kind, own, existing, amount);
    }
  }

  resolve(kind: 'release' | 'releaseAll' | 'capture', own: Account, hold: Hold | undefined, amount: bigint): string {
    if (!hold) return 'hold_not_found';
    if (kind !== 'capture' && hold.left === 0n) return 'hold_closed';
    const taken = kind === 'releaseAll' ? hold.left : amount;
    if (taken > hold.left) return 'hold_exceeded';
    hold.left -= taken;
    own.held -= taken;
    if (kind === 'capture') own.posted -= taken;
    return 'accepted';
  }
}

function send(ledger: Ledger, users: readonly string[], origin: CommandOrigin, step: Step): Posted {
  const { kind, asset, amount } = step;
  const owner = users[step.user]!;
  const reason = { purpose: 'order', reference: `${step.hold}` };
  switch (kind) {
    case 'credit':
      return ledger.credit({ ...origin, owner, asset, amount, from: { house: 'equity' } });
    case 'debit':
      return ledger.debit({ ...origin, owner, asset, amount, to: { house: 'equity' } });
    case 'transfer':
      return ledger.transfer({ ...origin, fromOwner: owner, toOwner: users[step.other]!, asset, amount });
    case 'hold':
      return ledger.hold({ ...origin, owner, asset, amount, reason });
    case 'release':
      return ledger.releaseHold({ ...origin, owner, asset, amount, reason });
    case 'releaseAll':
      return ledger.releaseHold({ ...origin, owner, asset, reason });
    case 'capture': {
      const leg = { asset, amount, code: 'trade', from: { owner }, to: { house: 'clearing' as const }, hold: reason };
      return ledger.post({ ...origin, kind: 'trade', legs: [leg] });
    }
  }
}

async function balancesOf(ledger: Ledger, users: readonly string[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [index, user] of users.entries()) {
    for (const { asset, posted, held } of await ledger.balances(user)) {
      if (posted !== 0n || held !== 0n) found[`${index} ${asset}`] = `${posted}/${held}`;
    }
  }
  return found;
}

describe('the ledger and a model of it', () => {
  it(
    'answer alike and end with the same balances, whatever is sent and however often',
    { timeout: 300_000 },
    async () => {
      const { ledger } = under;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
          const model = new Model();
          const users = Array.from({ length: USERS }, () => randomUUID());
          // Opened, so that the model need not know who has an account.
          for (const owner of users) await ledger.openAccounts({ owner, assets: [...ASSETS] });
          const scope = randomUUID();
          const keyOf = (index: number) => ({ key: { scope, key: `${index}` }, actor: 'model' });
          const codes: string[] = [];
          for (const [index, each] of steps.entries()) {
            const expected = model.apply(each);
            codes.push(expected);
            expect(codeOf(await send(ledger, users, keyOf(index), each)), `step ${index} ${each.kind}`).toBe(expected);
          }
          const expected: Record<string, string> = {};
          for (const [name, { posted, held }] of model.accounts) {
            if (posted !== 0n || held !== 0n) expected[name] = `${posted}/${held}`;
          }
          expect(await balancesOf(ledger, users)).toEqual(expected);
          for (const [index, each] of steps.entries()) {
            if (!each.repeated || codes[index] !== 'accepted') continue;
            const again = await send(ledger, users, keyOf(index), each);
            expect(again.ok && again.value.repeated, `repeat of step ${index}`).toBe(true);
          }
          expect(await balancesOf(ledger, users)).toEqual(expected);
        }),
        { numRuns: RUNS },
      );
    },
  );

  it('does not care in which order commands arrive that all have room', { timeout: 300_000 }, async () => {
    const { ledger } = under;
    const moves = fc
      .array(step, { minLength: 2, maxLength: 10 })
      .map((steps) => steps.filter((each) => ['credit', 'debit', 'transfer'].includes(each.kind)));
    await fc.assert(
      fc.asyncProperty(moves, fc.infiniteStream(fc.nat()), async (steps, picks) => {
        const ends: Record<string, string>[] = [];
        const shuffled = steps
          .map((each) => ({ each, at: picks.next().value }))
          .toSorted((one, other) => one.at - other.at);
        for (const order of [steps, shuffled.map(({ each }) => each)]) {
          const users = Array.from({ length: USERS }, () => randomUUID());
          const scope = randomUUID();
          for (const [index, user] of users.entries()) {
            for (const asset of ASSETS) {
              const origin = { key: { scope, key: `fund ${index} ${asset}` }, actor: 'model' };
              await ledger.credit({ ...origin, owner: user, asset, amount: 1_000n, from: { house: 'equity' } });
            }
          }
          await Promise.all(
            order.map((each, index) => send(ledger, users, { key: { scope, key: `${index}` }, actor: 'model' }, each)),
          );
          ends.push(await balancesOf(ledger, users));
        }
        expect(ends[1]).toEqual(ends[0]);
      }),
      { numRuns: Math.ceil(RUNS / 3) },
    );
  });
});
