import { SignJWT, decodeJwt, decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  AuditAnswer,
  RecoveryCodesSchema,
  SessionGrantSchema,
  SessionsAnswer,
  TotpSetupSchema,
} from '../../protocol/accounts.ts';
import type { SessionGrant } from '../../protocol/accounts.ts';
import { codeOf, ownIp, registerOver, stepUpOver, totpAt } from '../../testing/account-calls.ts';
import { startAccountsServer } from '../../testing/accounts-server.ts';
import type { AccountsServer, Reply } from '../../testing/accounts-server.ts';
import { TEST_SECRET, startIdentityRig } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import { startQuotedMarket } from '../../testing/scripted-gateway.ts';
import type { ScriptedMarket } from '../../testing/scripted-market.ts';

/** What a revocation or a change of roles may take to be known everywhere. */
const REVOCATION_LIMIT_MS = 2_000;
const TOTP_STEP_MS = 30_000;

let rig: IdentityRig;
let scripted: ScriptedMarket;
let one: AccountsServer;
let two: AccountsServer;

beforeAll(async () => {
  rig = await startIdentityRig();
  scripted = await startQuotedMarket();
  one = await startAccountsServer(rig, scripted);
  two = await startAccountsServer(rig, scripted, { identity: { deaf: true } });
});
afterAll(async () => {
  await one.stop();
  await two.stop();
  await scripted.stop();
  await rig.stop();
});

const login = (body: object, given: { ip?: string; headers?: Record<string, string>; server?: AccountsServer } = {}) =>
  (given.server ?? one).call('POST', '/v1/auth/login', { ip: ownIp(), ...given, body });
const me = (token: string, server = one) => server.call('GET', '/v1/me', { token, ip: ownIp() });
const statuses = (answers: readonly Reply[]) => answers.map(({ status }) => status);

describe('passwords', () => {
  it('count to their last character and are not kept as they are', async () => {
    const email = rig.email();
    const password = `${'correct horse '.repeat(7)}ab`;
    const made = await one.call('POST', '/v1/auth/register', { body: { email, password }, ip: ownIp() });
    expect(made.status).toBe(201);
    expect((await login({ email, password: `${password.slice(0, -1)}c` })).status).toBe(401);
    expect((await login({ email, password })).status).toBe(200);
    const [row] = await rig.at.admin`select to_jsonb(u)::text as row from identity.users u where email = ${email}`;
    expect(row!.row).toContain('$argon2id$');
    expect(row!.row).not.toContain('correct horse');
  });

  it.each(['password1', 'tidewire2026', '12345678', 'qwertyuiop'])('%s is refused', async (password) => {
    const body = { email: rig.email(), password };
    expect(codeOf(await one.call('POST', '/v1/auth/register', { body, ip: ownIp() }))).toBe('weak_password');
  });

  it('cannot be guessed for long, and the guessing does not lock the owner out', async () => {
    const grant = await registerOver(one, rig);
    const { email } = grant.user;
    const answers: Reply[] = [];
    for (let count = 0; count < 14; count++) answers.push(await login({ email, password: `guess ${count}` }));
    expect(statuses(answers.slice(0, 10))).toEqual(Array.from({ length: 10 }, () => 401));
    expect(statuses(answers.slice(10))).toEqual([429, 429, 429, 429]);
    expect(Number(answers.at(-1)!.headers.get('retry-after'))).toBeGreaterThan(0);
    const headers = { 'x-device-token': grant.deviceToken! };
    expect((await login({ email, password: rig.password }, { headers })).status).toBe(200);
    expect((await login({ email, password: rig.password })).status).toBe(429);
  });

  it('change with a fresh proof only, which ends the other sessions', async () => {
    const first = await registerOver(one, rig);
    const other = SessionGrantSchema.parse((await login({ email: first.user.email, password: rig.password })).body);
    const body = { password: rig.password, newPassword: 'nine red boats under a bridge' };
    const change = (sent: object, proof: string) =>
      one.call('POST', '/v1/auth/password', {
        token: first.accessToken,
        body: sent,
        headers: { 'x-step-up-token': proof },
      });
    expect(codeOf(await change(body, ''))).toBe('step_up_required');
    const confirms = { act: 'password_change', operation: body, password: rig.password } as const;
    const proof = await stepUpOver(one, first.accessToken, confirms);
    expect(codeOf(await change({ ...body, newPassword: 'ten green trains on a hill' }, proof))).toBe(
      'step_up_required',
    );
    expect((await change(body, await stepUpOver(one, first.accessToken, confirms))).status).toBe(204);
    await expect
      .poll(async () => (await me(other.accessToken, two)).status, { timeout: REVOCATION_LIMIT_MS })
      .toBe(401);
    expect((await login({ email: first.user.email, password: rig.password })).status).toBe(401);
    expect((await login({ email: first.user.email, password: body.newPassword })).status).toBe(200);
  });
});

describe('access tokens', () => {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const forgeries: [string, (grant: SessionGrant) => string | Promise<string>][] = [
    ['without a signature', ({ accessToken }) => `${encode({ alg: 'none' })}.${accessToken.split('.')[1]}.`],
    [
      'with alg none and the old signature',
      ({ accessToken }) => [encode({ alg: 'none' }), ...accessToken.split('.').slice(1)].join('.'),
    ],
    [
      'with another payload',
      ({ accessToken }) => {
        const [head, , signature] = accessToken.split('.');
        return `${head}.${encode({ ...decodeJwt(accessToken), roles: ['admin'] })}.${signature}`;
      },
    ],
    [
      'signed by HMAC with the secret',
      async ({ accessToken }) =>
        new SignJWT(decodeJwt(accessToken))
          .setProtectedHeader({ ...decodeProtectedHeader(accessToken), alg: 'HS256' })
          .sign(Buffer.from(TEST_SECRET)),
    ],
    [
      'with a key of its own',
      ({ accessToken }) => {
        const head = { ...decodeProtectedHeader(accessToken), jwk: { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) } };
        return [encode(head), ...accessToken.split('.').slice(1)].join('.');
      },
    ],
    [
      'with a path for a key id',
      ({ accessToken }) => {
        const head = { ...decodeProtectedHeader(accessToken), kid: '../../../../dev/null' };
        return [encode(head), ...accessToken.split('.').slice(1)].join('.');
      },
    ],
    ['that is a refresh token', ({ refreshToken }) => refreshToken],
    ['cut short', ({ accessToken }) => accessToken.slice(0, -2)],
  ];
  it.each(forgeries)('%s: refused', async (_name, forge) => {
    const grant = await registerOver(one, rig);
    expect((await me(await forge(grant))).status).toBe(401);
    expect((await me(grant.accessToken)).status).toBe(200);
  });

  it('end with their session on every node, refreshed or not', async () => {
    const grant = await registerOver(one, rig);
    const sessions = await one.call('GET', '/v1/auth/sessions', { token: grant.accessToken });
    const [session] = SessionsAnswer.parse(sessions.body).sessions;
    expect(session).toMatchObject({ current: true, ip: expect.stringMatching(/^10\./) });
    const stranger = await registerOver(one, rig);
    const end = (token: string) => one.call('DELETE', `/v1/auth/sessions/${session!.id}`, { token });
    expect(codeOf(await end(stranger.accessToken))).toBe('not_found');
    expect((await me(grant.accessToken, two)).status).toBe(200);
    expect((await end(grant.accessToken)).status).toBe(204);
    await expect
      .poll(async () => (await me(grant.accessToken, two)).status, { timeout: REVOCATION_LIMIT_MS })
      .toBe(401);
    const refresh = await two.call('POST', '/v1/auth/refresh', {
      body: { refreshToken: grant.refreshToken },
      ip: ownIp(),
    });
    expect(refresh.status).toBe(401);
  });
});

describe('refresh tokens', () => {
  const refresh = (refreshToken: string, server = one) =>
    server.call('POST', '/v1/auth/refresh', { body: { refreshToken }, ip: ownIp() });

  it('that come a second time end the session', async () => {
    const grant = await registerOver(one, rig);
    const next = SessionGrantSchema.parse((await refresh(grant.refreshToken)).body);
    expect((await refresh(grant.refreshToken)).status).toBe(401);
    expect((await refresh(next.refreshToken)).status).toBe(401);
    expect((await me(next.accessToken)).status).toBe(401);
  });

  it('work once, however many ask at the same time and wherever', async () => {
    const grant = await registerOver(one, rig);
    const asked = Array.from({ length: 10 }, (_, index) => refresh(grant.refreshToken, index % 2 ? one : two));
    expect(statuses(await Promise.all(asked)).filter((status) => status === 200)).toHaveLength(1);
  });
});

describe('the second factor', () => {
  type Enrolled = { grant: SessionGrant; secret: string; recoveryCodes: string[] };
  /** The code of the confirmation is used up: what follows happens one step later. */
  async function enrol(): Promise<Enrolled> {
    const grant = await registerOver(one, rig);
    const token = grant.accessToken;
    const { secret } = TotpSetupSchema.parse((await one.call('POST', '/v1/auth/totp', { token })).body);
    const code = totpAt(secret, Date.now() - TOTP_STEP_MS);
    const confirmed = await one.call('POST', '/v1/auth/totp/confirm', { token, body: { code } });
    expect(confirmed.status, confirmed.text).toBe(200);
    const { recoveryCodes } = RecoveryCodesSchema.parse(confirmed.body);
    return { grant, secret, recoveryCodes };
  }

  it('is asked for, and one code opens one door of twenty', async () => {
    const { grant, secret } = await enrol();
    const credentials = { email: grant.user.email, password: rig.password };
    expect(codeOf(await login(credentials))).toBe('second_factor_required');
    const code = totpAt(secret, Date.now());
    const tries = Array.from({ length: 20 }, (_, index) =>
      login({ ...credentials, code }, { server: index % 2 ? one : two }),
    );
    expect(statuses(await Promise.all(tries)).filter((status) => status === 200)).toHaveLength(1);
  });

  it('takes no code of the future or of long ago, and not many wrong ones', async () => {
    const { grant, secret } = await enrol();
    const credentials = { email: grant.user.email, password: rig.password };
    for (const offset of [2 * TOTP_STEP_MS, -3 * TOTP_STEP_MS]) {
      const answer = await login({ ...credentials, code: totpAt(secret, Date.now() + offset) });
      expect(codeOf(answer)).toBe('invalid_code');
    }
    const answers: Reply[] = [];
    for (let count = 0; count < 5; count++) answers.push(await login({ ...credentials, code: '000000' }));
    expect(answers.at(-1)!.status).toBe(429);
  });

  it('can be replaced by each recovery code once', async () => {
    const { grant, recoveryCodes } = await enrol();
    const body = { email: grant.user.email, password: rig.password, code: recoveryCodes[0] };
    expect((await login(body)).status).toBe(200);
    expect((await login(body)).status).toBe(401);
  });

  it('is switched off with a fresh proof only', async () => {
    const { grant, recoveryCodes } = await enrol();
    const token = grant.accessToken;
    const off = (proof: string) =>
      one.call('DELETE', '/v1/auth/totp', { token, headers: { 'x-step-up-token': proof } });
    expect(codeOf(await off(''))).toBe('step_up_required');
    const confirms = { act: 'totp_disable', operation: {}, code: recoveryCodes[1]! } as const;
    expect((await off(await stepUpOver(one, token, confirms))).status).toBe(204);
    expect((await login({ email: grant.user.email, password: rig.password })).status).toBe(200);
  });
});

describe('roles', () => {
  it('an admin that is none any more is refused in time, also on another node', async () => {
    const [admin, other] = [await registerOver(one, rig), await registerOver(one, rig)];
    await one.identity.setRoles(null, admin.user.email, ['user', 'admin'], rig.origin());
    const again = SessionGrantSchema.parse((await login({ email: admin.user.email, password: rig.password })).body);
    const token = again.accessToken;
    const verification = await one.call('GET', '/v1/admin/audit/verification', { token });
    expect(verification.body).toMatchObject({ brokenAt: null });
    const peeked = await one.call('GET', '/v1/admin/audit/verification', { token: other.accessToken });
    expect(codeOf(peeked)).toBe('forbidden');
    const put = (by: string, body: object, server = one) =>
      server.call('PUT', '/v1/admin/users/roles', { token: by, body, ip: ownIp() });
    expect(codeOf(await put(other.accessToken, { email: other.user.email, roles: ['admin'] }))).toBe('forbidden');
    expect((await put(token, { email: other.user.email, roles: ['user'] })).status).toBe(200);
    await one.identity.setRoles(null, admin.user.email, ['user'], rig.origin());
    const refused = async () => (await put(token, { email: other.user.email, roles: ['user'] }, two)).status;
    await expect.poll(refused, { timeout: REVOCATION_LIMIT_MS }).toBeGreaterThanOrEqual(401);
  });

  it('a user without any is out, also when a login was under way', async () => {
    const grant = await registerOver(one, rig);
    const credentials = { email: grant.user.email, password: rig.password };
    const [, ...logins] = await Promise.all([
      one.identity.setRoles(null, grant.user.email, [], rig.origin()),
      ...Array.from({ length: 4 }, () => login(credentials)),
    ]);
    const tokens = logins.flatMap(({ status, body }) => (status === 200 ? [(body as SessionGrant).accessToken] : []));
    for (const token of [grant.accessToken, ...tokens]) {
      await expect.poll(async () => (await me(token, two)).status, { timeout: REVOCATION_LIMIT_MS }).toBe(401);
    }
    expect((await login(credentials)).status).toBeGreaterThanOrEqual(401);
  });
});

describe('the audit log', () => {
  it('shows users their own entries, page by page, and nobody else’s', async () => {
    const grant = await registerOver(one, rig);
    for (let count = 0; count < 4; count++) await login({ email: grant.user.email, password: 'wrong words' });
    const token = grant.accessToken;
    const seen: number[] = [];
    let path = '/v1/audit?limit=2';
    for (;;) {
      const page = AuditAnswer.parse((await one.call('GET', path, { token })).body);
      seen.push(...page.entries.map(({ seq }) => seq));
      if (page.nextCursor === null) break;
      path = `/v1/audit?limit=2&cursor=${page.nextCursor}`;
    }
    expect(seen.length).toBeGreaterThanOrEqual(5);
    expect(seen).toEqual([...new Set(seen)].toSorted((left, right) => right - left));
    const rows = await rig.at.admin`select count(*)::int as n from identity.audit_log where user_id = ${grant.user.id}`;
    expect(rows[0]!.n).toBe(seen.length);
  });
});
