import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from 'drizzle-orm';
import { createTestLedger, expectSound } from '../../testing/ledger.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import type { TestPostgres } from '../../testing/postgres.ts';
import { CHECKS } from './verify-checks.ts';
import { breachesOf, inVerification } from './verify.ts';

const USERS = 200;
const HOLDS_EACH = 3;
/** A scan that several processes share begins once in each of them. */
const BEGINNINGS_LIMIT = 8;

let server: TestPostgres;

beforeAll(async () => {
  // Statistics are as each case leaves them.
  server = await startTestPostgres({ settings: ['autovacuum=off'] });
});
afterAll(() => server.stop());

/** Users `from` to `to`: each is credited, holds some of it, spends some of what is held and gets the rest back. */
function writeScript(from: number, to: number): string {
  const user = `md5(u::text)::uuid`;
  const key = `'scope', 'seed', 'actor', 'seed', 'kind', 'seed', 'key'`;
  const asset = `'asset', 'PAPER:USDT'`;
  const house = (side: string, kind: string) => `'${side}Kind', '${kind}', '${side}Label', ''`;
  const owner = (side: string) => `'${side}Owner', ${user}, '${side}Kind', 'user', '${side}Label', ''`;
  const users = `generate_series(${from}, ${to}) u`;
  const holds = `${users}, generate_series(1, ${HOLDS_EACH}) h`;
  const post = (command: string, rows: string) =>
    `select count(ledger.post(jsonb_build_object(${command}))) from ${rows};`;
  const list = (item: string) => `jsonb_build_array(jsonb_build_object(${asset}, ${item}))`;
  return [
    post(
      `${key}, 'c' || u, 'legs', ${list(`'amount', '100', 'code', 'credit', ${house('from', 'equity')}, ${owner('to')}`)}`,
      users,
    ),
    post(
      `${key}, 'h' || u || '.' || h, 'holds', ${list(`'owner', ${user}, 'amount', '10', 'purpose', 'order', 'reference', h`)}`,
      holds,
    ),
    post(
      `${key}, 's' || u || '.' || h,
        'legs', ${list(`'amount', '4', 'code', 'spend', ${owner('from')}, ${house('to', 'clearing')}, 'holdPurpose', 'order', 'holdReference', h`)},
        'releases', ${list(`'owner', ${user}, 'purpose', 'order', 'reference', h`)}`,
      holds,
    ),
  ].join('\n');
}

type Plan = Readonly<{
  'Node Type': string;
  'Relation Name'?: string;
  Schema?: string;
  'Actual Loops': number;
  Plans?: readonly Plan[];
}>;

const readsLedger = (plan: Plan): boolean => plan.Schema === 'ledger' || (plan.Plans ?? []).some(readsLedger);

/** What is gone through again for each row of something else: a table of the ledger, or what was made of one. */
function* repeatsIn(plan: Plan): Generator<string> {
  if (!readsLedger(plan)) return;
  if (plan['Actual Loops'] > BEGINNINGS_LIMIT) {
    yield `${plan['Node Type']} ${plan['Relation Name'] ?? ''}: ${plan['Actual Loops']} times`;
  } else for (const inner of plan.Plans ?? []) yield* repeatsIn(inner);
}

/** For each check, what it reads again and again, by its own plan. */
async function findRepeats(prepare: (run: (script: string) => Promise<void>) => Promise<void>): Promise<string[]> {
  const at = await server.createDatabase();
  const { database } = await createTestLedger(await at.open());
  await prepare(at.runScript);
  const found: string[] = [];
  await inVerification(database, async (queries) => {
    for (const check of CHECKS) {
      const [row] = await queries.execute<{ 'QUERY PLAN': readonly [{ Plan: Plan }] | string }>(
        sql`explain (analyze, verbose, timing off, format json) ${breachesOf(check)}`,
      );
      const answer = row!['QUERY PLAN'];
      const [{ Plan: plan }] = (typeof answer === 'string' ? JSON.parse(answer) : answer) as readonly [{ Plan: Plan }];
      for (const repeat of repeatsIn(plan)) found.push(`${check.promise}: ${repeat}`);
    }
  });
  await expectSound(database);
  return found;
}

describe('the time that a verification takes grows with the ledger and not with its square', () => {
  it('when the tables were never analysed', async () => {
    expect(await findRepeats((run) => run(writeScript(1, USERS)))).toEqual([]);
  });

  it('when they were analysed just now, with a queue that two accounts own', async () => {
    const prepare = async (run: (script: string) => Promise<void>) => {
      await run(writeScript(1, USERS));
      await run('analyze');
    };
    expect(await findRepeats(prepare)).toEqual([]);
  });

  it('when they were analysed before they grew', async () => {
    const prepare = async (run: (script: string) => Promise<void>) => {
      await run(writeScript(1, 1));
      await run('analyze');
      await run(writeScript(2, USERS));
    };
    expect(await findRepeats(prepare)).toEqual([]);
  });

  it('when they were analysed after a large write that was rolled back, and seem to be empty pages', async () => {
    const prepare = async (run: (script: string) => Promise<void>) => {
      await run(`begin; ${writeScript(1, USERS)}; rollback`);
      await run('analyze');
      await run(writeScript(1, USERS));
    };
    expect(await findRepeats(prepare)).toEqual([]);
  });
});
