import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { generateKeyPairSync, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiKeysAnswer, NewApiKeySchema } from '../../protocol/accounts.ts';
import type { SessionGrant } from '../../protocol/accounts.ts';
import { EMPTY_BODY_HASH, signingText } from '../../protocol/signing.ts';
import {
  callRaw,
  codeOf,
  createKeyOver,
  ownIp,
  registerOver,
  signedHeaders,
  stepUpOver,
} from '../../testing/account-calls.ts';
import type { TestKey } from '../../testing/account-calls.ts';
import { startAccountsServer } from '../../testing/accounts-server.ts';
import type { AccountsServer } from '../../testing/accounts-server.ts';
import { startIdentityRig } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import { startQuotedMarket } from '../../testing/scripted-gateway.ts';
import type { ScriptedMarket } from '../../testing/scripted-market.ts';

/** What a revocation may take to be known everywhere. */
const REVOCATION_LIMIT_MS = 2_000;
const PYTHON = '/usr/bin/python3';

let rig: IdentityRig;
let scripted: ScriptedMarket;
let one: AccountsServer;
let two: AccountsServer;
let grant: SessionGrant;
let key: TestKey;

beforeAll(async () => {
  rig = await startIdentityRig();
  scripted = await startQuotedMarket();
  one = await startAccountsServer(rig, scripted);
  two = await startAccountsServer(rig, scripted, { identity: { deaf: true } });
  grant = await registerOver(one, rig);
  key = await createKeyOver(one, grant.accessToken, rig.password);
});
afterAll(async () => {
  await one.stop();
  await two.stop();
  await scripted.stop();
  await rig.stop();
});

const me = (headers: Record<string, string>, server = one, path = '/v1/me', ip = ownIp()) =>
  server.call('GET', path, { headers, ip });

describe('a signed request', () => {
  it('is its key’s, on every node', async () => {
    for (const server of [one, two]) {
      const answer = await me(signedHeaders(key, 'GET', '/v1/me'), server);
      expect(answer.status, answer.text).toBe(200);
      expect(answer.body).toMatchObject({ id: grant.user.id });
    }
  });

  it('may be signed with an Ed25519 key of which the server has the public half only', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const body = {
      label: 'own key',
      scopes: ['read'],
      algorithm: 'ed25519',
      publicKey: publicKey.export({ format: 'pem', type: 'spki' }).toString(),
    };
    const token = grant.accessToken;
    const proof = await stepUpOver(one, token, { act: 'key_create', operation: body, password: rig.password });
    const made = await one.call('POST', '/v1/auth/keys', { token, body, headers: { 'x-step-up-token': proof } });
    const { key: own, secret } = NewApiKeySchema.parse(made.body);
    expect(secret).toBeNull();
    const headers = signedHeaders({ id: own.id, secret: 'unused' }, 'GET', '/v1/me');
    const text = signingText({
      keyId: own.id,
      timestampMs: Number(headers['x-api-timestamp']),
      recvWindowMs: 5_000,
      nonce: headers['x-api-nonce']!,
      method: 'GET',
      path: '/v1/me',
      bodyHash: EMPTY_BODY_HASH,
    });
    expect(codeOf(await me(headers))).toBe('invalid_signature');
    const signature = sign(null, Buffer.from(text), privateKey).toString('base64url');
    const again = { ...headers, 'x-api-signature': signature };
    expect((await me(again)).status).toBe(200);
  });

  const flip = (text: string): string => (text.endsWith('A') ? `${text.slice(0, -1)}B` : `${text.slice(0, -1)}A`);
  it.each<[string, (headers: Record<string, string>) => Record<string, string>]>([
    ['signature', (headers) => ({ ...headers, 'x-api-signature': `A${flip(headers['x-api-signature']!.slice(1))}` })],
    ['time', (headers) => ({ ...headers, 'x-api-timestamp': String(Number(headers['x-api-timestamp']) - 1) })],
    ['window', (headers) => ({ ...headers, 'x-api-recv-window': '5001' })],
    ['nonce', (headers) => ({ ...headers, 'x-api-nonce': flip(headers['x-api-nonce']!) })],
    ['key', (headers) => ({ ...headers, 'x-api-key': flip(headers['x-api-key']!) })],
  ])('with another %s is refused', async (_name, change) => {
    const answer = await me(change(signedHeaders(key, 'GET', '/v1/me')));
    expect([answer.status, codeOf(answer)]).toEqual([401, 'invalid_signature']);
  });

  it('for another method, path, query or body is refused; for a query in another order it is not', async () => {
    const other = await one.call('DELETE', '/v1/auth/keys/x', {
      headers: signedHeaders(key, 'GET', '/v1/auth/keys/x'),
    });
    expect(codeOf(other)).toBe('invalid_signature');
    expect(codeOf(await me(signedHeaders(key, 'GET', '/v1/mee')))).toBe('invalid_signature');
    expect(codeOf(await me(signedHeaders(key, 'GET', '/v1/me?a=1'), one, '/v1/me?a=2'))).toBe('invalid_signature');
    // The route takes no query: getting that far means that the signature was right.
    expect(codeOf(await me(signedHeaders(key, 'GET', '/v1/me?b=2&a=1'), one, '/v1/me?a=1&b=2'))).toBe('bad_request');
    const body = '{"symbol":"BTC/USDT"}';
    const place = (signed: string) =>
      one.call('POST', '/v1/orders/quote', {
        body,
        headers: signedHeaders(key, 'POST', '/v1/orders/quote', { body: signed }),
        ip: ownIp(),
      });
    expect(codeOf(await place(`${body} `))).toBe('invalid_signature');
    expect(codeOf(await place(body))).toBe('bad_request');
  });

  it.each<[string, number, number, number]>([
    ['5.1 s old', -5_100, 5_000, 401],
    ['old within its own window', -20_000, 60_000, 200],
    ['61 s old with the widest window', -61_000, 60_000, 401],
    ['1.5 s in the future', 1_500, 5_000, 401],
    ['a little in the future', 500, 5_000, 200],
  ])('%s', async (_name, offsetMs, recvWindowMs, status) => {
    const timestampMs = Date.now() + offsetMs;
    expect((await me(signedHeaders(key, 'GET', '/v1/me', { timestampMs, recvWindowMs }))).status).toBe(status);
  });

  it.each([
    ['x-api-timestamp', '1790000000000.5'],
    ['x-api-timestamp', '-1790000000000'],
    ['x-api-timestamp', '1790000000000000000'],
    ['x-api-timestamp', 'now'],
    ['x-api-recv-window', '60001'],
    ['x-api-recv-window', '0'],
    ['x-api-recv-window', '5e3'],
    ['x-api-nonce', 'short'],
    ['x-api-nonce', "x'; drop table --xxxx"],
    ['x-api-key', 'twk_'],
    ['x-api-signature', '='],
  ])('%s: %s is no form of ours', async (name, value) => {
    const answer = await me({ ...signedHeaders(key, 'GET', '/v1/me'), [name]: value });
    expect([answer.status, codeOf(answer)]).toEqual([401, 'invalid_signature']);
  });

  it('happens once: not again, not on another node, and of twenty at once one', async () => {
    const headers = signedHeaders(key, 'GET', '/v1/me');
    expect((await me(headers)).status).toBe(200);
    for (const server of [one, two]) {
      const answer = await me(headers, server);
      expect([answer.status, codeOf(answer)]).toEqual([409, 'replayed']);
    }
    const fresh = signedHeaders(key, 'GET', '/v1/me');
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => me(fresh, index % 2 ? one : two)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  });

  it('with a header twice is refused', async () => {
    const headers = { ...signedHeaders(key, 'GET', '/v1/me'), 'x-api-nonce': ['a'.repeat(16), 'b'.repeat(16)] };
    expect((await callRaw(one.port, { method: 'GET', path: '/v1/me', headers })).status).toBe(401);
  });

  it.skipIf(!existsSync(PYTHON))('can be made by the Python of PROTOCOL.md (skipped without python3)', async () => {
    const document = readFileSync(new URL('../../protocol/PROTOCOL.md', import.meta.url), 'utf8');
    const code = /```python\n(.*?)\n```/s.exec(document)![1]!;
    const ask = `${code}
import sys
_, base, key_id, secret = sys.argv
print(urllib.request.urlopen(signed(base, key_id, secret, "GET", "/v1/me")).read().decode())
body = b'{"account":"paper"}'
try: urllib.request.urlopen(signed(base, key_id, secret, "POST", "/v1/orders/quote", body))
except urllib.error.HTTPError as error: print(error.read().decode())
`;
    const { stdout } = await promisify(execFile)(PYTHON, ['-c', ask, one.url, key.id, key.secret]);
    const [user, refusal] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { id: string; code: string });
    expect([user!.id, refusal!.code]).toEqual([grant.user.id, 'bad_request']);
  });
});

describe('a key', () => {
  it('may do what its scopes say, and nothing that is for humans', async () => {
    const reader = await createKeyOver(one, grant.accessToken, rig.password, { scopes: ['read'] });
    const order = { method: 'POST', path: '/v1/orders', body: '{}' };
    const signedCall = (by: TestKey, { method, path, body }: { method: string; path: string; body?: string }) =>
      one.call(method, path, { body, headers: signedHeaders(by, method, path, { body: body ?? '' }), ip: ownIp() });
    expect(codeOf(await signedCall(reader, order))).toBe('forbidden');
    expect(codeOf(await signedCall(key, order))).toBe('bad_request');
    for (const [method, path] of [
      ['GET', '/v1/auth/keys'],
      ['GET', '/v1/auth/sessions'],
      ['GET', '/v1/audit'],
      ['POST', '/v1/auth/logout'],
      ['POST', '/v1/auth/totp'],
      ['DELETE', `/v1/auth/keys/${key.id}`],
      ['GET', '/v1/admin/audit/verification'],
    ] as const) {
      expect(codeOf(await signedCall(key, { method, path })), path).toBe('forbidden');
    }
  });

  it('works from its addresses only, however they are written', async () => {
    const bound = await createKeyOver(one, grant.accessToken, rig.password, { ipAllowList: ['10.9.8.0/24'] });
    const from = async (ip: string) => (await me(signedHeaders(bound, 'GET', '/v1/me'), one, '/v1/me', ip)).status;
    expect([await from('10.9.8.7'), await from('::ffff:10.9.8.9'), await from('10.9.9.7')]).toEqual([200, 200, 401]);
  });

  it('shows its secret once, and tells where it was last used', async () => {
    const fresh = await createKeyOver(one, grant.accessToken, rig.password);
    await me(signedHeaders(fresh, 'GET', '/v1/me'), one, '/v1/me', '10.77.0.1');
    const listed = await one.call('GET', '/v1/auth/keys', { token: grant.accessToken });
    const mine = ApiKeysAnswer.parse(listed.body).keys.find(({ id }) => id === fresh.id);
    expect(mine).toMatchObject({ lastUsedRoute: 'GET /v1/me', lastUsedIp: '10.77.0.1' });
    expect(listed.text).not.toContain(fresh.secret);
    const rows = await rig.at.admin`select to_jsonb(k)::text as row from identity.api_keys k`;
    expect(rows.map(({ row }) => row as string).join()).not.toContain(fresh.secret);
    expect(JSON.stringify(scripted.logged)).not.toContain(fresh.secret);
  });

  it('of somebody else does not exist', async () => {
    const stranger = await registerOver(one, rig);
    const answer = await one.call('DELETE', `/v1/auth/keys/${key.id}`, { token: stranger.accessToken });
    expect(codeOf(answer)).toBe('not_found');
    expect((await me(signedHeaders(key, 'GET', '/v1/me'))).status).toBe(200);
  });

  it('that is revoked stops on every node in time', async () => {
    const doomed = await createKeyOver(one, grant.accessToken, rig.password);
    expect((await me(signedHeaders(doomed, 'GET', '/v1/me'), two)).status).toBe(200);
    const gone = await one.call('DELETE', `/v1/auth/keys/${doomed.id}`, { token: grant.accessToken });
    expect(gone.status).toBe(204);
    const refused = async () => (await me(signedHeaders(doomed, 'GET', '/v1/me'), two)).status;
    await expect.poll(refused, { timeout: REVOCATION_LIMIT_MS }).toBe(401);
  });

  it('is not made without a step-up for exactly this key', async () => {
    const { accessToken: token } = grant;
    const body = { label: 'a', scopes: ['read'], algorithm: 'hmac-sha256' };
    const make = (sent: object, proof?: string) =>
      one.call('POST', '/v1/auth/keys', { token, body: sent, headers: proof ? { 'x-step-up-token': proof } : {} });
    expect(codeOf(await make(body))).toBe('step_up_required');
    expect(codeOf(await make(body, 'tws_noise'))).toBe('step_up_required');
    const proof = await stepUpOver(one, token, { act: 'key_create', operation: body, password: rig.password });
    expect(codeOf(await make({ ...body, scopes: ['trade'] }, proof))).toBe('step_up_required');
    const again = await stepUpOver(one, token, { act: 'key_create', operation: body, password: rig.password });
    const made = await Promise.all(Array.from({ length: 10 }, () => make(body, again)));
    expect(made.filter(({ status }) => status === 201)).toHaveLength(1);
  });
});
