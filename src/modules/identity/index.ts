import { createAccessTokens } from './access-tokens.ts';
import { login, register } from './accounts.ts';
import { sweep, verifyAudit, writeAudit } from './audit.ts';
import type { Core } from './core.ts';
import type { Identity } from './identity.ts';
import { createKey, revokeKey } from './keys.ts';
import { createPasswords } from './passwords.ts';
import { isStillGood, readAuditOf, readKeys, readSessions, readUser } from './queries.ts';
import { createRevocations } from './revocations.ts';
import { setRoles } from './roles.ts';
import { beginTotp, confirmTotp, disableTotp, renewRecoveryCodes } from './second-factor.ts';
import { createKeyring } from './secrets.ts';
import { authenticateToken, createRefreshDesk, endSession, revokeSession } from './sessions.ts';
import { DEFAULT_SETTINGS, REVOCATION_KEPT_MS } from './settings.ts';
import type { IdentityDeps } from './settings.ts';
import { createSignedDesk } from './signed-requests.ts';
import { changePassword, stepUp } from './step-up.ts';
import { issueTicket, redeemTicket } from './tickets.ts';

export type * from './identity.ts';
export { DEFAULT_SETTINGS as IDENTITY_DEFAULTS } from './settings.ts';
export type { IdentityDeps, IdentitySettings, TryLimit } from './settings.ts';

/** Starts looking for revocations at once; `stop` ends that. */
export function createIdentity(deps: IdentityDeps): Identity {
  const core = createCore(deps);
  const { database, revocations } = core;
  const refreshDesk = createRefreshDesk(core);
  const signedDesk = createSignedDesk(core);
  return {
    register: (input, origin) => register(core, input, origin),
    login: (input, origin) => login(core, input, origin),
    refresh: (refreshToken, origin) => refreshDesk.refresh(refreshToken, origin),
    async logout({ userId, sessionId }, origin) {
      if (sessionId !== null) await endSession(core, { userId, sessionId, act: 'logout' }, origin);
    },
    user: (userId) => readUser(database, userId),
    authenticateToken: (accessToken) => authenticateToken(core, accessToken),
    authenticateSigned: (request, origin) => signedDesk.authenticate(request, origin),
    issueTicket: (principal) => issueTicket(core, principal),
    redeemTicket: (ticket) => redeemTicket(core, ticket),
    recheck: (principal) => isStillGood(database, principal),
    onRevoked: (listener) => revocations.onRevoked(listener),
    sessions: (principal) => readSessions(database, principal),
    revokeSession: (principal, sessionId, origin) => revokeSession(core, principal, sessionId, origin),
    changePassword: (principal, input, origin) => changePassword(core, principal, input, origin),
    beginTotp: (principal, origin) => beginTotp(core, principal, origin),
    confirmTotp: (principal, code, origin) => confirmTotp(core, principal, code, origin),
    disableTotp: (principal, stepUpToken, origin) => disableTotp(core, principal, stepUpToken, origin),
    renewRecoveryCodes: (principal, stepUpToken, origin) => renewRecoveryCodes(core, principal, stepUpToken, origin),
    stepUp: (principal, input, origin) => stepUp(core, principal, input, origin),
    createKey: (principal, input, stepUpToken, origin) => createKey(core, principal, input, stepUpToken, origin),
    keys: (principal) => readKeys(database, principal.userId),
    revokeKey: (principal, keyId, origin) => revokeKey(core, principal, keyId, origin),
    setRoles: (by, email, roles, origin) => setRoles(core, by, email, roles, origin),
    auditOf: (userId, page) => readAuditOf(database, userId, page),
    audit: (entry, origin) => writeAudit(core, entry, origin),
    verifyAudit: () => verifyAudit(database),
    sweep: (limit) => sweep(core, limit),
    stop: () => revocations.stop(),
  };
}

function createCore(deps: IdentityDeps): Core {
  const { database, signals, log, metrics, clock } = deps;
  const settings = { ...DEFAULT_SETTINGS, ...deps.settings };
  const keyring = createKeyring(deps.signingSecret, deps.retiredSecrets ?? []);
  return {
    database,
    keyring,
    tokens: createAccessTokens(keyring, settings.issuer, settings.audience),
    passwords: createPasswords(metrics),
    revocations: createRevocations({ database, signals, clock, log, metrics, keptMs: REVOCATION_KEPT_MS }),
    settings,
    log,
    refreshReuse: metrics.counter(
      'identity_refresh_reuse_total',
      'Sessions ended because a used refresh token came again',
    ),
  };
}
