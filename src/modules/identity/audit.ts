import { createHash } from 'node:crypto';
import { assert } from '../../kernel/assert.ts';
import type { Database } from '../../platform/postgres.ts';
import type { Core } from './core.ts';
import type { Identity, Origin } from './identity.ts';
import { storedDetails, storedOrigin } from './origin.ts';
import { UUID, readAuditHead, readAuditTexts } from './queries.ts';
import { REVOCATION_KEPT_MS } from './settings.ts';
import { act } from './store.ts';

const PAGE_LIMIT = 1_000;
const ACT = /^[a-z][a-z0-9_.]{0,63}$/;
const SWEEP_LIMIT = 10_000;
const DAY_MS = 86_400_000;
/** A session that is over is of no use to anybody; a key's last use may still be asked for. */
const SESSION_KEPT_MS = DAY_MS;
const KEY_KEPT_MS = 90 * DAY_MS;
/** What the chain begins with, as migration 0006 wrote it. */
const BEGINNING = createHash('sha256').update('tidewire audit log').digest('hex');

/**
 * Recomputes every hash here, not in the database. Finds entries that were changed, left out, put in, or cut off at the end;
 * a chain that was recomputed as a whole is only found by comparing `head` with one that was written down elsewhere before.
 */
export async function verifyAudit(
  database: Database,
): Promise<Readonly<{ entries: number; brokenAt: number | null; head: string }>> {
  const head = await readAuditHead(database);
  let hash = BEGINNING;
  let seq = 0;
  while (seq < head.seq) {
    const entries = await readAuditTexts(database, seq, PAGE_LIMIT);
    if (entries.length === 0) return { entries: seq, brokenAt: seq + 1, head: head.hash };
    for (const entry of entries) {
      if (seq === head.seq) break;
      hash = createHash('sha256').update(Buffer.from(hash, 'hex')).update(entry.text, 'utf8').digest('hex');
      if (entry.seq !== seq + 1 || entry.hash !== hash) return { entries: seq, brokenAt: seq + 1, head: head.hash };
      seq = entry.seq;
    }
  }
  return { entries: seq, brokenAt: hash === head.hash ? null : Math.max(seq, 1), head: head.hash };
}

export async function writeAudit(core: Core, entry: Parameters<Identity['audit']>[0], origin: Origin): Promise<void> {
  assert(ACT.test(entry.act), 'identity: an act is named by a short word of ours');
  assert(entry.userId === null || UUID.test(entry.userId), 'identity: an audit entry belongs to a user or to nobody');
  await act(core.database, 'audit', {
    ...entry,
    details: storedDetails(entry.details),
    origin: storedOrigin(origin),
  });
}

export async function sweep(core: Core, limit: number): Promise<number> {
  assert(Number.isInteger(limit) && limit > 0 && limit <= SWEEP_LIMIT, 'identity: a sweep takes 1 to 10,000 rows');
  const { count } = await act(core.database, 'sweep', {
    limit,
    // Twice as long as any process wants them, so that none misses one.
    revocationMs: 2 * REVOCATION_KEPT_MS,
    sessionMs: SESSION_KEPT_MS,
    keyMs: KEY_KEPT_MS,
  });
  return count;
}
