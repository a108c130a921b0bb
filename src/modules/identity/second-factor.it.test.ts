import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { codeOf, countCodes, startIdentityRig, valueOf } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import type { Identity } from './index.ts';

let rig: IdentityRig;
let one: Identity;
beforeAll(async () => {
  rig = await startIdentityRig();
  one = await rig.node();
});
afterEach(() => rig.moveClock(0));
afterAll(() => rig.stop());

describe('the second factor', () => {
  it('is on once a code proves that the app has the secret', async () => {
    const { user, accessToken } = await rig.register(one);
    const me = valueOf(await one.authenticateToken(accessToken));
    expect(codeOf(await one.confirmTotp(me, '123456', rig.origin()))).toBe('not_found');
    const { secret, uri } = valueOf(await one.beginTotp(me, rig.origin()));
    expect(uri).toMatch(/^otpauth:\/\/totp\/Tidewire:/);
    expect(codeOf(await one.confirmTotp(me, rig.wrongCode(secret), rig.origin()))).toBe('invalid_code');
    expect(codeOf(await rig.tryLogin(one, user.email))).toBe('ok');
    const codes = valueOf(await one.confirmTotp(me, rig.codeNow(secret), rig.origin()));
    expect(new Set(codes).size).toBe(10);
    expect(codes.every((code) => /^[A-Z2-7]{5}(?:-[A-Z2-7]{5}){3}$/.test(code))).toBe(true);
    expect(await one.user(user.id)).toMatchObject({ totp: true });
    expect(codeOf(await one.beginTotp(me, rig.origin()))).toBe('already_done');
    expect(codeOf(await rig.tryLogin(one, user.email))).toBe('second_factor_required');
    // The code that switched it on is used up.
    expect(codeOf(await rig.tryLogin(one, user.email, rig.codeNow(secret)))).toBe('invalid_code');
  });

  it('takes the current step and the one before, once, and nothing of the future', async () => {
    const { email, secret } = await rig.registerWithTotp(one);
    await rig.moveClock(rig.clockMovedMs() + 120_000);
    for (const [steps, expected] of [
      [1, 'invalid_code'],
      [-2, 'invalid_code'],
      [-1, 'ok'],
      [-1, 'invalid_code'],
      [0, 'ok'],
      // A step earlier than the last accepted is over, too.
      [-1, 'invalid_code'],
    ] as const) {
      const at = await rig.stepAt(one, steps);
      expect([steps, codeOf(await rig.tryLogin(one, email, rig.codeAt(secret, at)))]).toEqual([steps, expected]);
    }
  });

  it('can be guessed five times, also at once, and by nobody without the password', async () => {
    const { email, secret, code } = await rig.registerWithTotp(one);
    const wrong = rig.wrongCode(secret);
    const withoutPassword = await one.login({ email, password: 'x', code: await code() }, rig.origin());
    expect(codeOf(withoutPassword)).toBe('invalid_credentials');
    const answers = await Promise.all(Array.from({ length: 8 }, () => rig.tryLogin(one, email, wrong)));
    expect(countCodes(answers)).toEqual({ invalid_code: 5, rate_limited: 3 });
    const right = await rig.tryLogin(one, email, await code());
    expect(codeOf(right)).toBe('rate_limited');
    expect(right.retryAfterMs).toBeGreaterThan(0);
    await rig.moveClock(rig.clockMovedMs() + 15 * 60_000 + 1);
    await rig.hearClock(one);
    expect(codeOf(await rig.tryLogin(one, email, await code()))).toBe('ok');
  });

  it('is replaced by each recovery code once, and renewal ends the old ones', async () => {
    const { email, me, code, recoveryCodes } = await rig.registerWithTotp(one);
    expect(codeOf(await rig.tryLogin(one, email, recoveryCodes[0]))).toBe('ok');
    expect(codeOf(await rig.tryLogin(one, email, recoveryCodes[0]))).toBe('invalid_code');
    expect(codeOf(await one.renewRecoveryCodes(me, 'tws_nothing', rig.origin()))).toBe('step_up_required');
    const { stepUpToken } = valueOf(
      await one.stepUp(me, { act: 'recovery_codes', operation: {}, code: await code() }, rig.origin()),
    );
    const renewed = valueOf(await one.renewRecoveryCodes(me, stepUpToken, rig.origin()));
    expect(codeOf(await rig.tryLogin(one, email, recoveryCodes[1]))).toBe('invalid_code');
    expect(codeOf(await rig.tryLogin(one, email, renewed[1]))).toBe('ok');
    const stored = JSON.stringify(await rig.at.admin`select * from identity.recovery_codes`);
    expect(stored).not.toContain(renewed[2]);
  });

  it('is switched off with a proof that was made for that', async () => {
    const { email, me, code, secret } = await rig.registerWithTotp(one);
    const proof = async (act: 'key_create' | 'totp_disable') =>
      valueOf(await one.stepUp(me, { act, operation: {}, code: await code() }, rig.origin())).stepUpToken;
    expect(codeOf(await one.disableTotp(me, await proof('key_create'), rig.origin()))).toBe('step_up_required');
    await rig.moveClock(60_000);
    await rig.hearClock(one);
    expect(codeOf(await one.disableTotp(me, await proof('totp_disable'), rig.origin()))).toBe('ok');
    expect(codeOf(await one.disableTotp(me, 'tws_nothing', rig.origin()))).toBe('not_found');
    expect(codeOf(await rig.tryLogin(one, email))).toBe('ok');
    // A code is of no use where no factor is on, and does no harm.
    expect(codeOf(await rig.tryLogin(one, email, rig.codeNow(secret)))).toBe('ok');
  });

  it('is sealed for its user: moved to another row it opens nothing', async () => {
    const [ada, eve] = [await rig.registerWithTotp(one), await rig.registerWithTotp(one)];
    await rig.at.runScript(`begin; set local tidewire.identity = 'test';
      update identity.users set totp_secret = (select totp_secret from identity.users where email = '${eve.email}')
      where email = '${ada.email}'; commit`);
    await expect(rig.tryLogin(one, ada.email, await eve.code())).rejects.toThrow();
    const rows = JSON.stringify(await rig.at.admin`select * from identity.users`);
    expect(rows).not.toContain(eve.secret);
  });
});

describe('a step-up', () => {
  it('is good once, for one act of one session with one operation, for five minutes', async () => {
    const grant = await rig.register(one);
    const me = valueOf(await one.authenticateToken(grant.accessToken));
    const elsewhere = valueOf(await one.authenticateToken((await rig.login(one, grant.user.email)).accessToken));
    const body = { label: 'bot', scopes: ['read' as const], algorithm: 'hmac-sha256' as const };
    const make = async (principal: typeof me, input: object, stepUpToken: string) =>
      codeOf(await one.createKey(principal, { ...body, ...input }, stepUpToken, rig.origin()));
    const token = await rig.stepUp(one, me, 'key_create', { algorithm: 'hmac-sha256', scopes: ['read'], label: 'bot' });
    expect(await make(me, { scopes: ['read', 'trade'] }, token)).toBe('step_up_required');
    expect(await make(me, { label: 'bot2' }, token)).toBe('step_up_required');
    expect(await make(elsewhere, {}, token)).toBe('step_up_required');
    expect(await make(me, {}, `${token}x`)).toBe('step_up_required');
    expect(await make(me, {}, token)).toBe('ok');
    expect(await make(me, {}, token)).toBe('step_up_required');
    const late = await rig.stepUp(one, me, 'key_create', body);
    await rig.moveClock(5 * 60_000);
    expect(await make(me, {}, late)).toBe('step_up_required');
  });

  it('wants the password, or the code where a second factor is on, and few tries', async () => {
    const plain = await rig.register(one);
    const me = valueOf(await one.authenticateToken(plain.accessToken));
    const ask = { act: 'totp_disable' as const, operation: {} };
    expect(codeOf(await one.stepUp(me, ask, rig.origin()))).toBe('invalid_credentials');
    const answers = [];
    for (let count = 0; count < 5; count++)
      answers.push(await one.stepUp(me, { ...ask, password: 'wrong horse' }, rig.origin()));
    expect(countCodes(answers)).toEqual({ invalid_credentials: 4, rate_limited: 1 });
    const { me: guarded, code } = await rig.registerWithTotp(one);
    expect(codeOf(await one.stepUp(guarded, { ...ask, password: rig.password }, rig.origin()))).toBe(
      'second_factor_required',
    );
    expect(codeOf(await one.stepUp(guarded, { ...ask, code: await code() }, rig.origin()))).toBe('ok');
    const asKey = { ...me, sessionId: null, keyId: 'twk_AAAAAAAAAAAAAAAAAAAAAA' };
    expect(codeOf(await one.stepUp(asKey, { ...ask, password: rig.password }, rig.origin()))).toBe(
      'invalid_credentials',
    );
  });
});
