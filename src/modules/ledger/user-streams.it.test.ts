import { copyFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MIGRATIONS_FOLDER, migrate } from '../../platform/postgres-migrate.ts';
import { openDatabase } from '../../platform/postgres.ts';
import type { Database } from '../../platform/postgres.ts';
import {
  BTC,
  USDT,
  createFundedUser,
  createTestLedger,
  done,
  expectSound,
  origin,
  reason,
} from '../../testing/ledger.ts';
import { silentLog, startTestPostgres, surroundings } from '../../testing/postgres.ts';
import type { TestPostgres } from '../../testing/postgres.ts';

let server: TestPostgres;
let folder: string;
const opened: Database[] = [];

beforeAll(async () => {
  server = await startTestPostgres();
  folder = mkdtempSync(join(tmpdir(), 'tidewire-migrations-'));
  // As they were released before there were streams.
  const released = readdirSync(MIGRATIONS_FOLDER).filter((name) => /^000[1-4]_/.test(name));
  for (const name of released) copyFileSync(join(MIGRATIONS_FOLDER, name), join(folder, name));
});
afterAll(async () => {
  await Promise.all(opened.map((database) => database.stop()));
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

it('a ledger from before there were streams gets its numbers, keeps its guards, and goes on', async () => {
  const url = await server.createEmptyDatabase();
  await migrate({ url, log: silentLog, folder });
  const database = await openDatabase({ url, role: 'app_rw', ...surroundings() });
  opened.push(database);
  const { ledger } = await createTestLedger(database);
  const owner = await createFundedUser(ledger, { [USDT]: 100n, [BTC]: 5n });
  const other = await createFundedUser(ledger, { [USDT]: 100n });
  done(await ledger.hold({ ...origin(), owner, asset: USDT, amount: 60n, reason: reason() }));
  await migrate({ url, log: silentLog });
  await expectSound(database);
  done(await ledger.transfer({ ...origin(), asset: USDT, amount: 5n, fromOwner: other, toOwner: owner }));
  for (const [userId, count] of [
    [owner, 4],
    [other, 2],
  ] as const) {
    const { events, headSeq } = await ledger.streamSince({ userId, stream: 'portfolio', since: 0, limit: 10 });
    expect(headSeq).toBe(count);
    expect(events.map(({ streamSeq }) => streamSeq)).toEqual(Array.from({ length: count }, (_, index) => index + 1));
  }
  await expectSound(database);
});
