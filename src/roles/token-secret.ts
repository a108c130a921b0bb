import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/schema.ts';
import { StartFailure } from './start-failure.ts';

const SECRET_BYTES = 48;
const SECRET_PATTERN = /^[A-Za-z0-9_-]{64}$/;

/** TOKEN_SECRET, or one of this installation's own: made once, kept in DATA_DIR, so that a restart logs nobody out. */
export function tokenSecretOf({ tokenSecret, dataDir }: Pick<Config, 'tokenSecret' | 'dataDir'>): string {
  if (tokenSecret !== null) return tokenSecret;
  const path = join(dataDir, 'token-secret');
  mkdirSync(dataDir, { recursive: true });
  keepFirst(path, randomBytes(SECRET_BYTES).toString('base64url'));
  const kept = readFileSync(path, 'utf8').trim();
  if (!SECRET_PATTERN.test(kept)) {
    throw new StartFailure(
      `DATA_DIR: ${path} does not hold the token secret that was written there; restore or delete it`,
    );
  }
  return kept;
}

/** Two processes that start at once must agree: the file appears whole, and the second finds the first's. */
function keepFirst(path: string, secret: string): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${secret}\n`, { mode: 0o600 });
  chmodSync(draft, 0o600);
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft);
  }
}
