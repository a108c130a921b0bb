import { createHmac, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../platform/postgres.ts';
import type { KeyCreate } from '../../protocol/accounts.ts';
import { EMPTY_BODY_HASH, signingText } from '../../protocol/signing.ts';
import { codeOf, startIdentityRig, valueOf } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import type { Identity } from './index.ts';

let rig: IdentityRig;
let node: Identity;
beforeAll(async () => {
  rig = await startIdentityRig();
  // Tries count twice here.
  const many = { count: 100, windowMs: 60_000 };
  const settings = { loginsPerAccount: many, codes: many };
  node = await rig.node({ database: forgetful(await rig.at.open({ size: 2 })), settings });
});
afterAll(() => rig.stop());

/** Loses the first answer of every command that may be sent again, as a connection that breaks after COMMIT does. */
function forgetful(database: Database): Database {
  return {
    ...database,
    async runCommand(command) {
      if (command.repeatable) await database.runCommand(command);
      return database.runCommand(command);
    },
    read: (name, work) => database.read(name, work),
    stop: () => database.stop(),
  };
}

async function entriesOf(userId: string): Promise<string[]> {
  const entries = await node.auditOf(userId, { before: null, limit: 100 });
  return entries.filter(({ outcome }) => outcome === 'ok').map(({ act }) => act);
}

describe('when every first answer is lost, the second is the same, and the act happened once:', () => {
  it('registration, login, refresh, tickets', async () => {
    const { user } = await rig.register(node);
    const grant = await rig.login(node, user.email);
    const next = valueOf(await node.refresh(grant.refreshToken, rig.origin()));
    expect(codeOf(await node.refresh(next.refreshToken, rig.origin()))).toBe('ok');
    const me = valueOf(await node.authenticateToken(next.accessToken));
    expect(await node.sessions(me)).toHaveLength(2);
    const { ticket } = await node.issueTicket(me);
    expect(codeOf(await node.redeemTicket(ticket))).toBe('ok');
    expect(await entriesOf(user.id)).toEqual(['login', 'register']);
    await node.logout(me, rig.origin());
    expect(codeOf(await node.authenticateToken(next.accessToken))).toBe('unauthorized');
  });

  it('the second factor, step-ups, recovery codes', async () => {
    const { email, me, code, recoveryCodes } = await rig.registerWithTotp(node);
    expect(codeOf(await rig.tryLogin(node, email, recoveryCodes[0]))).toBe('ok');
    const proof = valueOf(
      await node.stepUp(me, { act: 'recovery_codes', operation: {}, code: await code() }, rig.origin()),
    );
    const renewed = valueOf(await node.renewRecoveryCodes(me, proof.stepUpToken, rig.origin()));
    expect(codeOf(await rig.tryLogin(node, email, renewed[0]))).toBe('ok');
    expect(codeOf(await rig.tryLogin(node, email, await code()))).toBe('ok');
    const acts = ['login', 'login', 'recovery_codes', 'step_up', 'login', 'totp_enable'];
    expect((await entriesOf(me.userId)).filter((act) => act !== 'totp_begin')).toEqual([...acts, 'register']);
  });

  it('keys and what they sign, a new password', async () => {
    const grant = await rig.register(node);
    const me = valueOf(await node.authenticateToken(grant.accessToken));
    const body: KeyCreate = { label: 'bot', scopes: ['read'], algorithm: 'hmac-sha256' };
    const stepUpToken = await rig.stepUp(node, me, 'key_create', body);
    const { key, secret } = valueOf(await node.createKey(me, body, stepUpToken, rig.origin()));
    const fields = {
      keyId: key.id,
      timestampMs: Date.now() + rig.clockMovedMs(),
      recvWindowMs: 5_000,
      nonce: randomUUID(),
      method: 'GET',
      path: '/',
      bodyHash: EMPTY_BODY_HASH,
    };
    const signature = createHmac('sha256', secret!).update(signingText(fields)).digest('base64url');
    expect(codeOf(await node.authenticateSigned({ ...fields, signature }, rig.origin()))).toBe('ok');
    expect(codeOf(await node.authenticateSigned({ ...fields, signature }, rig.origin()))).toBe('replayed');
    const change = { password: rig.password, newPassword: 'nine green foxes under a bridge' };
    const proof = await rig.stepUp(node, me, 'password_change', change);
    expect(codeOf(await node.changePassword(me, { ...change, stepUpToken: proof }, rig.origin()))).toBe('ok');
    expect(await node.keys(me)).toHaveLength(1);
    expect(await entriesOf(me.userId)).toEqual(['password_change', 'step_up', 'key_create', 'step_up', 'register']);
  });
});
