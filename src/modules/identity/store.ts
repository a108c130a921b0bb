import { sql } from 'drizzle-orm';
import { assert } from '../../kernel/assert.ts';
import type { Database, Row } from '../../platform/postgres.ts';
import type { User } from '../../protocol/accounts.ts';

type RefusedAnswer<C extends string> = Readonly<{
  status: 'refused';
  code: C;
  retryAfterMs?: number;
  reused?: boolean;
}>;
type Answered<T, C extends string> = (Readonly<{ status: 'ok' }> & Readonly<T>) | RefusedAnswer<C>;

export type StoredGrant = Readonly<{ user: User; tokenVersion: number; sessionId: string; nowMs: number }>;
export type LoginStart = Readonly<{
  subject: string;
  knownDevice: boolean;
  userId: string | null;
  passwordHash: string | null;
  totpSecret: string | null;
}>;

/** What each act of migration 0007 answers. */
export type Acts = {
  audit: Answered<object, never>;
  begin_register: Answered<object, 'rate_limited'>;
  register: Answered<StoredGrant, 'email_taken'>;
  begin_login: Answered<LoginStart, 'rate_limited'>;
  refuse_login: Answered<object, 'invalid_credentials'>;
  finish_login: Answered<
    StoredGrant,
    'invalid_credentials' | 'second_factor_required' | 'invalid_code' | 'rate_limited'
  >;
  refresh: Answered<StoredGrant, 'unauthorized'>;
  end_session: Answered<object, 'not_found'>;
};

/**
 * One statement. All acts may be sent again when their answer was lost: they carry ids that the caller made, or the second run
 * finds nothing left to do.
 */
export async function act<N extends keyof Acts>(
  database: Database,
  name: N,
  input: Readonly<Record<string, unknown>>,
): Promise<Acts[N]> {
  const statement = sql`select identity.act(${name}, ${JSON.stringify(input)}::text::jsonb) as answer`;
  return answerOf(await database.runCommand({ name: `identity.${name}`, statement, repeatable: true })) as Acts[N];
}

function answerOf(rows: readonly Row[]): unknown {
  const answer = rows[0]?.answer;
  assert(rows.length === 1 && answer !== null, 'identity: an act answers exactly once');
  return typeof answer === 'string' ? JSON.parse(answer) : answer;
}
