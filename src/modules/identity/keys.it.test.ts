import { createHmac, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { KeyCreate } from '../../protocol/accounts.ts';
import { EMPTY_BODY_HASH, signingText } from '../../protocol/signing.ts';
import type { SigningFields } from '../../protocol/signing.ts';
import { DAY_MS, codeOf, countCodes, startIdentityRig, valueOf } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import type { Identity, Principal } from './index.ts';

let rig: IdentityRig;
let one: Identity;
let two: Identity;
beforeAll(async () => {
  rig = await startIdentityRig();
  [one, two] = [await rig.node(), await rig.node()];
});
afterEach(() => rig.moveClock(0));
afterAll(() => rig.stop());

const pair = generateKeyPairSync('ed25519');
const PEM = pair.publicKey.export({ format: 'pem', type: 'spki' }).toString();
type Signer = (text: string) => string;
const byEd25519: Signer = (text) => sign(null, Buffer.from(text), pair.privateKey).toString('base64url');
const bySecret =
  (secret: string): Signer =>
  (text) =>
    createHmac('sha256', secret).update(text).digest('base64url');

async function signIn(): Promise<Principal> {
  return valueOf(await one.authenticateToken((await rig.register(one)).accessToken));
}

async function make(me: Principal, given: Partial<KeyCreate> = {}) {
  const body: KeyCreate = { label: 'bot', scopes: ['read'], algorithm: 'hmac-sha256', ...given };
  return one.createKey(me, body, await rig.stepUp(one, me, 'key_create', body), rig.origin());
}

function fieldsOf(keyId: string, given: Partial<SigningFields> = {}): SigningFields {
  return {
    keyId,
    timestampMs: Math.floor(Date.now() + rig.clockMovedMs()),
    recvWindowMs: 5_000,
    nonce: randomUUID(),
    method: 'POST',
    path: '/v1/orders?b=2&a=1',
    bodyHash: EMPTY_BODY_HASH,
    ...given,
  };
}

const signed = (fields: SigningFields, signer: Signer) => ({ ...fields, signature: signer(signingText(fields)) });
const use = async (request: ReturnType<typeof signed>, node = one, ip = '203.0.113.7') =>
  codeOf(await node.authenticateSigned(request, rig.origin({ ip })));

describe('an API key', () => {
  it.each(['ed25519', 'hmac-sha256'] as const)('with %s proves who asks', async (algorithm) => {
    const me = await signIn();
    const wanted = algorithm === 'ed25519' ? { algorithm, publicKey: PEM } : { algorithm };
    const { key, secret } = valueOf(await make(me, { ...wanted, scopes: ['read', 'trade'] }));
    expect(secret === null).toBe(algorithm === 'ed25519');
    const signer = secret === null ? byEd25519 : bySecret(secret);
    const answer = await two.authenticateSigned(signed(fieldsOf(key.id), signer), rig.origin());
    expect(valueOf(answer)).toMatchObject({
      userId: me.userId,
      roles: ['user'],
      sessionId: null,
      keyId: key.id,
      scopes: ['read', 'trade'],
    });
    expect(await two.recheck(valueOf(answer))).toBe(true);
  });

  it('signs every part of a request', async () => {
    const me = await signIn();
    const { key, secret } = valueOf(await make(me));
    const other = valueOf(await make(me));
    const fields = fieldsOf(key.id);
    const request = signed(fields, bySecret(secret!));
    const changes: Partial<typeof request>[] = [
      { keyId: other.key.id },
      { timestampMs: fields.timestampMs + 1 },
      { recvWindowMs: 5_001 },
      { nonce: `${fields.nonce}x` },
      { method: 'PUT' },
      { path: '/v1/orders?b=2&a=2' },
      { path: '/v1/orderz?b=2&a=1' },
      { bodyHash: EMPTY_BODY_HASH.replace('e', 'f') },
      { signature: request.signature.replace(/^./, (letter) => (letter === 'A' ? 'B' : 'A')) },
      { signature: '' },
      { signature: `${request.signature}\n` },
      { signature: 'A'.repeat(43) },
    ];
    for (const change of changes)
      expect([change, await use({ ...request, ...change })]).toEqual([change, 'invalid_signature']);
    // The order of parameters is no part of it.
    expect(await use({ ...request, path: '/v1/orders?a=1&b=2' })).toBe('ok');
  });

  it('is fresh, and used once on all processes', async () => {
    const me = await signIn();
    const { key, secret } = valueOf(await make(me));
    const signer = bySecret(secret!);
    const now = fieldsOf(key.id).timestampMs;
    expect(await use(signed(fieldsOf(key.id, { timestampMs: now - 5_200 }), signer))).toBe('invalid_signature');
    expect(await use(signed(fieldsOf(key.id, { timestampMs: now + 1_800 }), signer))).toBe('invalid_signature');
    expect(await use(signed(fieldsOf(key.id, { timestampMs: now - 30_000, recvWindowMs: 60_000 }), signer))).toBe('ok');
    const request = signed(fieldsOf(key.id), signer);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        (index % 2 ? one : two).authenticateSigned(request, rig.origin({ ip: '203.0.113.7' })),
      ),
    );
    expect(countCodes(answers)).toEqual({ ok: 1, replayed: 19 });
    expect(await use(request, two)).toBe('replayed');
  });

  it('works from its addresses only, and the refusal does not say so', async () => {
    const me = await signIn();
    const ipAllowList = ['127.0.0.1', '2001:db8::/48'];
    const { key, secret } = valueOf(await make(me, { ipAllowList, scopes: ['trade'] }));
    expect(key).toMatchObject({ ipAllowList: ['127.0.0.1/32', '2001:db8::/48'], expiresAt: null });
    const from = async (ip: string) => use(signed(fieldsOf(key.id), bySecret(secret!)), one, ip);
    expect(await from('127.0.0.1')).toBe('ok');
    expect(await from('::ffff:127.0.0.1')).toBe('ok');
    expect(await from('2001:db8:0:1::1')).toBe('ok');
    const denied = await one.authenticateSigned(
      signed(fieldsOf(key.id), bySecret(secret!)),
      rig.origin({ ip: '127.0.0.2' }),
    );
    const unsigned = await one.authenticateSigned(
      signed(fieldsOf(key.id), bySecret('x')),
      rig.origin({ ip: '127.0.0.1' }),
    );
    expect(denied).toEqual(unsigned);
    expect(codeOf(denied)).toBe('invalid_signature');
    const entries = await one.auditOf(me.userId, { before: null, limit: 10 });
    expect(entries[0]).toMatchObject({
      act: 'key_use',
      outcome: 'refused',
      ip: '127.0.0.2',
      details: { reason: 'ip' },
    });
    expect(entries[1]!.act).toBe('key_create');
  });

  it('that may trade from everywhere ends after 90 days', async () => {
    const me = await signIn();
    const { key, secret } = valueOf(await make(me, { scopes: ['trade'] }));
    expect(key.expiresAt! - key.createdAt).toBeGreaterThan(89.9 * DAY_MS);
    expect(key.expiresAt! - key.createdAt).toBeLessThan(90.1 * DAY_MS);
    await rig.moveClock(90 * DAY_MS + 1_000);
    await rig.hearClock(one);
    expect(await use(signed(fieldsOf(key.id), bySecret(secret!)))).toBe('invalid_signature');
    expect(await one.keys(me)).toEqual([]);
  });

  it('is gone at once when it is revoked, and its sockets are told', async () => {
    const me = await signIn();
    const { key, secret } = valueOf(await make(me));
    const signer = bySecret(secret!);
    const principal = valueOf(await two.authenticateSigned(signed(fieldsOf(key.id), signer), rig.origin()));
    const { ticket } = await two.issueTicket(principal);
    const heard: unknown[] = [];
    two.onRevoked((revocation) => heard.push(revocation));
    expect(codeOf(await one.revokeKey(await signIn(), key.id, rig.origin()))).toBe('not_found');
    expect(codeOf(await one.revokeKey(me, 'x\0', rig.origin()))).toBe('not_found');
    expect(codeOf(await one.revokeKey(me, key.id, rig.origin()))).toBe('ok');
    expect(await use(signed(fieldsOf(key.id), signer), two)).toBe('invalid_signature');
    expect(await two.recheck(principal)).toBe(false);
    expect(codeOf(await two.redeemTicket(ticket))).toBe('unauthorized');
    await vi.waitFor(() => expect(heard).toEqual([{ userId: me.userId, sessionId: null, keyId: key.id }]));
  });

  it('opens sockets by ticket with its own rights, until it ends', async () => {
    const me = await signIn();
    const { key, secret } = valueOf(await make(me));
    const principal = valueOf(await one.authenticateSigned(signed(fieldsOf(key.id), bySecret(secret!)), rig.origin()));
    const redeemed = valueOf(await two.redeemTicket((await one.issueTicket(principal)).ticket));
    expect(redeemed).toMatchObject({ userId: me.userId, sessionId: null, keyId: key.id, scopes: ['read'] });
  });

  it('of a suspended user is refused', async () => {
    const grant = await rig.register(one);
    const me = valueOf(await one.authenticateToken(grant.accessToken));
    const { key, secret } = valueOf(await make(me));
    valueOf(await one.setRoles(null, grant.user.email, [], rig.origin()));
    expect(await use(signed(fieldsOf(key.id), bySecret(secret!)))).toBe('invalid_signature');
  });

  it('shows its secret once, and its last use', async () => {
    const me = await signIn();
    const { key, secret } = valueOf(await make(me));
    expect(await use(signed(fieldsOf(key.id), bySecret(secret!)))).toBe('ok');
    const [listed] = await one.keys(me);
    expect(listed).toMatchObject({ id: key.id, lastUsedIp: '203.0.113.7', lastUsedRoute: 'POST /v1/orders' });
    expect(JSON.stringify(listed)).not.toContain(secret);
    const rows = JSON.stringify(await rig.at.admin`select * from identity.api_keys`);
    expect(rows).not.toContain(secret);
    // Once a minute at most.
    expect(await use(signed(fieldsOf(key.id), bySecret(secret!)), one, '203.0.113.8')).toBe('ok');
    expect((await one.keys(me))[0]!.lastUsedIp).toBe('203.0.113.7');
  });

  it('is not made from the wrong things, nor beyond the limit', async () => {
    const me = await signIn();
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
    const wrong: Partial<KeyCreate>[] = [
      { ipAllowList: ['0.0.0.0/0'] },
      { ipAllowList: ['nonsense'] },
      { algorithm: 'ed25519' },
      { publicKey: PEM },
      { algorithm: 'ed25519', publicKey: 'nonsense' },
      { algorithm: 'ed25519', publicKey: rsa.publicKey.export({ format: 'pem', type: 'spki' }).toString() },
      { algorithm: 'ed25519', publicKey: pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString() },
    ];
    for (const each of wrong) {
      const body: KeyCreate = { label: 'bot', scopes: ['read'], algorithm: 'hmac-sha256', ...each };
      expect(codeOf(await one.createKey(me, body, 'tws_x', rig.origin()))).toBe('bad_request');
    }
    await rig.at.runScript(`begin; set local tidewire.identity = 'test';
      insert into identity.api_keys (id, user_id, label, scopes, ip_allow_list, algorithm, public_key, created_at)
      select 'k' || n, '${me.userId}', 'x', '{read}', '{}', 'ed25519', 'x', now() from generate_series(1, 20) as n; commit`);
    expect(codeOf(await make(me))).toBe('above_maximum');
  });

  it('does not accept again, after a crash, what may have been received before it', async () => {
    const own = await startIdentityRig();
    try {
      const before = await own.node();
      const grant = await own.register(before);
      const me = valueOf(await before.authenticateToken(grant.accessToken));
      const body: KeyCreate = { label: 'bot', scopes: ['read'], algorithm: 'hmac-sha256' };
      const token = await own.stepUp(before, me, 'key_create', body);
      const { key, secret } = valueOf(await before.createKey(me, body, token, own.origin()));
      const request = signed(fieldsOf(key.id, { recvWindowMs: 60_000 }), bySecret(secret!));
      expect(codeOf(await before.authenticateSigned(request, own.origin()))).toBe('ok');
      await own.server.server().stop('immediate');
      await own.server.restart();
      const afterwards = await own.node();
      expect(codeOf(await afterwards.authenticateSigned(request, own.origin()))).toBe('invalid_signature');
      await vi.waitFor(
        async () => {
          const fresh = signed(fieldsOf(key.id), bySecret(secret!));
          expect(codeOf(await afterwards.authenticateSigned(fresh, own.origin()))).toBe('ok');
        },
        { timeout: 10_000, interval: 200 },
      );
    } finally {
      await own.stop();
    }
  });
});
