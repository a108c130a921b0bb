import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { codeOf, startIdentityRig, valueOf } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import type { Identity, Revocation } from './index.ts';

let rig: IdentityRig;
let one: Identity;
let two: Identity;
/** Hears no signals: what it knows it has looked up by itself. */
let deaf: Identity;
beforeAll(async () => {
  rig = await startIdentityRig();
  [one, two, deaf] = [await rig.node(), await rig.node(), await rig.node({ deaf: true })];
});
afterAll(() => rig.stop());

async function hearing(nodes: readonly Identity[], userId: string) {
  const heard = nodes.map((): Revocation[] => []);
  nodes.forEach((node, index) =>
    node.onRevoked((each) => {
      if (each.userId === userId) heard[index]!.push(each);
    }),
  );
  return heard;
}

describe('on every process, also one that hears no signals', () => {
  it('a logout ends tokens and is told within two seconds', async () => {
    const grant = await rig.register(one);
    const me = valueOf(await two.authenticateToken(grant.accessToken));
    expect(codeOf(await deaf.authenticateToken(grant.accessToken))).toBe('ok');
    const heard = await hearing([one, two, deaf], me.userId);
    await one.logout(me, rig.origin());
    const expected = [{ userId: me.userId, sessionId: me.sessionId, keyId: null }];
    await vi.waitFor(() => expect(heard).toEqual([expected, expected, expected]), { timeout: 10_000 });
    for (const node of [one, two, deaf]) {
      expect(codeOf(await node.authenticateToken(grant.accessToken))).toBe('unauthorized');
      expect(await node.recheck(me)).toBe(false);
    }
  });

  it('a demotion takes the old tokens, and the session goes on as what it now is', async () => {
    const grant = await rig.register(one);
    const { email } = grant.user;
    expect(await one.setRoles(null, email, ['user', 'admin'], rig.origin())).toMatchObject({ ok: true });
    expect(codeOf(await one.authenticateToken(grant.accessToken))).toBe('unauthorized');
    const asAdmin = valueOf(await two.refresh(grant.refreshToken, rig.origin()));
    const admin = valueOf(await deaf.authenticateToken(asAdmin.accessToken));
    expect(admin.roles).toEqual(['user', 'admin']);
    const heard = await hearing([one], admin.userId);
    valueOf(await one.setRoles(admin, email, ['user'], rig.origin()));
    await vi.waitFor(() => expect(heard[0]).toEqual([{ userId: admin.userId, sessionId: null, keyId: null }]), {
      timeout: 10_000,
    });
    await vi.waitFor(
      async () => expect(codeOf(await deaf.authenticateToken(asAdmin.accessToken))).toBe('unauthorized'),
      { timeout: 10_000 },
    );
    expect(await deaf.recheck(admin)).toBe(false);
    // Still in hand, the old principal is asked for in the database.
    expect(codeOf(await one.setRoles(admin, email, ['user', 'admin'], rig.origin()))).toBe('forbidden');
    const asUser = valueOf(await two.refresh(asAdmin.refreshToken, rig.origin()));
    const user = valueOf(await two.authenticateToken(asUser.accessToken));
    expect(user.roles).toEqual(['user']);
    expect(codeOf(await one.setRoles(user, email, ['admin'], rig.origin()))).toBe('forbidden');
    expect(codeOf(await one.setRoles(null, rig.email(), ['user'], rig.origin()))).toBe('not_found');
  });

  it('nothing is decided on old knowledge while the database is gone', async () => {
    let nowMs = 0;
    const clock = { now: () => Date.now(), monotonic: () => performance.now() + nowMs };
    const database = await rig.at.open({ size: 1 });
    const cut = await rig.node({ clock, database, deaf: true });
    const grant = await rig.register(one);
    expect(codeOf(await cut.authenticateToken(grant.accessToken))).toBe('ok');
    await database.stop();
    nowMs += 2_001;
    await expect(cut.authenticateToken(grant.accessToken)).rejects.toThrow();
  });

  it('a new process knows what was revoked before it began', async () => {
    const grant = await rig.register(one);
    await one.logout(valueOf(await one.authenticateToken(grant.accessToken)), rig.origin());
    const late = await rig.node({ deaf: true });
    expect(codeOf(await late.authenticateToken(grant.accessToken))).toBe('unauthorized');
  });

  it('a listener that throws does not keep the others from hearing', async () => {
    const grant = await rig.register(one);
    const me = valueOf(await one.authenticateToken(grant.accessToken));
    const stop = two.onRevoked(() => {
      throw new Error('of a listener');
    });
    const [heard] = await hearing([two], me.userId);
    await one.logout(me, rig.origin());
    await vi.waitFor(() => expect(heard).toHaveLength(1), { timeout: 10_000 });
    stop();
  });

  it('more revocations than one page arrive whole', async () => {
    const { user } = await rig.register(one);
    const late = await rig.node({ deaf: true });
    const [heard] = await hearing([late], user.id);
    await rig.hearClock(late);
    await rig.at.runScript(`begin; set local tidewire.identity = 'test';
      insert into identity.revocations (seq, place, user_id, session_id, created_at)
      select (select seq from identity.audit_head) + 1, n, '${user.id}', gen_random_uuid(), now() from generate_series(1, 2500) as n;
      commit`);
    await vi.waitFor(() => expect(heard).toHaveLength(2_500), { timeout: 10_000 });
  });
});

describe('more revocations than memory holds', () => {
  it('cost a look in the database for each token, and let nobody in', async () => {
    const full = await rig.node({ deaf: true });
    const [gone, stays] = [await rig.register(one), await rig.register(one)];
    await rig.hearClock(full);
    const me = valueOf(await one.authenticateToken(gone.accessToken));
    const seen = vi.fn<(revocation: Revocation) => void>();
    full.onRevoked((each) => each.userId === me.userId && seen(each));
    await rig.at.runScript(`begin; set local tidewire.identity = 'test';
      insert into identity.revocations (seq, place, user_id, session_id, created_at)
      select (select seq from identity.audit_head), n, gen_random_uuid(), gen_random_uuid(), now()
      from generate_series(100000, 150001) as n; commit`);
    await one.logout(me, rig.origin());
    await vi.waitFor(() => expect(seen).toHaveBeenCalledOnce(), { timeout: 20_000 });
    expect(codeOf(await full.authenticateToken(gone.accessToken))).toBe('unauthorized');
    expect(codeOf(await full.authenticateToken(stays.accessToken))).toBe('ok');
  });
});

describe('a ticket', () => {
  it('opens one socket within its minute, as who it was made for', async () => {
    const grant = await rig.register(one);
    const me = valueOf(await one.authenticateToken(grant.accessToken));
    const { ticket } = await one.issueTicket(me);
    expect(ticket).toMatch(/^twt_/);
    const redeemed = valueOf(await two.redeemTicket(ticket));
    expect(redeemed).toMatchObject({ userId: me.userId, sessionId: me.sessionId, roles: ['user'], keyId: null });
    expect(codeOf(await two.redeemTicket(ticket))).toBe('unauthorized');
    expect(codeOf(await two.redeemTicket('twt_nothing'))).toBe('unauthorized');
  });

  it('dies with its session, and with its time', async () => {
    const grant = await rig.register(one);
    const me = valueOf(await one.authenticateToken(grant.accessToken));
    const early = await one.issueTicket(me);
    await rig.moveClock(60_001);
    expect(codeOf(await one.redeemTicket(early.ticket))).toBe('unauthorized');
    await rig.moveClock(0);
    const { ticket } = await one.issueTicket(me);
    await one.logout(me, rig.origin());
    expect(codeOf(await one.redeemTicket(ticket))).toBe('unauthorized');
    const afterwards = await one.issueTicket(me);
    expect(codeOf(await one.redeemTicket(afterwards.ticket))).toBe('unauthorized');
  });

  it('is one of few', async () => {
    const grant = await rig.register(one);
    const me = valueOf(await one.authenticateToken(grant.accessToken));
    for (let count = 0; count < 40; count++) await one.issueTicket(me);
    expect(await rig.at.admin`select from identity.tickets where user_id = ${me.userId}`).toHaveLength(32);
  });
});
