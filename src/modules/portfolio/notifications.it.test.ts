import { afterAll, beforeAll, expect, it } from 'vitest';
import { startIdentityRig } from '../../testing/identity.ts';
import type { IdentityRig } from '../../testing/identity.ts';
import { expectSound } from '../../testing/ledger.ts';
import { surroundings } from '../../testing/postgres.ts';
import { createMemorySignals } from '../../platform/signals-memory.ts';
import type { Identity } from '../identity/index.ts';
import { createLedger } from '../ledger/index.ts';
import { createUserLog } from './index.ts';
import type { UserLog } from './index.ts';
import type { Database } from '../../platform/postgres.ts';
import { SyncEventSchema } from '../../protocol/trading.ts';

let rig: IdentityRig;
let identity: Identity;
let database: Database;
let log: UserLog;

beforeAll(async () => {
  rig = await startIdentityRig();
  identity = await rig.node();
  database = await rig.at.open();
  const around = { ...surroundings(), signals: createMemorySignals(surroundings()) };
  const ledger = createLedger({ database, tell: () => {} });
  log = await createUserLog({ ...around, database, ledger, openOrders: async () => [] });
});
afterAll(async () => {
  await log.stop();
  await expectSound(database);
  await rig.stop();
});

async function kindsOf(userId: string): Promise<string[]> {
  const { events } = await log.streamSince(userId, 'notifications', 0, 100);
  for (const event of events) SyncEventSchema.parse(event);
  return events.flatMap(({ data }) => (data.type === 'notification' ? [data.notification.kind] : []));
}

it('a user hears of a login from a device that the account does not know, and not of one that it knows', async () => {
  const email = rig.email();
  const { user, deviceToken } = await rig.register(identity, email);
  expect(await kindsOf(user.id)).toEqual([]);
  await rig.login(identity, email);
  expect(await kindsOf(user.id)).toEqual(['login_new_device']);
  const known = await identity.login({ email, password: rig.password }, rig.origin({ deviceToken: deviceToken! }));
  expect(known.ok).toBe(true);
  expect(await kindsOf(user.id)).toEqual(['login_new_device']);
});

it('a user hears of a stolen session, of second factors and of keys, and nobody else does', async () => {
  const other = await rig.register(identity);
  const { user, refreshToken } = await rig.register(identity);
  const rotated = await identity.refresh(refreshToken, rig.origin());
  expect(rotated.ok).toBe(true);
  expect((await identity.refresh(refreshToken, rig.origin())).ok).toBe(false);
  expect(await kindsOf(user.id)).toEqual(['session_stolen']);
  const { me } = await rig.registerWithTotp(identity);
  expect(await kindsOf(me.userId)).toContain('totp_enabled');
  expect(await kindsOf(other.user.id)).toEqual([]);
});
