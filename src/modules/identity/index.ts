import { createAccessTokens } from './access-tokens.ts';
import { login, register } from './accounts.ts';
import type { Core } from './core.ts';
import type { Identity } from './identity.ts';
import { createPasswords } from './passwords.ts';
import { isStillGood, readUser } from './queries.ts';
import { createRevocations } from './revocations.ts';
import { createKeyring } from './secrets.ts';
import { authenticateToken, createRefreshDesk, endSession } from './sessions.ts';
import { DEFAULT_SETTINGS, REVOCATION_KEPT_MS } from './settings.ts';
import type { IdentityDeps } from './settings.ts';

export type * from './identity.ts';
export { DEFAULT_SETTINGS as IDENTITY_DEFAULTS } from './settings.ts';
export type { IdentityDeps, IdentitySettings, TryLimit } from './settings.ts';

type Ready =
  | 'register'
  | 'login'
  | 'refresh'
  | 'logout'
  | 'user'
  | 'authenticateToken'
  | 'recheck'
  | 'onRevoked'
  | 'stop';

/** Starts looking for revocations at once; `stop` ends that. */
export function createIdentity(deps: IdentityDeps): Pick<Identity, Ready> {
  const core = createCore(deps);
  const { database, revocations } = core;
  const refreshDesk = createRefreshDesk(core);
  return {
    register: (input, origin) => register(core, input, origin),
    login: (input, origin) => login(core, input, origin),
    refresh: (refreshToken, origin) => refreshDesk.refresh(refreshToken, origin),
    async logout({ userId, sessionId }, origin) {
      if (sessionId !== null) await endSession(core, { userId, sessionId, act: 'logout' }, origin);
    },
    user: (userId) => readUser(database, userId),
    authenticateToken: (accessToken) => authenticateToken(core, accessToken),
    recheck: (principal) => isStillGood(database, principal),
    onRevoked: (listener) => revocations.onRevoked(listener),
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
    metrics,
  };
}
