import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Outcome } from '../../kernel/outcome.ts';
import { codeOf, countCodes, startIdentityRig, valueOf } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import type { Identity } from './index.ts';

const PARALLEL = 20;
let rig: IdentityRig;
let nodes: Identity[];
beforeAll(async () => {
  rig = await startIdentityRig();
  nodes = [await rig.node(), await rig.node()];
});
afterAll(() => rig.stop());

/** Alternating between two processes. */
function atOnce<T>(count: number, work: (node: Identity, index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => work(nodes[index % nodes.length]!, index)));
}

describe('at the same time, on two processes', () => {
  it('one address is registered once', async () => {
    for (let round = 0; round < 3; round++) {
      const email = rig.email();
      const answers = await atOnce(PARALLEL, (node) => node.register({ email, password: rig.password }, rig.origin()));
      expect(countCodes(answers)).toEqual({ ok: 1, email_taken: PARALLEL - 1 });
    }
  });

  it('one refresh token is good once', async () => {
    for (let round = 0; round < 20; round++) {
      const grant = await rig.register(nodes[0]!);
      const answers = await atOnce(10, (node) => node.refresh(grant.refreshToken, rig.origin()));
      expect(countCodes(answers)).toEqual({ ok: 1, unauthorized: 9 });
    }
  });

  it('one client in a hurry does not lose its session', async () => {
    const inOneProcess = async (token: string) => {
      const answers = Promise.all(Array.from({ length: 10 }, () => nodes[0]!.refresh(token, rig.origin())));
      return answers;
    };
    const overlapping = async (token: string, userId: string) => {
      let answers: ReturnType<typeof inOneProcess> | undefined;
      await rig.at.admin.begin(async (queries) => {
        await queries`select from identity.sessions where user_id = ${userId} for update`;
        answers = atOnce(2, (node) => node.refresh(token, rig.origin()));
        await vi.waitFor(async () => {
          const waiting = await rig.at.admin`select from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'`;
          expect(waiting).toHaveLength(2);
        });
      });
      return answers!;
    };
    for (const refresh of [inOneProcess, overlapping]) {
      const grant = await rig.register(nodes[0]!);
      const answers = await refresh(grant.refreshToken, grant.user.id);
      const winners = answers.filter(({ ok }) => ok);
      expect(winners).toHaveLength(1);
      expect(codeOf(await nodes[0]!.refresh(valueOf(winners[0]!).refreshToken, rig.origin()))).toBe('ok');
    }
  });

  it('one wrong password more than allowed is not looked at', async () => {
    const { user } = await rig.register(nodes[0]!);
    const answers = await atOnce(PARALLEL, (node) =>
      node.login({ email: user.email, password: 'wrong horse' }, rig.origin()),
    );
    expect(countCodes(answers)).toEqual({ invalid_credentials: 10, rate_limited: 10 });
  });

  it('one code opens one session', async () => {
    const { email, code } = await rig.registerWithTotp(nodes[0]!);
    const next = await code();
    const answers = await atOnce(5, (node) => node.login({ email, password: rig.password, code: next }, rig.origin()));
    expect(countCodes(answers)).toEqual({ ok: 1, invalid_code: 4 });
  });

  it('one code proves one thing, whatever it is for', async () => {
    const { email, code, me } = await rig.registerWithTotp(nodes[0]!);
    const next = await code();
    const answers = await atOnce(4, (node, index): Promise<Outcome<unknown>> =>
      index < 2
        ? node.login({ email, password: rig.password, code: next }, rig.origin())
        : node.stepUp(me, { act: 'totp_disable', operation: {}, code: next }, rig.origin()),
    );
    expect(countCodes(answers)).toEqual({ ok: 1, invalid_code: 3 });
  });

  it('one recovery code opens one session', async () => {
    const { email, recoveryCodes } = await rig.registerWithTotp(nodes[0]!);
    const answers = await atOnce(5, (node) =>
      node.login({ email, password: rig.password, code: recoveryCodes[3]! }, rig.origin()),
    );
    expect(countCodes(answers)).toEqual({ ok: 1, invalid_code: 4 });
  });

  it('one ticket opens one socket', async () => {
    const grant = await rig.register(nodes[0]!);
    const me = valueOf(await nodes[0]!.authenticateToken(grant.accessToken));
    const { ticket } = await nodes[0]!.issueTicket(me);
    const answers = await atOnce(PARALLEL, (node) => node.redeemTicket(ticket));
    expect(countCodes(answers)).toEqual({ ok: 1, unauthorized: PARALLEL - 1 });
  });

  it('one step-up makes one key', async () => {
    const grant = await rig.register(nodes[0]!);
    const me = valueOf(await nodes[0]!.authenticateToken(grant.accessToken));
    const body = { label: 'bot', scopes: ['read' as const], algorithm: 'hmac-sha256' as const };
    const stepUpToken = await rig.stepUp(nodes[0]!, me, 'key_create', body);
    const answers = await atOnce(PARALLEL, (node) => node.createKey(me, body, stepUpToken, rig.origin()));
    expect(countCodes(answers)).toEqual({ ok: 1, step_up_required: PARALLEL - 1 });
    expect(await nodes[1]!.keys(me)).toHaveLength(1);
  });

  it('a second factor is switched on once', async () => {
    const grant = await rig.register(nodes[0]!);
    const me = valueOf(await nodes[0]!.authenticateToken(grant.accessToken));
    const { secret } = valueOf(await nodes[0]!.beginTotp(me, rig.origin()));
    const code = rig.codeNow(secret);
    const answers = await atOnce(5, (node) => node.confirmTotp(me, code, rig.origin()));
    expect(countCodes(answers)).toEqual({ ok: 1, already_done: 4 });
    const codes = valueOf(answers.find(({ ok }) => ok)!);
    expect(codeOf(await rig.tryLogin(nodes[0]!, grant.user.email, codes[0]))).toBe('ok');
  });

  it('no session survives a suspension', async () => {
    for (let round = 0; round < 5; round++) {
      const { user } = await rig.register(nodes[0]!);
      const logins = atOnce(6, (node) => rig.tryLogin(node, user.email));
      await nodes[1]!.setRoles(null, user.email, [], rig.origin());
      for (const answer of await logins) {
        if (!answer.ok) continue;
        expect(codeOf(await nodes[0]!.authenticateToken(answer.value.accessToken))).toBe('unauthorized');
        expect(codeOf(await nodes[0]!.refresh(answer.value.refreshToken, rig.origin()))).toBe('unauthorized');
      }
      expect(codeOf(await rig.tryLogin(nodes[0]!, user.email))).toBe('invalid_credentials');
    }
  });

  it('the audit log is one unbroken chain', async () => {
    await atOnce(100, (node, index) =>
      node.audit({ userId: null, act: 'test', outcome: 'ok', details: { index } }, rig.origin()),
    );
    expect(await nodes[0]!.verifyAudit()).toMatchObject({ brokenAt: null });
  });
});
