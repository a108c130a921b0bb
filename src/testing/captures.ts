import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

/** Real recordings for development and tests; never part of the repository. */
export const CAPTURES_DIR = resolve(
  process.env['CAPTURES_DIR'] ?? resolve(import.meta.dirname, '../../../shared/captures'),
);
export const CAPTURES_PRESENT = existsSync(CAPTURES_DIR);

/** Says plainly what a run without recordings leaves out. */
export function sayWhatIsSkipped(suite: string): void {
  if (CAPTURES_PRESENT) return;
  console.warn(`${suite}: skipped, no recordings in ${CAPTURES_DIR} (set CAPTURES_DIR)`);
}
