import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startEmbeddedPostgres } from '../platform/postgres-embedded.ts';
import { silentLog } from '../testing/postgres.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { createIdentity } from '../modules/identity/index.ts';
import { createMemorySignals } from '../platform/signals-memory.ts';
import { openDatabase } from '../platform/postgres.ts';
import { surroundings } from '../testing/postgres.ts';
import { startDatabaseCommand, startLedgerVerification, startMigration } from './database-commands.ts';
import { tokenSecretOf } from './token-secret.ts';

let dataDir: string;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), `tidewire-test-pg-${process.pid}-commands-`));
  chmodSync(dataDir, 0o755);
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

describe('the database commands', () => {
  it('make a ledger out of nothing, find it sound, find damage, and leave no server running', async () => {
    const config = { databaseUrl: null, dataDir };
    await startMigration(config, silentLog).finished;
    let text = '';
    const verify = () => startLedgerVerification(config, silentLog, (line) => (text += line)).finished;
    await verify();
    expect(text).toMatch(/^ledger holds: \d+ checks over 0 journals/);

    const server = await startEmbeddedPostgres({ dataDir, log: silentLog });
    const vandal = postgres(server.adminUrl(), { max: 1, onnotice: () => {} });
    await vandal.unsafe('alter table ledger.accounts disable trigger a_marked_only');
    await vandal.end();
    await expect(verify()).rejects.toThrow(/damaged/);
    expect(text).toContain('BROKEN guards: every table refuses writes from outside its transaction');
    await server.stop();
    expect(existsSync(join(dataDir, 'pg/cluster/postmaster.pid'))).toBe(false);
  });

  it('make a registered user an admin, say when there is no such user, and find an audit entry that was changed', async () => {
    const config = configOf({ DATA_DIR: dataDir });
    await startMigration(config, silentLog).finished;
    const server = await startEmbeddedPostgres({ dataDir, log: silentLog });
    const database = await openDatabase({ url: server.roleUrl('app_rw'), role: 'app_rw', ...surroundings() });
    const signals = createMemorySignals(surroundings());
    const identity = createIdentity({ database, signals, signingSecret: tokenSecretOf(config), ...surroundings() });
    const origin = { ip: '127.0.0.1', userAgent: null, requestId: null };
    const ada = await identity.register(
      { email: 'ada@example.com', password: 'seven blue horses over a wall' },
      origin,
    );
    if (!ada.ok) throw new Error(ada.code);

    const run = (command: Parameters<typeof startDatabaseCommand>[0]) =>
      startDatabaseCommand(command, config, silentLog, () => {}).finished;
    await expect(run({ name: 'admin:grant', email: 'eve@example.com' })).rejects.toThrow(/no user eve@example.com/);
    await run({ name: 'admin:grant', email: 'Ada@Example.com' });
    expect((await identity.user(ada.value.user.id))?.roles).toContain('admin');
    await run({ name: 'audit:verify' });

    const vandal = postgres(server.adminUrl(), { max: 1, onnotice: () => {} });
    await vandal.unsafe(`set session_replication_role = replica; alter table identity.audit_log disable trigger user;
      update identity.audit_log set act = 'nothing' where seq = 1`);
    await vandal.end();
    await expect(run({ name: 'audit:verify' })).rejects.toThrow(/audit entry 1 is not as it was written/);
    await identity.stop();
    await signals.stop();
    await database.stop();
    await server.stop();
  });
});

function configOf(env: Record<string, string>): Config {
  const loaded = loadConfig({ env, words: [], isFolder: () => false, inspectable: false });
  if (!loaded.ok) throw new Error('not a configuration');
  return loaded.config;
}
