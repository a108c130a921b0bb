import type { Clock } from '../../kernel/clock.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import { accepted, refused } from '../../kernel/outcome.ts';
import type { Identity, Principal, Revocation, SignedRequest } from '../../modules/identity/index.ts';
import type { Log } from '../../platform/log.ts';
import { wireError } from '../../protocol/errors.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { ConnectionLimits } from '../../protocol/limits.ts';
import type { AuthenticateRequest, Authenticated } from '../../protocol/messages.ts';
import { EMPTY_BODY_HASH, RECV_WINDOW_DEFAULT_MS } from '../../protocol/signing.ts';
import type { Connection } from './connection.ts';
import type { HubAccounts } from './hub-context.ts';
import type { MethodOutcome } from './methods.ts';
import type { Peer } from './wire.ts';

/** Refused proofs of one connection; the next closes it. */
const FAILURES_LIMIT = 5;
/** Revocations remembered, for proofs that were under way when they came; a proof that saw more pass is refused. */
const RECENT_REVOCATIONS_LIMIT = 1_000;
/** An API key has no end of its own that a client could renew: it is asked about again this often. */
const KEY_RECHECK_MS = 300_000;
/** How long a key that cannot be asked about (the database is away) is still believed. */
const KEY_DOUBT_MS = 4_000;
/** What a signature over no request at all stands for. */
const SIGNED_METHOD = 'AUTHENTICATE';
const SIGNED_PATH = '/ws';

export type AuthenticatorDeps = Readonly<{
  accounts: Pick<HubAccounts, 'identity' | 'auditRefusal'>;
  clock: Clock;
  log: Log;
  limits: ConnectionLimits;
}>;
/** A proof that has been checked, until a connection takes it over; revocations since `seenRevocations` may still undo it. */
export type Proof = Readonly<{
  outcome: Outcome<Principal, ErrorCode>;
  retryAfterMs?: number;
  seenRevocations: number;
}>;
/** `untilMs` is monotonic: a step of the wall clock lengthens nothing. */
type Standing = { untilMs: number; checking: boolean; failures: number };

/** Whose connections these are: proves it, limits how many one user may have, and ends them with what they were proved by. */
export class Authenticator {
  readonly #deps: AuthenticatorDeps;
  readonly #byUser = new Map<string, Set<Connection>>();
  readonly #standings = new WeakMap<Connection, Standing>();
  readonly #recentRevocations: Revocation[] = [];
  readonly #stopListening: () => void;
  #revocations = 0;

  constructor(deps: AuthenticatorDeps) {
    this.#deps = deps;
    this.#stopListening = deps.accounts.identity.onRevoked((revocation) => this.#onRevoked(revocation));
  }

  /** Connections of one user; of those that have proved who they are. */
  connectionsOf(userId: string): Iterable<Connection> {
    return this.#byUser.get(userId) ?? [];
  }

  /** Rejects with `DatabaseFailure` only. */
  async prove(credentials: AuthenticateRequest, peer: Peer): Promise<Proof> {
    const seenRevocations = this.#revocations;
    const answer = await this.#ask(credentials, peer);
    const { retryAfterMs } = answer;
    if (!answer.ok) {
      const refusal = { userId: null, keyId: null, route: SIGNED_METHOD, code: answer.code };
      this.#deps.accounts.auditRefusal?.(refusal, { ...peer, requestId: null });
    }
    return { outcome: answer, seenRevocations, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  }

  /** Gives the connection its principal, or says why not. Synchronous: nothing can come between the check and the effect. */
  adopt(connection: Connection, proof: Proof): MethodOutcome {
    const decided = this.#decide(connection, proof);
    if (decided.ok) {
      const principal = decided.value;
      this.#enter(connection, principal);
      const { userId, scopes, keyId, expiresAtMs } = principal;
      const expiresAt = keyId === null ? expiresAtMs : null;
      return { ok: true, result: { userId, scopes: [...scopes], expiresAt } satisfies Authenticated };
    }
    const standing = this.#standingOf(connection);
    standing.failures += 1;
    if (standing.failures > FAILURES_LIMIT) connection.close('unauthorized');
    return { ok: false, error: wireError(decided.code, decided.message, proof.retryAfterMs) };
  }

  forget(connection: Connection): void {
    const { principal } = connection;
    if (principal === null) return;
    const all = this.#byUser.get(principal.userId);
    all?.delete(connection);
    if (all?.size === 0) this.#byUser.delete(principal.userId);
  }

  /** Ends what has expired. To be called at least every few seconds. */
  check(): void {
    const nowMs = this.#deps.clock.monotonic();
    for (const connections of this.#byUser.values()) {
      for (const connection of connections) {
        const { principal } = connection;
        const standing = this.#standingOf(connection);
        if (principal === null || !connection.isOpen || nowMs < standing.untilMs) continue;
        if (principal.keyId === null || nowMs >= standing.untilMs + KEY_DOUBT_MS) connection.close('unauthorized');
        else if (!standing.checking) void this.#recheck(connection, principal, standing);
      }
    }
  }

  stop(): void {
    this.#stopListening();
  }

  #ask(credentials: AuthenticateRequest, peer: Peer): ReturnType<Identity['authenticateToken']> {
    const { identity } = this.#deps.accounts;
    if ('token' in credentials) return identity.authenticateToken(credentials.token);
    if ('ticket' in credentials) return identity.redeemTicket(credentials.ticket);
    const { keyId, timestamp, recvWindow, nonce, signature } = credentials.signed;
    const request: SignedRequest = {
      keyId,
      timestampMs: timestamp,
      recvWindowMs: recvWindow ?? RECV_WINDOW_DEFAULT_MS,
      nonce,
      signature,
      method: SIGNED_METHOD,
      path: SIGNED_PATH,
      bodyHash: EMPTY_BODY_HASH,
    };
    return identity.authenticateSigned(request, { ...peer, requestId: null });
  }

  #decide(connection: Connection, { outcome, seenRevocations }: Proof): Outcome<Principal, ErrorCode> {
    if (!outcome.ok) return outcome;
    const principal = outcome.value;
    const before = connection.principal;
    if (before !== null && before.userId !== principal.userId) {
      return refused('forbidden', 'This connection belongs to another user: open a new one');
    }
    if (this.#revokedSince(seenRevocations, principal)) return refused('unauthorized', 'It was revoked just now');
    const held = this.#byUser.get(principal.userId)?.size ?? 0;
    if (before === null && held >= this.#deps.limits.connectionsPerUser) {
      return refused('connection_limit', 'You have as many connections as you may');
    }
    return accepted(principal);
  }

  #enter(connection: Connection, principal: Principal): void {
    if (!connection.isOpen) return;
    connection.principal = principal;
    const { clock } = this.#deps;
    const leftMs = principal.expiresAtMs - clock.now();
    const standing = this.#standingOf(connection);
    standing.untilMs = clock.monotonic() + (principal.keyId === null ? leftMs : Math.min(leftMs, KEY_RECHECK_MS));
    standing.failures = 0;
    const all = this.#byUser.get(principal.userId) ?? new Set();
    all.add(connection);
    this.#byUser.set(principal.userId, all);
  }

  #standingOf(connection: Connection): Standing {
    let standing = this.#standings.get(connection);
    if (standing === undefined) {
      standing = { untilMs: 0, checking: false, failures: 0 };
      this.#standings.set(connection, standing);
    }
    return standing;
  }

  async #recheck(connection: Connection, principal: Principal, standing: Standing): Promise<void> {
    standing.checking = true;
    try {
      const good = await this.#deps.accounts.identity.recheck(principal);
      if (connection.principal !== principal) return;
      if (good) standing.untilMs = this.#deps.clock.monotonic() + KEY_RECHECK_MS;
      else connection.close('unauthorized');
    } catch (error) {
      // Asked again at the next check, until the time of doubt is over.
      this.#deps.log.warn({ event: 'recheck_failed', connectionId: connection.id, err: error });
    } finally {
      standing.checking = false;
    }
  }

  #onRevoked(revocation: Revocation): void {
    this.#revocations += 1;
    this.#recentRevocations.push(revocation);
    if (this.#recentRevocations.length > RECENT_REVOCATIONS_LIMIT) this.#recentRevocations.shift();
    for (const connection of this.connectionsOf(revocation.userId)) {
      if (connection.principal && concerns(revocation, connection.principal)) connection.close('unauthorized');
    }
  }

  #revokedSince(seen: number, principal: Principal): boolean {
    const missed = this.#revocations - seen;
    if (missed > this.#recentRevocations.length) return true;
    return missed > 0 && this.#recentRevocations.slice(-missed).some((each) => concerns(each, principal));
  }
}

function concerns({ userId, sessionId, keyId }: Revocation, principal: Principal): boolean {
  if (userId !== principal.userId) return false;
  if (sessionId === null && keyId === null) return true;
  return (sessionId !== null && sessionId === principal.sessionId) || (keyId !== null && keyId === principal.keyId);
}
