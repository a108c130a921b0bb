import type { Outcome } from '../../kernel/outcome.ts';
import type {
  ApiKey,
  AuditEntry,
  KeyCreate,
  KeyScope,
  NewApiKey,
  Role,
  Session,
  SessionGrant,
  StepUpAct,
  User,
} from '../../protocol/accounts.ts';

/** Where a request came from, as far as we can be sure of it. */
export type Origin = Readonly<{
  ip: string;
  userAgent: string | null;
  requestId: string | null;
  /** Of an earlier login on the same device. */
  deviceToken?: string;
}>;

/** Who is asking, proved. Short-lived: ask again for each request; sockets ask again when `expiresAtMs` is over. */
export type Principal = Readonly<{
  userId: string;
  roles: readonly Role[];
  /** Either the session of an access token or ticket, or an API key. */
  sessionId: string | null;
  keyId: string | null;
  /** Sessions have all of them. */
  scopes: readonly KeyScope[];
  expiresAtMs: number;
}>;

/** A request signed with an API key. What is signed is `signingText` of `protocol/signing.ts`. */
export type SignedRequest = Readonly<{
  keyId: string;
  timestampMs: number;
  recvWindowMs: number;
  nonce: string;
  /** Base64url. */
  signature: string;
  method: string;
  /** As received, with the query. */
  path: string;
  /** SHA-256 of the body as received, hex. */
  bodyHash: string;
}>;

export type LoginRefusal = 'invalid_credentials' | 'second_factor_required' | 'invalid_code' | 'rate_limited';
export type StepUpRefusal = 'step_up_required';
export type AuthRefusal = 'unauthorized' | 'token_expired' | 'invalid_signature' | 'replayed';

/** What ends live sockets: every socket of the session or key, or of the user when neither is named. */
export type Revocation = Readonly<{ userId: string; sessionId: string | null; keyId: string | null }>;

/** A refusal may say when to try again. */
export type Answer<T, C extends string> = Promise<Outcome<T, C> & Readonly<{ retryAfterMs?: number }>>;

/**
 * Users, sessions, keys and the audit log. Every act leaves an audit entry in the same statement; refreshes, tickets and the use of
 * keys are no acts, their refusals by theft (`refresh_reuse`, `key_use`) are.
 * Rejects with `DatabaseFailure` only.
 */
export interface Identity {
  register(
    input: Readonly<{ email: string; password: string; device?: string }>,
    origin: Origin,
  ): Answer<SessionGrant, 'email_taken' | 'weak_password' | 'rate_limited'>;
  login(
    input: Readonly<{ email: string; password: string; code?: string; device?: string }>,
    origin: Origin,
  ): Answer<SessionGrant, LoginRefusal>;
  /** Rotates; a token that was used before ends the whole session. */
  refresh(refreshToken: string, origin: Origin): Answer<SessionGrant, 'unauthorized'>;
  logout(principal: Principal, origin: Origin): Promise<void>;
  user(userId: string): Promise<User | null>;

  /** An access token. Checked against revocations no older than 2 s. */
  authenticateToken(accessToken: string): Answer<Principal, AuthRefusal>;
  authenticateSigned(request: SignedRequest, origin: Origin): Answer<Principal, AuthRefusal>;
  /** One use, one minute: for the first message of a socket. */
  issueTicket(principal: Principal): Promise<Readonly<{ ticket: string; expiresAtMs: number }>>;
  redeemTicket(ticket: string): Answer<Principal, AuthRefusal>;
  /** Still good? For sockets, once their principal's time is over or a revocation may have been missed. */
  recheck(principal: Principal): Promise<boolean>;
  /** Called within 2 s of any revocation, on every process. Answers how to stop listening. */
  onRevoked(listener: (revocation: Revocation) => void): () => void;

  sessions(principal: Principal): Promise<Session[]>;
  revokeSession(principal: Principal, sessionId: string, origin: Origin): Answer<true, 'not_found'>;
  changePassword(
    principal: Principal,
    input: Readonly<{ password: string; newPassword: string; stepUpToken: string }>,
    origin: Origin,
  ): Answer<true, 'invalid_credentials' | 'weak_password' | 'rate_limited' | StepUpRefusal>;

  beginTotp(principal: Principal, origin: Origin): Answer<Readonly<{ secret: string; uri: string }>, 'already_done'>;
  /** Answers the recovery codes, shown once. */
  confirmTotp(
    principal: Principal,
    code: string,
    origin: Origin,
  ): Answer<readonly string[], 'invalid_code' | 'already_done' | 'not_found' | 'rate_limited'>;
  disableTotp(principal: Principal, stepUpToken: string, origin: Origin): Answer<true, 'not_found' | StepUpRefusal>;
  renewRecoveryCodes(
    principal: Principal,
    stepUpToken: string,
    origin: Origin,
  ): Answer<readonly string[], 'not_found' | StepUpRefusal>;
  /** Password, or the second factor where one is on; good once, for this act with exactly this operation, for 5 minutes. */
  stepUp(
    principal: Principal,
    input: Readonly<{ act: StepUpAct; operation: Readonly<Record<string, unknown>>; password?: string; code?: string }>,
    origin: Origin,
  ): Answer<
    Readonly<{ stepUpToken: string; expiresAtMs: number }>,
    'invalid_credentials' | 'second_factor_required' | 'invalid_code' | 'rate_limited'
  >;

  createKey(
    principal: Principal,
    input: KeyCreate,
    stepUpToken: string,
    origin: Origin,
  ): Answer<NewApiKey, 'bad_request' | 'above_maximum' | StepUpRefusal>;
  keys(principal: Principal): Promise<ApiKey[]>;
  revokeKey(principal: Principal, keyId: string, origin: Origin): Answer<true, 'not_found'>;

  /** By the operator on the command line (`null`), or by an admin. Takes effect within 2 s. */
  setRoles(
    by: Principal | null,
    email: string,
    roles: readonly Role[],
    origin: Origin,
  ): Answer<User, 'not_found' | 'forbidden'>;
  /** The user's own entries, newest first. */
  auditOf(userId: string, page: Readonly<{ before: number | null; limit: number }>): Promise<AuditEntry[]>;
  /** For other modules and the gateway: acts and refusals that identity does not see itself. */
  audit(
    entry: Readonly<{
      userId: string | null;
      act: string;
      outcome: 'ok' | 'refused';
      details: Readonly<Record<string, unknown>>;
    }>,
    origin: Origin,
  ): Promise<void>;
  /** Recomputes the hash chain. `brokenAt`: the first entry that is not as it was written. */
  verifyAudit(): Promise<Readonly<{ entries: number; brokenAt: number | null; head: string }>>;
  /** Housekeeping: what has expired is removed. Answers how much; more waits while it answers the limit. */
  sweep(limit: number): Promise<number>;
  stop(): Promise<void>;
}
