import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionGrant } from '../../protocol/accounts.ts';
import { SessionGrantSchema, UserSchema } from '../../protocol/accounts.ts';
import { startAccountsServer } from '../../testing/accounts-server.ts';
import type { AccountsServer } from '../../testing/accounts-server.ts';
import { startIdentityRig } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import { startQuotedMarket } from '../../testing/scripted-gateway.ts';
import type { ScriptedMarket } from '../../testing/scripted-market.ts';
import { ProblemSchema } from './problem.ts';

let rig: IdentityRig;
let scripted: ScriptedMarket;
let server: AccountsServer;
let ips = 0;
const ip = () => `10.1.${((ips += 1) >> 8) & 255}.${ips & 255}`;

beforeAll(async () => {
  rig = await startIdentityRig();
  scripted = await startQuotedMarket();
  server = await startAccountsServer(rig, scripted);
});
afterAll(async () => {
  await server.stop();
  await scripted.stop();
  await rig.stop();
});

async function register(): Promise<SessionGrant> {
  const answer = await server.call('POST', '/v1/auth/register', {
    body: { email: rig.email(), password: rig.password },
    ip: ip(),
  });
  expect(answer.status, answer.text).toBe(201);
  return SessionGrantSchema.parse(answer.body);
}

describe('an account over REST', () => {
  it('is registered, entered, asked about, refreshed and left', async () => {
    const made = await register();
    const { email } = made.user;
    const login = await server.call('POST', '/v1/auth/login', { body: { email, password: rig.password }, ip: ip() });
    expect(login.status).toBe(200);
    const grant = SessionGrantSchema.parse(login.body);
    const me = await server.call('GET', '/v1/me', { token: grant.accessToken });
    expect(UserSchema.parse(me.body)).toEqual(made.user);
    const refreshed = await server.call('POST', '/v1/auth/refresh', { body: { refreshToken: grant.refreshToken } });
    expect(refreshed.status).toBe(200);
    expect((await server.call('POST', '/v1/auth/logout', { token: grant.accessToken })).status).toBe(204);
    for (const token of [grant.accessToken, SessionGrantSchema.parse(refreshed.body).accessToken]) {
      expect((await server.call('GET', '/v1/me', { token })).status).toBe(401);
    }
    expect((await server.call('GET', '/v1/me', { token: made.accessToken })).status).toBe(200);
  });

  it('never lets an answer be kept, and tells how much of the rate is left', async () => {
    const { accessToken } = await register();
    const me = await server.call('GET', '/v1/me', { token: accessToken });
    expect(me.headers.get('cache-control')).toBe('no-store');
    expect(me.headers.get('x-content-type-options')).toBe('nosniff');
    expect(me.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(me.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(me.headers.get('x-ratelimit-remaining')).toBe('99999');
  });

  it('is not told apart from one that does not exist', async () => {
    const { user } = await register();
    const ask = (email: string) =>
      server.call('POST', '/v1/auth/login', { body: { email, password: 'not the right words' }, ip: ip() });
    const [known, unknown] = [await ask(user.email), await ask(rig.email())];
    const bare = (text: string) => ({ ...JSON.parse(text), requestId: '' });
    expect(known.status).toBe(401);
    expect([known.status, bare(known.text)]).toEqual([unknown.status, bare(unknown.text)]);
  });
});

describe('without a proof of identity', () => {
  it.each<[string, Record<string, string>, string]>([
    ['nothing', {}, 'unauthorized'],
    ['another scheme', { authorization: 'Basic YTpi' }, 'unauthorized'],
    ['no token', { authorization: 'Bearer ' }, 'unauthorized'],
    ['noise', { authorization: 'Bearer abc.def.ghi' }, 'unauthorized'],
    ['a token in a cookie', { cookie: 'accessToken=abc' }, 'unauthorized'],
    ['an unfinished signature', { 'x-api-key': 'k' }, 'invalid_signature'],
    ['both kinds', { authorization: 'Bearer abc.def.ghi', 'x-api-key': 'k' }, 'unauthorized'],
  ])('%s: refused, as a problem', async (_name, headers, code) => {
    const answer = await server.call('GET', '/v1/me', { headers, ip: ip() });
    expect(answer.status).toBe(401);
    expect(ProblemSchema.parse(answer.body).code).toBe(code);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
  });

  it('a token in the query is no token', async () => {
    const { accessToken } = await register();
    const answer = await server.call('GET', `/v1/me?token=${accessToken}`, { ip: ip() });
    expect(answer.status).toBe(401);
  });
});
