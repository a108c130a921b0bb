import { SignJWT, errors, jwtVerify } from 'jose';
import { accepted, refused } from '../../kernel/outcome.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import { ROLES } from '../../protocol/accounts.ts';
import type { Role } from '../../protocol/accounts.ts';
import type { Keyring } from './secrets.ts';

/** RFC 9068. */
const TYPE = 'at+jwt';
const ALGORITHM = 'EdDSA';
const TOKEN_LENGTH_LIMIT = 2_048;
/** Verified tokens kept in memory; the oldest goes first. At 10,000 they are about 10 MB. */
const CACHE_LIMIT = 10_000;
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

export type AccessClaims = Readonly<{
  userId: string;
  sessionId: string;
  roles: readonly Role[];
  /** Of the user when the token was made; a change of roles voids all tokens of lower versions. */
  version: number;
  expiresAtMs: number;
}>;

export type AccessTokens = Readonly<{
  /** `issuedAtMs` and the expiry are the database's time. */
  sign(claims: AccessClaims, issuedAtMs: number): Promise<string>;
  /** Whether it is genuine and in time. Revocations are somebody else's business. */
  verify(token: string, nowMs: number): Promise<Outcome<AccessClaims, 'unauthorized' | 'token_expired'>>;
  cached(): number;
}>;

export function createAccessTokens(
  keyring: Keyring,
  issuer: string,
  audience: string,
  cacheLimit = CACHE_LIMIT,
): AccessTokens {
  const cache = new Map<string, AccessClaims>();
  const verifySlowly = async (token: string, nowMs: number) => {
    const { payload } = await jwtVerify(
      token,
      // The key is looked up in our own list and nowhere else: neither `jwk` nor `jku` nor `x5c` is read.
      ({ kid }) => {
        const key = typeof kid === 'string' ? keyring.publicKey(kid) : null;
        if (!key) throw new errors.JWKSNoMatchingKey();
        return key;
      },
      {
        algorithms: [ALGORITHM],
        typ: TYPE,
        issuer,
        audience,
        currentDate: new Date(nowMs),
        requiredClaims: ['exp', 'iat', 'sub', 'sid', 'ver', 'roles'],
      },
    );
    return readClaims(payload);
  };
  return {
    sign: (claims, issuedAtMs) =>
      new SignJWT({ sid: claims.sessionId, ver: claims.version, roles: [...claims.roles] })
        .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid: keyring.signingKey.id })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject(claims.userId)
        .setIssuedAt(Math.floor(issuedAtMs / 1_000))
        .setExpirationTime(claims.expiresAtMs / 1_000)
        .sign(keyring.signingKey.privateKey),
    async verify(token, nowMs) {
      if (token.length > TOKEN_LENGTH_LIMIT) return refused('unauthorized', 'this is no access token');
      const known = cache.get(token);
      if (known) return known.expiresAtMs > nowMs ? accepted(known) : expired(cache, token);
      try {
        const claims = await verifySlowly(token, nowMs);
        if (!claims) return refused('unauthorized', 'the access token is not valid');
        if (cache.size >= cacheLimit) cache.delete(cache.keys().next().value!);
        cache.set(token, claims);
        return accepted(claims);
      } catch (error) {
        // Of a token that is genuine in everything else.
        if (error instanceof errors.JWTExpired) return expired(cache, token);
        if (error instanceof errors.JOSEError) return refused('unauthorized', 'the access token is not valid');
        throw error;
      }
    },
    cached: () => cache.size,
  };
}

function expired(cache: Map<string, AccessClaims>, token: string) {
  cache.delete(token);
  return refused('token_expired', 'the access token has expired; refresh it');
}

function readClaims(payload: Readonly<Record<string, unknown>>): AccessClaims | null {
  const { sub, sid, ver, roles, exp } = payload;
  if (typeof sub !== 'string' || !UUID.test(sub) || typeof sid !== 'string' || !UUID.test(sid)) return null;
  if (typeof ver !== 'number' || !Number.isSafeInteger(ver) || typeof exp !== 'number') return null;
  if (!Array.isArray(roles) || !roles.every(isRole)) return null;
  return { userId: sub, sessionId: sid, roles, version: ver, expiresAtMs: exp * 1_000 };
}

function isRole(value: unknown): value is Role {
  return ROLES.some((role) => role === value);
}
