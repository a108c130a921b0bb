import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DAY_MS, codeOf, startIdentityRig, valueOf } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import { surroundings } from '../../testing/postgres.ts';
import type { Identity } from './index.ts';

let rig: IdentityRig;
let one: Identity;
beforeAll(async () => {
  rig = await startIdentityRig();
  one = await rig.node();
});
afterEach(() => rig.moveClock(0));
afterAll(() => rig.stop());

describe('an account', () => {
  it('is made, entered and left, and its tokens die with the session', async () => {
    const email = rig.email();
    const made = await one.register({ email: email.toUpperCase(), password: rig.password }, rig.origin());
    expect(made).toMatchObject({ ok: true, value: { user: { email, roles: ['user'], totp: false } } });
    const grant = await rig.login(one, email);
    const who = valueOf(await one.authenticateToken(grant.accessToken));
    expect(who).toMatchObject({ userId: grant.user.id, roles: ['user'], scopes: ['read', 'trade'], keyId: null });
    expect(who.expiresAtMs).toBe(grant.expiresAt);
    expect(await one.user(who.userId)).toEqual(grant.user);
    expect(await one.recheck(who)).toBe(true);
    await one.logout(who, rig.origin());
    expect(codeOf(await one.authenticateToken(grant.accessToken))).toBe('unauthorized');
    expect(codeOf(await one.refresh(grant.refreshToken, rig.origin()))).toBe('unauthorized');
    expect(await one.recheck(who)).toBe(false);
  });

  it('exists once per address, whatever its letters look like', async () => {
    const email = rig.email();
    await rig.register(one, email);
    for (const same of [email, email.toUpperCase(), email.normalize('NFD')])
      expect(codeOf(await one.register({ email: same, password: rig.password }, rig.origin()))).toBe('email_taken');
  });

  it('has no common password, and the whole of a long one counts', async () => {
    const email = rig.email();
    const long = `${'seven blue horses '.repeat(5)}0123456789`.slice(0, 99);
    expect(codeOf(await one.register({ email, password: 'tidewire2026' }, rig.origin()))).toBe('weak_password');
    valueOf(await one.register({ email, password: `${long}a` }, rig.origin()));
    expect(codeOf(await one.login({ email, password: `${long}b` }, rig.origin()))).toBe('invalid_credentials');
    expect(codeOf(await one.login({ email, password: `${long}a` }, rig.origin()))).toBe('ok');
    const [row] = await rig.at.admin`select password_hash from identity.users where email = ${email}`;
    expect(row!.password_hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  });

  it('can be entered with a password typed on another keyboard', async () => {
    const email = rig.email();
    valueOf(await one.register({ email, password: 'müde Füße gehen später' }, rig.origin()));
    const typed = 'müde Füße gehen später'.normalize('NFD');
    expect(codeOf(await one.login({ email, password: typed }, rig.origin()))).toBe('ok');
  });

  it('survives text that a database refuses', async () => {
    const origin = rig.origin({ userAgent: 'a\0b\ud800\n{"level":60}', requestId: '\0'.repeat(500) });
    const email = rig.email();
    const device = 'lap\0top \ud800';
    const grant = valueOf(await one.register({ email, password: `${rig.password}\0\ud800`, device }, origin));
    const [session] = await one.sessions(valueOf(await one.authenticateToken(grant.accessToken)));
    expect(session).toMatchObject({ userAgent: 'a b\ufffd {"level":60}', device: 'lap top \ufffd' });
    expect(codeOf(await one.login({ email: 'a\0@b.cd', password: 'x' }, origin))).toBe('invalid_credentials');
  });
});

describe('guessing', () => {
  it('is answered alike for users that exist and those that do not', async () => {
    const email = rig.email();
    await rig.register(one, email);
    const answers = [];
    for (const each of [email, rig.email()]) {
      for (let count = 0; count < 12; count++) {
        const { retryAfterMs, ...answer } = await one.login({ email: each, password: 'wrong horse' }, rig.origin());
        answers.push(JSON.stringify(answer) + (retryAfterMs === undefined ? '' : ' later'));
      }
    }
    expect(answers.slice(12)).toEqual(answers.slice(0, 12));
    expect(answers[9]).toContain('invalid_credentials');
    expect(answers[10]).toMatch(/rate_limited.* later$/);
  });

  it('works as hard for a user that does not exist', async () => {
    const { metrics } = surroundings();
    const node = await rig.node({ metrics });
    const hashes = async () => Number(/^identity_password_hashes_total ([0-9]+)$/m.exec(await metrics.render())?.[1]);
    const { user } = await rig.register(node);
    expect(await hashes()).toBe(1);
    await node.login({ email: user.email, password: 'wrong horse' }, rig.origin());
    expect(await hashes()).toBe(2);
    await node.login({ email: rig.email(), password: 'wrong horse' }, rig.origin());
    expect(await hashes()).toBe(3);
  });

  it('locks strangers out of an account and not its owner’s known device', async () => {
    const email = rig.email();
    const { deviceToken } = await rig.register(one, email);
    const attacker = rig.origin();
    for (let count = 0; count < 60; count++) await one.login({ email, password: 'wrong horse' }, attacker);
    const right = { email, password: rig.password };
    expect(codeOf(await one.login(right, rig.origin()))).toBe('rate_limited');
    // Even behind the same address as the attacker, and again and again.
    for (let count = 0; count < 3; count++) valueOf(await one.login(right, { ...attacker, deviceToken: deviceToken! }));
    // A device that is known to one account is a stranger to another.
    const other = await rig.register(one);
    const borrowed = rig.origin({ deviceToken: other.deviceToken! });
    expect(codeOf(await one.login(right, borrowed))).toBe('rate_limited');
    // And whoever holds the device has no more guesses than anybody else.
    const codes = [];
    for (let count = 0; count < 11; count++) {
      codes.push(codeOf(await one.login({ email, password: 'x' }, rig.origin({ deviceToken: deviceToken! }))));
    }
    expect(codes.at(-1)).toBe('rate_limited');
  });

  it('is limited per address over all accounts, and 429 says for how long', async () => {
    const node = await rig.node({ settings: { loginsPerIp: { count: 5, windowMs: 60_000 } } });
    const email = rig.email();
    await rig.register(node, email);
    const origin = rig.origin({ ip: '2001:db8:7::1' });
    const guess = (ip: string) => node.login({ email: rig.email(), password: 'wrong horse' }, { ...origin, ip });
    for (let count = 0; count < 5; count++)
      expect(codeOf(await guess(`2001:db8:7::${count}`))).toBe('invalid_credentials');
    const late = await guess('2001:db8:7::ffff');
    expect(codeOf(late)).toBe('rate_limited');
    expect(late.retryAfterMs).toBeGreaterThan(50_000);
    expect(codeOf(await guess('2001:db8:8::1'))).toBe('invalid_credentials');
    await rig.moveClock(60_001);
    expect(codeOf(await guess('2001:db8:7::1'))).toBe('invalid_credentials');
    // Logins that succeed are no guesses.
    for (let count = 0; count < 10; count++)
      valueOf(await node.login({ email, password: rig.password }, { ...origin, ip: '2001:db8:9::1' }));
  });

  it('of nobody in particular: registrations are limited per address', async () => {
    const node = await rig.node({ settings: { registrationsPerIp: { count: 2, windowMs: 60_000 } } });
    const origin = rig.origin();
    const register = () => node.register({ email: rig.email(), password: rig.password }, origin);
    expect([codeOf(await register()), codeOf(await register()), codeOf(await register())]).toEqual([
      'ok',
      'ok',
      'rate_limited',
    ]);
  });
});

describe('a session', () => {
  it('goes on by refreshing, and ends as a whole when an old token comes again', async () => {
    const grant = await rig.register(one);
    const second = valueOf(await one.refresh(grant.refreshToken, rig.origin()));
    const third = valueOf(await one.refresh(second.refreshToken, rig.origin()));
    expect(codeOf(await one.authenticateToken(third.accessToken))).toBe('ok');
    const lost: unknown[] = [];
    one.onRevoked((revocation) => lost.push(revocation));
    expect(codeOf(await one.refresh(grant.refreshToken, rig.origin({ ip: '203.0.113.9' })))).toBe('unauthorized');
    expect(codeOf(await one.refresh(third.refreshToken, rig.origin()))).toBe('unauthorized');
    expect(codeOf(await one.authenticateToken(third.accessToken))).toBe('unauthorized');
    const [entry] = await one.auditOf(grant.user.id, { before: null, limit: 1 });
    expect(entry).toMatchObject({ act: 'refresh_reuse', outcome: 'refused', ip: '203.0.113.9' });
    expect(lost).toEqual([{ userId: grant.user.id, sessionId: entry!.details.sessionId, keyId: null }]);
  });

  it('cannot be ended by somebody who only knows its name', async () => {
    const grant = await rig.register(one);
    const bytes = Buffer.from(grant.refreshToken.slice(4), 'base64url');
    bytes.writeUInt32BE(0, 16);
    expect(codeOf(await one.refresh(`twr_${bytes.toString('base64url')}`, rig.origin()))).toBe('unauthorized');
    expect(codeOf(await one.refresh(grant.refreshToken, rig.origin()))).toBe('ok');
  });

  it('ends when it is not used, and in any case in the end', async () => {
    const idle = await rig.register(one);
    await rig.moveClock(7 * DAY_MS + 1);
    expect(codeOf(await one.refresh(idle.refreshToken, rig.origin()))).toBe('unauthorized');
    await rig.moveClock(0);
    let kept = await rig.register(one);
    for (let days = 6; days < 30; days += 6) {
      await rig.moveClock(days * DAY_MS);
      kept = valueOf(await one.refresh(kept.refreshToken, rig.origin()));
    }
    await rig.moveClock(31 * DAY_MS);
    expect(codeOf(await one.refresh(kept.refreshToken, rig.origin()))).toBe('unauthorized');
  });

  it('has access tokens for ten minutes of the database’s clock', async () => {
    const grant = await rig.register(one);
    await rig.moveClock(9 * 60_000);
    await rig.hearClock(one);
    expect(codeOf(await one.authenticateToken(grant.accessToken))).toBe('ok');
    await rig.moveClock(10 * 60_000 + 1);
    await rig.hearClock(one);
    expect(codeOf(await one.authenticateToken(grant.accessToken))).toBe('token_expired');
  });

  it('is listed for its user, and can be ended by nobody else', async () => {
    const [ada, bob] = [await rig.register(one), await rig.register(one)];
    const phone = valueOf(
      await one.login({ email: ada.user.email, password: rig.password, device: 'phone' }, rig.origin()),
    );
    const [here, there, stranger] = await Promise.all(
      [ada, phone, bob].map(async (grant) => valueOf(await one.authenticateToken(grant.accessToken))),
    );
    const list = await one.sessions(here!);
    expect(list.map(({ device, current }) => [device, current])).toEqual([
      ['phone', false],
      [null, true],
    ]);
    expect(codeOf(await one.revokeSession(stranger!, there!.sessionId!, rig.origin()))).toBe('not_found');
    expect(codeOf(await one.revokeSession(here!, 'x\0', rig.origin()))).toBe('not_found');
    expect(codeOf(await one.revokeSession(here!, there!.sessionId!, rig.origin()))).toBe('ok');
    expect(codeOf(await one.authenticateToken(phone.accessToken))).toBe('unauthorized');
    expect(codeOf(await one.authenticateToken(ada.accessToken))).toBe('ok');
  });

  it('gives way when there are too many', async () => {
    const { user, refreshToken } = await rig.register(one);
    await rig.at.runScript(`begin; set local tidewire.identity = 'test';
      insert into identity.sessions (id, user_id, refresh_hash, ip, created_at, last_used_at, idle_until, ends_at)
      select gen_random_uuid(), '${user.id}', sha256(n::text::bytea), '::1', now(), now(), now() + '1 day', now() + '1 day'
      from generate_series(1, 49) as n; commit`);
    const grant = await rig.login(one, user.email);
    expect(await one.sessions(valueOf(await one.authenticateToken(grant.accessToken)))).toHaveLength(50);
    expect(codeOf(await one.refresh(refreshToken, rig.origin()))).toBe('unauthorized');
  });
});

describe('a changed password', () => {
  it('needs a fresh proof of exactly this change, and ends every other session', async () => {
    const grant = await rig.register(one);
    const other = await rig.login(one, grant.user.email);
    const me = valueOf(await one.authenticateToken(grant.accessToken));
    const body = { password: rig.password, newPassword: 'nine green foxes under a bridge' };
    const proofOf = async (operation: object) =>
      valueOf(
        await one.stepUp(
          me,
          { act: 'password_change', operation: { ...operation }, password: rig.password },
          rig.origin(),
        ),
      ).stepUpToken;
    const change = (stepUpToken: string, input = body) =>
      one.changePassword(me, { ...input, stepUpToken }, rig.origin());
    expect(codeOf(await change('tws_nothing'))).toBe('step_up_required');
    expect(codeOf(await change(await proofOf({ ...body, newPassword: 'another' })))).toBe('step_up_required');
    expect(codeOf(await change(await proofOf(body), { ...body, newPassword: 'password1' }))).toBe('weak_password');
    expect(codeOf(await change(await proofOf(body), { ...body, password: 'wrong' }))).toBe('invalid_credentials');
    expect(codeOf(await change(await proofOf(body)))).toBe('ok');
    expect(codeOf(await one.authenticateToken(grant.accessToken))).toBe('ok');
    expect(codeOf(await one.authenticateToken(other.accessToken))).toBe('unauthorized');
    expect(codeOf(await one.refresh(other.refreshToken, rig.origin()))).toBe('unauthorized');
    const { email } = grant.user;
    expect(codeOf(await one.login({ email, password: rig.password }, rig.origin()))).toBe('invalid_credentials');
    expect(codeOf(await one.login({ email, password: body.newPassword }, rig.origin()))).toBe('ok');
  });
});
