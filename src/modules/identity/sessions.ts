import { accepted, refused } from '../../kernel/outcome.ts';
import type { SessionGrant } from '../../protocol/accounts.ts';
import type { AccessClaims } from './access-tokens.ts';
import { refusalOf } from './core.ts';
import type { Core } from './core.ts';
import type { Answer, AuthRefusal, Origin, Principal } from './identity.ts';
import { storedOrigin } from './origin.ts';
import { newRefreshToken, readRefreshToken } from './refresh-token.ts';
import { UUID, isStillGood } from './queries.ts';
import { hashOf } from './secrets.ts';
import { act } from './store.ts';
import type { StoredGrant } from './store.ts';

export const ALL_SCOPES = ['read', 'trade'] as const;

type NewTokens = Readonly<{ refreshToken: string; deviceToken?: string | null }>;

export async function grantSession(core: Core, granted: StoredGrant, tokens: NewTokens): Promise<SessionGrant> {
  const { user, sessionId, tokenVersion, nowMs } = granted;
  // Whole seconds, because that is what a JWT says.
  const expiresAtMs = Math.floor((nowMs + core.settings.accessTokenMs) / 1_000) * 1_000;
  const claims = { userId: user.id, sessionId, roles: user.roles, version: tokenVersion, expiresAtMs };
  return {
    user,
    accessToken: await core.tokens.sign(claims, nowMs),
    refreshToken: tokens.refreshToken,
    expiresAt: expiresAtMs,
    ...(tokens.deviceToken ? { deviceToken: tokens.deviceToken } : {}),
  };
}

/** Keeps the second of two overlapping calls with one token out of the database. */
export type RefreshDesk = Readonly<{
  refresh(refreshToken: string, origin: Origin): Answer<SessionGrant, 'unauthorized'>;
}>;

export function createRefreshDesk(core: Core): RefreshDesk {
  const underWay = new Set<string>();
  return {
    async refresh(refreshToken, origin) {
      const read = readRefreshToken(core.keyring, refreshToken);
      if (!read || underWay.has(refreshToken)) return refusalOf({ code: 'unauthorized' });
      underWay.add(refreshToken);
      try {
        return await rotate(core, refreshToken, read, origin);
      } finally {
        underWay.delete(refreshToken);
      }
    },
  };
}

async function rotate(
  core: Core,
  refreshToken: string,
  { sessionId, generation }: Readonly<{ sessionId: string; generation: number }>,
  origin: Origin,
): Answer<SessionGrant, 'unauthorized'> {
  const arrivedMs = await core.revocations.latestNowMs();
  const next = newRefreshToken(core.keyring, { sessionId, generation: generation + 1 });
  const answer = await act(core.database, 'refresh', {
    sessionId,
    generation,
    arrivedMs: Math.ceil(arrivedMs),
    hash: hashOf(refreshToken),
    newHash: hashOf(next),
    idleMs: core.settings.sessionIdleMs,
    origin: storedOrigin(origin),
  });
  if (answer.status === 'ok') return accepted(await grantSession(core, answer, { refreshToken: next }));
  if (answer.reused) {
    core.log.warn({ event: 'identity_refresh_reuse', sessionId, generation, ip: origin.ip });
    core.refreshReuse.inc({});
    await core.revocations.announce();
  }
  return refusalOf({ code: answer.code });
}

export async function endSession(
  core: Core,
  input: Readonly<{ userId: string; sessionId: string; act: 'logout' | 'session_revoke' }>,
  origin: Origin,
): Answer<true, 'not_found'> {
  const answer = await act(core.database, 'end_session', { ...input, origin: storedOrigin(origin) });
  if (answer.status === 'refused') return refusalOf(answer);
  await core.revocations.announce();
  return accepted(true);
}

export async function revokeSession(
  core: Core,
  { userId }: Principal,
  sessionId: string,
  origin: Origin,
): Answer<true, 'not_found'> {
  if (!UUID.test(sessionId)) return refusalOf({ code: 'not_found' });
  return endSession(core, { userId, sessionId, act: 'session_revoke' }, origin);
}

export async function authenticateToken(core: Core, accessToken: string): Answer<Principal, AuthRefusal> {
  const verified = await core.tokens.verify(accessToken, await core.revocations.nowMs());
  if (!verified.ok) return verified;
  const claims = verified.value;
  const principal = principalOf(claims);
  const revoked = await core.revocations.isRevoked(claims);
  const good = revoked === 'ask_database' ? await isStillGood(core.database, principal) : !revoked;
  return good ? accepted(principal) : refused('unauthorized', 'the session has ended, or what it may do has changed');
}

function principalOf(claims: AccessClaims): Principal {
  return {
    userId: claims.userId,
    roles: claims.roles,
    sessionId: claims.sessionId,
    keyId: null,
    scopes: ALL_SCOPES,
    expiresAtMs: claims.expiresAtMs,
  };
}
