import { sql } from 'drizzle-orm';
import { assert } from '../../kernel/assert.ts';
import type { Database, Row } from '../../platform/postgres.ts';
import type { ApiKey, KeyScope, Role, User } from '../../protocol/accounts.ts';

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

/** What a proof of identity is compared with. */
export type Proof = Readonly<{
  userId: string;
  email: string;
  passwordHash: string;
  totpSecret: string | null;
  totpPending: string | null;
}>;
type Expiry = Readonly<{ expiresAtMs: number }>;
type KeyUse = Readonly<{ userId: string; roles: Role[]; scopes: KeyScope[]; nowMs: number }>;
type Redeemed = Readonly<{
  userId: string;
  roles: Role[];
  sessionId: string | null;
  keyId: string | null;
  scopes: KeyScope[] | null;
  nowMs: number;
  endsAtMs: number | null;
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
  begin_proof: Answered<Proof, 'rate_limited'>;
  refuse_proof: Answered<object, 'invalid_credentials' | 'second_factor_required' | 'invalid_code' | 'rate_limited'>;
  step_up: Answered<Expiry, 'invalid_credentials' | 'invalid_code'>;
  change_password: Answered<object, 'invalid_credentials' | 'step_up_required'>;
  begin_totp: Answered<object, 'already_done'>;
  confirm_totp: Answered<object, 'invalid_code' | 'already_done' | 'not_found'>;
  disable_totp: Answered<object, 'not_found' | 'step_up_required'>;
  renew_recovery_codes: Answered<object, 'not_found' | 'step_up_required'>;
  create_key: Answered<Readonly<{ key: ApiKey }>, 'above_maximum' | 'step_up_required'>;
  revoke_key: Answered<object, 'not_found'>;
  use_key: Answered<KeyUse, 'invalid_signature' | 'replayed'>;
  issue_ticket: Readonly<{ status: 'ok' }> & Expiry;
  redeem_ticket: Answered<Redeemed, 'unauthorized'>;
  set_roles: Answered<Readonly<{ user: User; changed: boolean }>, 'not_found' | 'forbidden'>;
  sweep: Readonly<{ status: 'ok'; count: number }>;
};

/** A second run would answer that there is nothing: rather nobody knows whether it happened. */
const ONCE: readonly (keyof Acts)[] = ['end_session', 'revoke_key', 'disable_totp', 'redeem_ticket'];

/**
 * One statement. All others may be sent again when their answer was lost: they carry ids that the caller made, by which the
 * second run knows the first, or do the same again.
 */
export async function act<N extends keyof Acts>(
  database: Database,
  name: N,
  input: Readonly<Record<string, unknown>>,
): Promise<Acts[N]> {
  const statement = sql`select identity.act(${name}, ${JSON.stringify(input)}::text::jsonb) as answer`;
  const repeatable = !ONCE.includes(name);
  return answerOf(await database.runCommand({ name: `identity.${name}`, statement, repeatable })) as Acts[N];
}

function answerOf(rows: readonly Row[]): unknown {
  const answer = rows[0]?.answer;
  assert(rows.length === 1 && answer !== null, 'identity: an act answers exactly once');
  return typeof answer === 'string' ? JSON.parse(answer) : answer;
}
