import { accepted } from '../../kernel/outcome.ts';
import type { Role, User } from '../../protocol/accounts.ts';
import { emailOf } from './accounts.ts';
import { refusalOf } from './core.ts';
import type { Core } from './core.ts';
import type { Answer, Origin, Principal } from './identity.ts';
import { storedOrigin } from './origin.ts';
import { act } from './store.ts';

/** No role at all suspends the user: sessions end, keys are refused, and nobody can log in. */
export async function setRoles(
  core: Core,
  by: Principal | null,
  email: string,
  roles: readonly Role[],
  origin: Origin,
): Answer<User, 'not_found' | 'forbidden'> {
  // An API key never makes an admin, whoever's it is.
  if (by && (by.sessionId === null || !by.roles.includes('admin'))) return refusalOf({ code: 'forbidden' });
  const answer = await act(core.database, 'set_roles', {
    by: by?.userId ?? null,
    email: emailOf(email),
    roles,
    origin: storedOrigin(origin),
  });
  if (answer.status === 'refused') return refusalOf(answer);
  if (answer.changed) await core.revocations.announce();
  return accepted(answer.user);
}
