import type { Database } from '../../platform/postgres.ts';
import { verifyLedger } from './verify.ts';

/** `npm run ledger:verify`: writes what was found for a person to read; answers the exit code, 1 when anything is wrong. */
export async function runLedgerVerify(database: Database, write: (text: string) => void): Promise<0 | 1> {
  const { ok, breaches, counts } = await verifyLedger(database);
  for (const { invariant, promise, count, details } of breaches) {
    write(`BROKEN ${invariant}: ${promise}: ${count} times\n`);
    for (const detail of details) write(`  ${detail}\n`);
  }
  const seen = `${counts.journals} journals, ${counts.transfers} transfers, ${counts.accounts} accounts, ${counts.holds} holds, ${counts.events} events`;
  write(`ledger ${ok ? 'holds' : 'IS DAMAGED'}: ${counts.checks} checks over ${seen}\n`);
  return ok ? 0 : 1;
}
