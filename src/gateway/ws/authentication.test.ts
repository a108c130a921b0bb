import { describe, expect, it } from 'vitest';
import { accepted } from '../../kernel/outcome.ts';
import type { Identity, Principal, Revocation } from '../../modules/identity/index.ts';
import { DatabaseFailure } from '../../platform/postgres-failure.ts';
import { createLog } from '../../platform/log.ts';
import { CONNECTION_LIMITS } from '../../protocol/limits.ts';
import { Authenticator } from './authentication.ts';
import type { Connection } from './connection.ts';
import type { SocketRefusal } from './hub-context.ts';
import { settle } from './hub-rig-contract.ts';
import { UNKNOWN_PEER } from './wire.ts';

const SESSION: Principal = {
  userId: 'ada',
  roles: ['user'],
  sessionId: 's1',
  keyId: null,
  scopes: ['read', 'trade'],
  expiresAtMs: 600_000,
};
const KEY: Principal = { ...SESSION, sessionId: null, keyId: 'k1' };

/** An identity that answers what the test says, and a connection that only notes how it was closed. */
function stage(principal: Principal = SESSION) {
  const time = { now: 0, monotonic: 0 };
  const script = { good: true as boolean | 'away', rechecks: 0 };
  let tell: (revocation: Revocation) => void = () => undefined;
  const identity = {
    authenticateToken: async () => accepted(principal),
    recheck: async () => {
      script.rechecks += 1;
      if (script.good === 'away') throw new DatabaseFailure('unavailable', 'away');
      return script.good;
    },
    onRevoked: (listener: typeof tell) => {
      tell = listener;
      return () => (tell = () => undefined);
    },
  } as unknown as Identity;
  const refusals: SocketRefusal[] = [];
  const authenticator = new Authenticator({
    accounts: { identity, auditRefusal: (refusal) => refusals.push(refusal) },
    clock: { now: () => time.now, monotonic: () => time.monotonic },
    log: createLog({ level: 'silent' }),
    limits: CONNECTION_LIMITS,
  });
  const closed: string[] = [];
  const connection = {
    id: 'c',
    principal: null as Principal | null,
    isOpen: true,
    close(name: string) {
      connection.isOpen = false;
      closed.push(name);
    },
  };
  const adopt = async (): Promise<void> => {
    const proof = await authenticator.prove({ token: 't' }, UNKNOWN_PEER);
    expect(authenticator.adopt(connection as unknown as Connection, proof).ok).toBe(true);
  };
  const pass = async (ms: number): Promise<void> => {
    time.now += ms;
    time.monotonic += ms;
    authenticator.check();
    await settle();
  };
  const revoke = (revocation: Partial<Revocation> = {}) =>
    tell({ userId: 'ada', sessionId: null, keyId: null, ...revocation });
  return { authenticator, connection: connection as unknown as Connection, closed, time, script, adopt, pass, revoke };
}

describe('a proof that was revoked before its connection took it over', () => {
  it.each<[string, Partial<Revocation>, boolean]>([
    ['all of the user', {}, false],
    ['this session', { sessionId: 's1' }, false],
    ['another session', { sessionId: 's2' }, true],
    ['a key', { keyId: 'k1' }, true],
    ['another user', { userId: 'bob' }, true],
  ])('is worth nothing: %s', async (_name, revocation, good) => {
    const { authenticator, connection, revoke } = stage();
    const proof = await authenticator.prove({ token: 't' }, UNKNOWN_PEER);
    revoke(revocation);
    expect(authenticator.adopt(connection, proof).ok).toBe(good);
    expect(connection.principal !== null).toBe(good);
  });

  it('is worth nothing either when more came since than are remembered', async () => {
    const { authenticator, connection, revoke } = stage();
    const proof = await authenticator.prove({ token: 't' }, UNKNOWN_PEER);
    for (let count = 0; count < 1_001; count++) revoke({ userId: 'bob' });
    expect(authenticator.adopt(connection, proof)).toMatchObject({ ok: false, error: { code: 'unauthorized' } });
  });

  it('older revocations do not concern it', async () => {
    const { adopt, revoke, closed } = stage();
    revoke();
    await adopt();
    expect(closed).toEqual([]);
    revoke();
    expect(closed).toEqual(['unauthorized']);
  });
});

describe('the time of a connection', () => {
  it('of a session ends with its token, whatever the wall clock is set to', async () => {
    const { adopt, pass, time, closed } = stage();
    await adopt();
    time.now -= 3_600_000;
    await pass(599_999);
    expect(closed).toEqual([]);
    await pass(1);
    expect(closed).toEqual(['unauthorized']);
  });

  it('of an API key goes on while the key is good', async () => {
    const { adopt, pass, script, closed } = stage(KEY);
    await adopt();
    for (let minute = 0; minute < 20; minute++) await pass(60_000);
    expect([closed, script.rechecks]).toEqual([[], 4]);
    script.good = false;
    await pass(300_000);
    expect(closed).toEqual(['unauthorized']);
  });

  it('of an API key ends soon when nobody can say whether it is good', async () => {
    const { adopt, pass, script, closed } = stage(KEY);
    script.good = 'away';
    await adopt();
    await pass(300_000);
    expect(closed).toEqual([]);
    await pass(3_999);
    expect([closed, script.rechecks]).toEqual([[], 2]);
    await pass(1);
    expect(closed).toEqual(['unauthorized']);
  });
});

it('a connection that closed while its proof was under way is not kept', async () => {
  const { authenticator, connection } = stage();
  const proof = await authenticator.prove({ token: 't' }, UNKNOWN_PEER);
  connection.close('shutdown');
  authenticator.adopt(connection, proof);
  expect([...authenticator.connectionsOf('ada')]).toEqual([]);
});
