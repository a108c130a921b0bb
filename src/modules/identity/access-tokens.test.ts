import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { CompactEncrypt } from 'jose';
import { describe, expect, it } from 'vitest';
import { createAccessTokens } from './access-tokens.ts';
import { createKeyring } from './secrets.ts';

const SECRET = 'the secret of this installation, long enough';
const NOW_MS = 1_900_000_000_000;
const keyring = createKeyring(SECRET, []);
const { id: kid, privateKey } = keyring.signingKey;
const claims = {
  userId: '01900000-0000-7000-8000-000000000001',
  sessionId: '01900000-0000-7000-8000-000000000002',
  roles: ['user'] as const,
  version: 1,
  expiresAtMs: NOW_MS + 600_000,
};
const header = { alg: 'EdDSA', typ: 'at+jwt', kid };
const payload = {
  iss: 'tidewire',
  aud: 'tidewire-api',
  sub: claims.userId,
  sid: claims.sessionId,
  ver: 1,
  roles: ['user'],
  iat: NOW_MS / 1_000,
  exp: NOW_MS / 1_000 + 600,
};

function tokens() {
  return createAccessTokens(keyring, 'tidewire', 'tidewire-api');
}

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token as an attacker, or we ourselves, would put it together by hand. */
function forge(head: object, body: object, signer: (text: Buffer) => Buffer): string {
  const text = `${encode(head)}.${encode(body)}`;
  return `${text}.${signer(Buffer.from(text)).toString('base64url')}`;
}

const genuine = (text: Buffer) => sign(null, text, privateKey);
const foreignPair = generateKeyPairSync('ed25519');
const foreign = (text: Buffer) => sign(null, text, foreignPair.privateKey);
const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const publicPem = keyring.publicKey(kid)!.export({ format: 'pem', type: 'spki' });
const publicRaw = Buffer.from(keyring.publicKey(kid)!.export({ format: 'jwk' }).x!, 'base64url');
const without = (name: string) => Object.fromEntries(Object.entries(payload).filter(([key]) => key !== name));

const FORGED: Record<string, string> = {
  'alg none without a signature': forge({ ...header, alg: 'none' }, payload, () => Buffer.alloc(0)),
  'alg None in other case': forge({ ...header, alg: 'nOnE' }, payload, () => Buffer.alloc(0)),
  'alg none with the genuine signature': forge({ ...header, alg: 'none' }, payload, genuine),
  'HS256 keyed with the public key as PEM': forge({ ...header, alg: 'HS256' }, payload, (text) =>
    createHmac('sha256', publicPem).update(text).digest(),
  ),
  'HS256 keyed with the public key as bytes': forge({ ...header, alg: 'HS256' }, payload, (text) =>
    createHmac('sha256', publicRaw).update(text).digest(),
  ),
  'RS256 with its key embedded': forge(
    { ...header, alg: 'RS256', jwk: rsa.publicKey.export({ format: 'jwk' }) },
    payload,
    (text) => sign('sha256', text, rsa.privateKey),
  ),
  'EdDSA with its key embedded': forge(
    { alg: 'EdDSA', typ: 'at+jwt', jwk: foreignPair.publicKey.export({ format: 'jwk' }) },
    payload,
    foreign,
  ),
  'our kid, somebody else’s key': forge(header, payload, foreign),
  'a kid that is a path': forge({ ...header, kid: '../../../../dev/null' }, payload, foreign),
  'a kid that is a query': forge({ ...header, kid: "x' union select 'key" }, payload, foreign),
  'a kid of the prototype': forge({ ...header, kid: '__proto__' }, payload, genuine),
  'a kid that is a list': forge({ ...header, kid: [kid] }, payload, genuine),
  'no kid': forge({ alg: 'EdDSA', typ: 'at+jwt' }, payload, genuine),
  'keys to be fetched': forge({ ...header, kid: 'other', jku: 'http://127.0.0.1:1/keys' }, payload, foreign),
  'a critical extension that nobody knows': forge({ ...header, crit: ['x'], x: 1 }, payload, genuine),
  'an unencoded payload': forge({ ...header, crit: ['b64'], b64: false }, payload, genuine),
  'the type of an ordinary JWT': forge({ ...header, typ: 'JWT' }, payload, genuine),
  'no type': forge({ alg: 'EdDSA', kid }, payload, genuine),
  'another issuer': forge(header, { ...payload, iss: 'evil' }, genuine),
  'a list of issuers': forge(header, { ...payload, iss: ['tidewire', 'evil'] }, genuine),
  'another audience': forge(header, { ...payload, aud: 'other-api' }, genuine),
  'no audience': forge(header, without('aud'), genuine),
  'no issuer': forge(header, without('iss'), genuine),
  'no expiry': forge(header, without('exp'), genuine),
  'an expiry that is text': forge(header, { ...payload, exp: `${payload.exp}` }, genuine),
  'no session': forge(header, without('sid'), genuine),
  'no version': forge(header, without('ver'), genuine),
  'a time before which it is not good': forge(header, { ...payload, nbf: payload.iat + 60 }, genuine),
  'a role that does not exist': forge(header, { ...payload, roles: ['root'] }, genuine),
  'a subject that is no user id': forge(header, { ...payload, sub: 'admin' }, genuine),
  'no token at all': 'x',
  'five parts': 'a.b.c.d.e',
  'too long': `${'a'.repeat(3_000)}.b.c`,
};

describe('access tokens', () => {
  it('say what was put in, also from the cache', async () => {
    const desk = tokens();
    const token = await desk.sign(claims, NOW_MS);
    for (let count = 0; count < 2; count++)
      expect(await desk.verify(token, NOW_MS)).toEqual({ ok: true, value: claims });
    expect(desk.cached()).toBe(1);
  });

  it('made by hand like ours are good, so that the forgeries below fail for their own reason', async () => {
    expect(await tokens().verify(forge(header, payload, genuine), NOW_MS)).toEqual({ ok: true, value: claims });
  });

  it.each(Object.entries(FORGED))('do not let anybody in with %s', async (_, token) => {
    expect(await tokens().verify(token, NOW_MS)).toMatchObject({ ok: false, code: 'unauthorized' });
  });

  it('do not let an encrypted token in', async () => {
    const token = await new CompactEncrypt(Buffer.from(JSON.stringify(payload)))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', typ: 'at+jwt' })
      .encrypt(Buffer.alloc(32, 1));
    expect(await tokens().verify(token, NOW_MS)).toMatchObject({ ok: false, code: 'unauthorized' });
  });

  it.each(['header', 'payload', 'signature'])('notice one changed letter in the %s', async (part) => {
    const desk = tokens();
    const token = await desk.sign(claims, NOW_MS);
    const parts = token.split('.');
    const index = ['header', 'payload', 'signature'].indexOf(part);
    const at = Math.floor(parts[index]!.length / 2);
    const letter = parts[index]![at] === 'A' ? 'B' : 'A';
    parts[index] = parts[index]!.slice(0, at) + letter + parts[index]!.slice(at + 1);
    expect(await desk.verify(parts.join('.'), NOW_MS)).toMatchObject({ ok: false, code: 'unauthorized' });
  });

  it('end in time, also when they were verified before', async () => {
    const desk = tokens();
    const token = await desk.sign(claims, NOW_MS);
    expect(await desk.verify(token, claims.expiresAtMs - 1)).toMatchObject({ ok: true });
    const late = { ok: false, code: 'token_expired' };
    expect(await desk.verify(token, claims.expiresAtMs)).toMatchObject(late);
    expect(await desk.verify(token, claims.expiresAtMs + 86_400_000)).toMatchObject(late);
    expect(await tokens().verify(token, claims.expiresAtMs)).toMatchObject(late);
  });

  it('stay good when the secret is retired, and die when it is gone', async () => {
    const token = await tokens().sign(claims, NOW_MS);
    const next = 'another secret, also long enough, of later';
    const rotated = createAccessTokens(createKeyring(next, [SECRET]), 'tidewire', 'tidewire-api');
    const forgotten = createAccessTokens(createKeyring(next, []), 'tidewire', 'tidewire-api');
    expect(await rotated.verify(token, NOW_MS)).toMatchObject({ ok: true });
    expect(await forgotten.verify(token, NOW_MS)).toMatchObject({ ok: false, code: 'unauthorized' });
  });

  it('keep the memory of verified ones bounded', async () => {
    const desk = createAccessTokens(keyring, 'tidewire', 'tidewire-api', 10);
    for (let count = 0; count < 25; count++) {
      const token = forge(header, { ...payload, jti: count }, genuine);
      await desk.verify(token, NOW_MS);
    }
    expect(desk.cached()).toBe(10);
  });
});
