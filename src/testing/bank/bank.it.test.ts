import { describe, expect, it } from 'vitest';
import { startTestPostgres } from '../postgres.ts';
import { createFundedUser, createTestLedger, done, origin, USDT } from '../ledger.ts';
import { describeJudgement, runBank } from './chaos.ts';
import type { DiaryLine } from './diary.ts';
import { judge } from './oracle.ts';

/** CI's share; `node src/testing/bank/run.ts --kills 1000` is the whole of it. */
const KILLS = Number(process.env.BANK_KILLS ?? 50);
const SEED = Number(process.env.BANK_SEED ?? Date.now() % 1_000_000);
const LIMIT_MS = 600_000;

describe('the bank', () => {
  it(
    'loses nothing, doubles nothing and stays balanced while everything it runs on is killed',
    { timeout: LIMIT_MS },
    async () => {
      const kills = { backend: KILLS, immediate: KILLS, client: KILLS };
      const result = await runBank({ seed: SEED, kills });
      const story = `seed ${SEED}: ${result.seconds} s, ${describeJudgement(result)}`;
      console.log(`bank: ${story}`);
      expect(result.breaches, story).toEqual([]);
      expect(result.tally.ok, story).toBeGreaterThan(KILLS * 10);
    },
  );

  // The control: were the oracle blind, the test above would prove nothing.
  it(
    'is seen to lose acknowledged money when the server acknowledges before it writes',
    { timeout: LIMIT_MS },
    async () => {
      const settings = ['wal_writer_delay=10000ms'];
      let breaches: readonly string[] = [];
      for (let round = 0; round < 10 && breaches.length === 0; round++) {
        const kills = { backend: 0, immediate: 3, client: 0 };
        ({ breaches } = await runBank({ seed: SEED + round, kills, synchronousCommit: 'off', settings }));
      }
      expect(breaches.join('\n')).toContain('LOST');
    },
  );
});

describe('the oracle', () => {
  it('tells lost, doubled, refused and never sent operations from honest ones', async () => {
    const server = await startTestPostgres();
    try {
      const at = await server.createDatabase();
      const { ledger, database } = await createTestLedger(await at.open());
      const owner = await createFundedUser(ledger, { [USDT]: 100n });
      const spend = async (number: number) =>
        done(
          await ledger.debit({
            ...origin(String(number), 'bank-c'),
            owner,
            asset: USDT,
            amount: 1n,
            to: { house: 'psp' },
          }),
        );
      const [first, second] = [await spend(1), await spend(2)];
      const told = async (...lines: DiaryLine[]) =>
        (await judge(database, new Map([['c', lines]]))).breaches.join('\n');
      const intents = [1, 2].map((number) => ({ type: 'intent', number }) as const);
      const ok = (number: number, journalId: string) => ({ type: 'ok', number, journalId }) as const;
      expect(await told(...intents, ok(1, first.journalId), ok(2, second.journalId))).toBe('');
      expect(await told(...intents, { type: 'unknown', number: 1 })).toBe('');
      expect(await told(...intents, { type: 'intent', number: 3 }, ok(3, '77'))).toContain('LOST: c/3');
      expect(await told(...intents, ok(1, second.journalId))).toContain(
        `told ${second.journalId}, kept ${first.journalId}`,
      );
      expect(await told(...intents, { type: 'fail', number: 1, code: 'x' })).toContain('was refused');
      expect(await told(intents[0]!)).toContain('c/2 is in the ledger and was never sent');
      expect(await told(...intents, { type: 'seen', userId: owner, seq: 4 })).toContain('was shown event 4');
      expect(await told(...intents, { type: 'wrong', what: 'totals' })).toContain('saw: totals');
    } finally {
      await server.stop();
    }
  });
});
