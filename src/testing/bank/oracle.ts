import { sql } from 'drizzle-orm';
import { verifyLedger } from '../../modules/ledger/index.ts';
import type { Database } from '../../platform/postgres.ts';
import type { DiaryLine } from './diary.ts';

export type Tally = Readonly<{ ok: number; fail: number; unknown: number; unknownButDone: number; journals: number }>;
export type Judgement = Readonly<{ breaches: readonly string[]; tally: Tally }>;

const DETAILS_LIMIT = 20;

/** Compares what the clients were told with what the database holds, and the ledger with itself. Nobody may be writing. */
export async function judge(
  database: Database,
  diaries: ReadonlyMap<string, readonly DiaryLine[]>,
): Promise<Judgement> {
  const breaches: string[] = [];
  const tally = { ok: 0, fail: 0, unknown: 0, unknownButDone: 0, journals: 0 };
  const verification = await verifyLedger(database);
  for (const { invariant, promise, count, details } of verification.breaches) {
    breaches.push(`${invariant} ${promise}: ${count} times: ${details.slice(0, 3).join(' | ')}`);
  }
  for (const [client, lines] of diaries) {
    const kept = await readKept(database, `bank-${client}`);
    tally.journals += kept.size;
    breaches.push(...judgeClient(client, lines, kept, tally));
  }
  const heads = await database.read('bank.heads', (queries) =>
    queries.execute<{ user_id: string; seq: string }>(sql`select user_id, seq from ledger.event_heads`),
  );
  const headOf = new Map(heads.map((row) => [row.user_id, Number(row.seq)]));
  for (const line of [...diaries.values()].flat()) {
    if (line.type === 'seen' && (headOf.get(line.userId) ?? 0) < line.seq) {
      breaches.push(
        `I8 user ${line.userId} was shown event ${line.seq}, the log ends at ${headOf.get(line.userId) ?? 0}`,
      );
    }
  }
  return { breaches: breaches.slice(0, DETAILS_LIMIT), tally };
}

async function readKept(database: Database, scope: string): Promise<Map<number, string>> {
  const rows = await database.transaction(
    { name: 'bank.kept', mode: 'snapshot', statementLimitMs: 120_000 },
    (queries) =>
      queries.execute<{ key: string; id: string }>(sql`select key, id from ledger.journals where scope = ${scope}`),
  );
  return new Map(rows.map((row) => [Number(row.key), row.id]));
}

type MutableTally = { -readonly [K in keyof Tally]: number };

function judgeClient(
  client: string,
  lines: readonly DiaryLine[],
  kept: ReadonlyMap<number, string>,
  tally: MutableTally,
): string[] {
  const breaches: string[] = [];
  const outcomes = new Map<number, Extract<DiaryLine, { type: 'intent' | 'ok' | 'fail' | 'unknown' }>>();
  for (const line of lines) {
    if (line.type === 'wrong') breaches.push(`client ${client} saw: ${line.what}`);
    else if (line.type !== 'seen') {
      const before = outcomes.get(line.number);
      if (before?.type === 'ok' && line.type !== 'ok')
        breaches.push(`I5 ${client}/${line.number}: ${line.type} after ok`);
      outcomes.set(line.number, line);
    }
  }
  for (const [number, outcome] of outcomes) {
    const journal = kept.get(number);
    if (outcome.type === 'ok') {
      tally.ok += 1;
      if (journal === undefined)
        breaches.push(`I5 LOST: ${client}/${number} was acknowledged as journal ${outcome.journalId}`);
      else if (journal !== outcome.journalId)
        breaches.push(`I5 ${client}/${number}: told ${outcome.journalId}, kept ${journal}`);
    } else if (outcome.type === 'fail') {
      tally.fail += 1;
      if (journal !== undefined)
        breaches.push(`I5 ${client}/${number} was refused (${outcome.code}) and is journal ${journal}`);
    } else {
      tally.unknown += 1;
      if (journal !== undefined) tally.unknownButDone += 1;
    }
  }
  for (const number of kept.keys()) {
    if (!outcomes.has(number)) breaches.push(`I5 ${client}/${number} is in the ledger and was never sent`);
  }
  return breaches;
}
