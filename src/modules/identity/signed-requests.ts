import { createHmac, createPublicKey, randomUUID, timingSafeEqual, verify } from 'node:crypto';
import { accepted, refused } from '../../kernel/outcome.ts';
import { SIGNING_FUTURE_LIMIT_MS, isSignable, signingText } from '../../protocol/signing.ts';
import type { Role } from '../../protocol/accounts.ts';
import { refusalOf } from './core.ts';
import type { Core } from './core.ts';
import type { Answer, AuthRefusal, Origin, Principal, SignedRequest } from './identity.ts';
import { isAllowedIp } from './ip-ranges.ts';
import { keyOwner } from './keys.ts';
import { storedOrigin } from './origin.ts';
import { readSigningKey } from './queries.ts';
import type { StoredKey } from './queries.ts';
import { act } from './store.ts';

/** Keys in memory, a kilobyte each; the oldest goes first. */
const KEYS_LIMIT = 5_000;
/** Only their public half or secret and their addresses are believed for so long; whether they are good is asked each time. */
const KEY_KEPT_MS = 60_000;
/** Refused requests of one key that leave an audit entry. */
const AUDIT_EVERY_MS = 60_000;
/** The nonce outlives the request by this. */
const NONCE_SLACK_MS = 5_000;
const ROUTE_LIMIT = 128;
const SIGNATURE = /^[A-Za-z0-9_-]{1,128}$/;

type KnownKey = Readonly<{
  userId: string;
  ipAllowList: readonly string[];
  fits(text: string, signature: Buffer): boolean;
  readMs: number;
}> & { auditedMs: number };

export type SignedDesk = Readonly<{
  authenticate(request: SignedRequest, origin: Origin): Answer<Principal, AuthRefusal>;
}>;

export function createSignedDesk(core: Core): SignedDesk {
  const keys = new Map<string, KnownKey>();
  const keyOf = async (keyId: string, nowMs: number) => {
    const known = keys.get(keyId);
    if (known && nowMs - known.readMs < KEY_KEPT_MS) return known;
    keys.delete(keyId);
    const stored = await readSigningKey(core.database, keyId);
    // A key that is not there is not remembered: names are free, and memory is not.
    if (!stored) return null;
    if (keys.size >= KEYS_LIMIT) keys.delete(keys.keys().next().value!);
    const key = { ...openKey(core, keyId, stored), readMs: nowMs, auditedMs: Number.NEGATIVE_INFINITY };
    keys.set(keyId, key);
    return key;
  };
  return {
    async authenticate(request, origin) {
      const nowMs = await core.revocations.nowMs();
      if (!isSignable(request)) return refusalOf({ code: 'invalid_signature' });
      const { timestampMs, recvWindowMs } = request;
      if (timestampMs > nowMs + SIGNING_FUTURE_LIMIT_MS || timestampMs < nowMs - recvWindowMs)
        return refused('invalid_signature', `the timestamp is outside the window; here it is ${Math.floor(nowMs)}`);
      const key = await keyOf(request.keyId, nowMs);
      // A wrong address, a wrong key and a wrong signature look the same from outside.
      const reason = key === null ? 'key' : mismatchOf(key, request, origin);
      if (reason === null) return useKey(core, request, origin);
      if (key && nowMs - key.auditedMs >= AUDIT_EVERY_MS) {
        key.auditedMs = nowMs;
        await auditRefusal(core, key.userId, { keyId: request.keyId, reason }, origin);
      }
      return refusalOf({ code: 'invalid_signature' });
    },
  };
}

function mismatchOf(key: KnownKey, request: SignedRequest, origin: Origin): 'ip' | 'signature' | null {
  if (!isAllowedIp(storedOrigin(origin).ip, key.ipAllowList)) return 'ip';
  if (!SIGNATURE.test(request.signature)) return 'signature';
  return key.fits(signingText(request), Buffer.from(request.signature, 'base64url')) ? null : 'signature';
}

function openKey(core: Core, keyId: string, stored: StoredKey): Pick<KnownKey, 'userId' | 'ipAllowList' | 'fits'> {
  const { userId, ipAllowList } = stored;
  if (stored.publicKey !== null) {
    const publicKey = createPublicKey(stored.publicKey);
    return { userId, ipAllowList, fits: (text, signature) => verify(null, Buffer.from(text), publicKey, signature) };
  }
  const secret = core.keyring.unseal(stored.sealed ?? '', keyOwner(userId, keyId));
  return {
    userId,
    ipAllowList,
    fits(text, signature) {
      const expected = createHmac('sha256', secret).update(text).digest();
      return signature.length === expected.length && timingSafeEqual(signature, expected);
    },
  };
}

async function useKey(core: Core, request: SignedRequest, origin: Origin): Answer<Principal, AuthRefusal> {
  const { keyId, nonce, timestampMs, recvWindowMs, method, path } = request;
  const answer = await act(core.database, 'use_key', {
    keyId,
    nonce,
    timestampMs,
    nonceUntilMs: timestampMs + recvWindowMs + NONCE_SLACK_MS,
    futureMs: SIGNING_FUTURE_LIMIT_MS,
    useId: randomUUID(),
    ip: storedOrigin(origin).ip,
    route: `${method} ${path.split('?', 1)[0]}`.slice(0, ROUTE_LIMIT),
  });
  if (answer.status === 'refused') return refusalOf(answer);
  return accepted({
    userId: answer.userId,
    roles: answer.roles as Role[],
    sessionId: null,
    keyId,
    scopes: answer.scopes,
    expiresAtMs: answer.nowMs + core.settings.accessTokenMs,
  });
}

async function auditRefusal(
  core: Core,
  userId: string,
  details: Readonly<Record<string, unknown>>,
  origin: Origin,
): Promise<void> {
  const entry = { userId, act: 'key_use', outcome: 'refused', details, origin: storedOrigin(origin) };
  await act(core.database, 'audit', entry);
}
