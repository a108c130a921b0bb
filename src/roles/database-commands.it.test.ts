import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startEmbeddedPostgres } from '../platform/postgres-embedded.ts';
import { silentLog } from '../testing/postgres.ts';
import { startLedgerVerification, startMigration } from './database-commands.ts';

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
});
