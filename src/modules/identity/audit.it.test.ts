import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import postgres from 'postgres';
import { DAY_MS, startIdentityRig, valueOf } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import type { Identity } from './index.ts';

let rig: IdentityRig;
let one: Identity;
beforeAll(async () => {
  rig = await startIdentityRig();
  one = await rig.node();
});
afterAll(() => rig.stop());

const note = (index: number) =>
  one.audit({ userId: null, act: 'test.note', outcome: 'ok', details: { index } }, rig.origin());

/** What only a superuser can do, who switches the triggers off. */
function tamper(statement: string): Promise<void> {
  return rig.at.runScript(`begin; set local session_replication_role = replica;
    alter table identity.audit_log disable trigger all; alter table identity.audit_head disable trigger all;
    ${statement}; alter table identity.audit_log enable always trigger a_marked_only;
    alter table identity.audit_log enable always trigger a_append_only;
    alter table identity.audit_head enable always trigger a_marked_only; commit`);
}

describe('the audit log', () => {
  it('tells a user what was done, newest first, page by page, and nobody else’s', async () => {
    const grant = await rig.register(one);
    await rig.register(one);
    await rig.tryLogin(one, grant.user.email);
    await one.login(
      { email: grant.user.email, password: 'wrong' },
      rig.origin({ ip: '203.0.113.9', requestId: 'r-1' }),
    );
    const userId = grant.user.id;
    const all = await one.auditOf(userId, { before: null, limit: 10 });
    expect(all.map(({ act, outcome }) => `${act} ${outcome}`)).toEqual(['login refused', 'login ok', 'register ok']);
    expect(all[0]).toMatchObject({ ip: '203.0.113.9', requestId: 'r-1', details: { code: 'invalid_credentials' } });
    const rest = await one.auditOf(userId, { before: all[0]!.seq, limit: 1 });
    expect(rest).toEqual([all[1]]);
  });

  it('takes others’ entries whatever is in them, within bounds', async () => {
    const details = { text: 'a\0b\ud800', '\0name\ud800': 1n, long: 'x'.repeat(100_000) };
    await one.audit(
      { userId: null, act: 'test.odd', outcome: 'refused', details: { text: details.text, '\0n\ud800': 1n } },
      rig.origin(),
    );
    await one.audit({ userId: null, act: 'test.odd', outcome: 'refused', details }, rig.origin());
    const rows = await rig.at.admin`select details from identity.audit_log where act = 'test.odd' order by seq`;
    expect(rows.map(({ details: stored }) => Object.keys(stored as object).length)).toEqual([2, 1]);
    await expect(
      one.audit({ userId: null, act: 'Bad act', outcome: 'ok', details: {} }, rig.origin()),
    ).rejects.toThrow();
    expect(await one.verifyAudit()).toMatchObject({ brokenAt: null });
  });

  it('cannot be changed by the application, nor by its owner', async () => {
    const app = postgres(rig.at.appUrl, { max: 1, onnotice: () => {} });
    try {
      for (const statement of [
        `update identity.audit_log set outcome = 'ok'`,
        `delete from identity.audit_log`,
        `truncate identity.audit_log`,
        `insert into identity.users (id, email, password_hash, roles, created_at) values (gen_random_uuid(), 'a@b.c', '$argon2id$', '{admin}', now())`,
        `update identity.users set roles = '{admin}'`,
        `select identity.set_roles('{}')`,
        `select identity.append_audit(null, 'x', 'ok', '{}', '{}')`,
        `create table identity.mine (x int)`,
      ])
        await expect(app.unsafe(statement)).rejects.toMatchObject({ code: '42501' });
    } finally {
      await app.end();
    }
    await note(0);
    await expect(
      rig.at.runScript(`set role migrator; set tidewire.identity = 'x'; delete from identity.audit_log`),
    ).rejects.toMatchObject({ code: 'TW002' });
    await expect(
      rig.at.runScript(`set role migrator; update identity.users set roles = '{admin}'`),
    ).rejects.toMatchObject({ code: 'TW001' });
  });

  it('shows reporting what was done, and no hashes of passwords', async () => {
    const reader = postgres(rig.server.server().roleUrl('app_ro', rig.at.name), { max: 1, onnotice: () => {} });
    try {
      expect(await reader`select id, email from identity.users limit 1`).toHaveLength(1);
      for (const statement of [
        'select password_hash from identity.users',
        'select * from identity.sessions',
        'select * from identity.api_keys',
      ])
        await expect(reader.unsafe(statement)).rejects.toMatchObject({ code: '42501' });
    } finally {
      await reader.end();
    }
  });

  it('does not grow with a flood of guesses', async () => {
    const { user } = await rig.register(one);
    for (let count = 0; count < 30; count++) await one.login({ email: user.email, password: 'wrong' }, rig.origin());
    const entries = await one.auditOf(user.id, { before: null, limit: 100 });
    const limited = entries.filter(({ details }) => details.code === 'rate_limited');
    expect([entries.length, limited.length]).toEqual([12, 1]);
  });
});

describe('verification names the first entry that is not as it was written', () => {
  let from: number;
  beforeEach(async () => {
    await rig.at
      .runScript(`begin; alter table identity.audit_log disable trigger all; alter table identity.audit_head disable trigger all;
      truncate identity.audit_log; update identity.audit_head set seq = 0, hash = sha256('tidewire audit log');
      alter table identity.audit_log enable always trigger a_marked_only; alter table identity.audit_log enable always trigger a_append_only;
      alter table identity.audit_head enable always trigger a_marked_only; commit`);
    for (let index = 0; index < 6; index++) await note(index);
    from = 3;
    expect(await one.verifyAudit()).toMatchObject({ entries: 6, brokenAt: null });
  });

  it.each([
    ['details', `details = '{"index": 99}'`],
    ['outcome', `outcome = 'refused'`],
    ['user', `user_id = gen_random_uuid()`],
    ['time', `at = at + interval '1 millisecond'`],
    ['address', `ip = '203.0.113.1'`],
    ['act', `act = 'other'`],
    ['request', `request_id = null`],
    ['hash', `hash = sha256('x')`],
  ])('changed %s', async (_, change) => {
    await tamper(`update identity.audit_log set ${change} where seq = ${from}`);
    expect(await one.verifyAudit()).toMatchObject({ brokenAt: from });
  });

  it('a row left out, put in, cut off at the end, and a head set back', async () => {
    await tamper(`delete from identity.audit_log where seq = 6`);
    expect(await one.verifyAudit()).toMatchObject({ entries: 5, brokenAt: 6 });
    await tamper(`delete from identity.audit_log where seq = 3`);
    expect(await one.verifyAudit()).toMatchObject({ entries: 2, brokenAt: 3 });
  });

  it('a head that does not fit', async () => {
    await tamper(`update identity.audit_head set seq = 5`);
    expect(await one.verifyAudit()).toMatchObject({ brokenAt: 5 });
  });

  it('one recomputed whole only differs from a head that was written down', async () => {
    const { head } = await one.verifyAudit();
    await tamper(`update identity.audit_log set details = '{}' where seq = ${from}`);
    expect((await one.verifyAudit()).head).toBe(head);
  });
});

describe('housekeeping', () => {
  it('removes what has expired, bounded, and nothing else', async () => {
    const grant = await rig.register(one);
    const me = valueOf(await one.authenticateToken(grant.accessToken));
    for (let count = 0; count < 5; count++) await one.issueTicket(me);
    await rig.stepUp(one, me, 'totp_disable', {});
    const before = await one.sweep(1_000);
    expect(await rig.at.admin`select from identity.tickets`).toHaveLength(5);
    await rig.moveClock(61_000);
    expect(await one.sweep(3)).toBe(3);
    expect(await rig.at.admin`select from identity.tickets`).toHaveLength(2);
    await rig.moveClock(400 * DAY_MS);
    let swept = 0;
    for (let more = -1; more !== 0;) swept += more = await one.sweep(1_000);
    expect(swept).toBeGreaterThan(before);
    for (const table of ['tickets', 'step_ups', 'attempts', 'devices', 'sessions', 'revocations'])
      expect([table, await rig.at.admin`select from identity.${rig.at.admin(table)}`]).toEqual([table, []]);
    expect(await one.user(me.userId)).not.toBeNull();
    await rig.moveClock(0);
  });
});
