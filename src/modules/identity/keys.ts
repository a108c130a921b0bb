import { createPublicKey, randomBytes } from 'node:crypto';
import { accepted, refused } from '../../kernel/outcome.ts';
import type { KeyCreate, NewApiKey } from '../../protocol/accounts.ts';
import { KEY_ID } from '../../protocol/signing.ts';
import { refusalOf } from './core.ts';
import type { Core } from './core.ts';
import type { Answer, Origin, Principal, StepUpRefusal } from './identity.ts';
import { normalizeRange } from './ip-ranges.ts';
import { storedOrigin } from './origin.ts';
import { newSecret } from './secrets.ts';
import { KEYS_PER_USER, UNBOUND_TRADE_KEY_MS } from './settings.ts';
import { stepUpOf } from './step-up.ts';
import { act } from './store.ts';

const KEY_ID_BYTES = 16;

/** Sealed secrets belong to one key of one user. */
export function keyOwner(userId: string, keyId: string): string {
  return `api key ${userId} ${keyId}`;
}

/** What the step-up confirmed: the whole body of the request. */
export async function createKey(
  core: Core,
  { userId, sessionId }: Principal,
  input: KeyCreate,
  stepUpToken: string,
  origin: Origin,
): Answer<NewApiKey, 'bad_request' | 'above_maximum' | StepUpRefusal> {
  const ipAllowList = readAllowList(input.ipAllowList ?? []);
  if (!ipAllowList) return refused('bad_request', 'ipAllowList: addresses or ranges no wider than /8 (IPv6: /32)');
  const publicKey = readPublicKey(input);
  if (!publicKey) return refused('bad_request', 'publicKey: an Ed25519 key as PEM (SPKI), with ed25519 only');
  const keyId = `twk_${randomBytes(KEY_ID_BYTES).toString('base64url')}`;
  const secret = publicKey.pem === null ? newSecret() : null;
  const unbound = input.scopes.includes('trade') && ipAllowList.length === 0;
  const answer = await act(core.database, 'create_key', {
    userId,
    sessionId,
    keyId,
    label: input.label,
    scopes: [...new Set(input.scopes)],
    ipAllowList,
    algorithm: input.algorithm,
    publicKey: publicKey.pem,
    sealed: secret === null ? null : core.keyring.seal(secret, keyOwner(userId, keyId)),
    lifeMs: unbound ? UNBOUND_TRADE_KEY_MS : null,
    keysLimit: KEYS_PER_USER,
    stepUp: stepUpOf(core, stepUpToken, input),
    origin: storedOrigin(origin),
  });
  return answer.status === 'refused' ? refusalOf(answer) : accepted({ key: answer.key, secret });
}

function readAllowList(list: readonly string[]): string[] | null {
  const ranges = list.map(normalizeRange);
  return ranges.includes(null) ? null : [...new Set(ranges as string[])];
}

/** `pem` is null with HMAC; null: not what the algorithm wants. */
function readPublicKey({ algorithm, publicKey }: KeyCreate): Readonly<{ pem: string | null }> | null {
  if (algorithm === 'hmac-sha256') return publicKey === undefined ? { pem: null } : null;
  // A private key would be read as well, and its public half taken.
  if (publicKey === undefined || !publicKey.includes('BEGIN PUBLIC KEY')) return null;
  try {
    const key = createPublicKey({ key: publicKey, format: 'pem', type: 'spki' });
    return key.asymmetricKeyType === 'ed25519' ? { pem: key.export({ format: 'pem', type: 'spki' }).toString() } : null;
  } catch {
    // Whatever OpenSSL says about it: it is not the key that was asked for.
    return null;
  }
}

export async function revokeKey(
  core: Core,
  { userId }: Principal,
  keyId: string,
  origin: Origin,
): Answer<true, 'not_found'> {
  if (!KEY_ID.test(keyId)) return refusalOf({ code: 'not_found' });
  const answer = await act(core.database, 'revoke_key', { userId, keyId, origin: storedOrigin(origin) });
  if (answer.status === 'refused') return refusalOf(answer);
  await core.revocations.announce();
  return accepted(true);
}
