import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startIdentityRig } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';

let rig: IdentityRig;
beforeAll(async () => {
  rig = await startIdentityRig();
});
afterAll(() => rig.stop());

describe('an account', () => {
  it('is made, entered and left, and its tokens die with the session', async () => {
    const one = await rig.node();
    const email = rig.email();
    const made = await one.register({ email: email.toUpperCase(), password: rig.password }, rig.origin());
    expect(made).toMatchObject({ ok: true, value: { user: { email, roles: ['user'], totp: false } } });
    const grant = await rig.login(one, email);
    const who = await one.authenticateToken(grant.accessToken);
    expect(who).toMatchObject({ ok: true, value: { userId: grant.user.id, scopes: ['read', 'trade'] } });
    if (!who.ok) return;
    expect(await one.user(who.value.userId)).toEqual(grant.user);
    await one.logout(who.value, rig.origin());
    expect(await one.authenticateToken(grant.accessToken)).toMatchObject({ ok: false, code: 'unauthorized' });
    expect(await one.refresh(grant.refreshToken, rig.origin())).toMatchObject({ ok: false, code: 'unauthorized' });
    expect(await one.recheck(who.value)).toBe(false);
  });
});
