import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PREFIX = 'tidewire-test-pg-';

/** A DATA_DIR of this test run. An embedded Postgres that was left running in it ends with `removeDataFolder`. */
export function createDataFolder(): string {
  removeLeftovers();
  const folder = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
  // Run by root, the server belongs to another user.
  chmodSync(folder, 0o755);
  return folder;
}

export function removeDataFolder(folder: string): void {
  const pid = postmasterOf(folder);
  if (pid !== null && isAlive(pid)) process.kill(pid, 'SIGQUIT');
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
}

let shared: string | undefined;

/** One for all processes that a test file starts one after the other, so that only the first makes a cluster. Removed at exit. */
export function sharedDataFolder(): string {
  if (shared === undefined) {
    const folder = createDataFolder();
    process.once('exit', () => removeDataFolder(folder));
    shared = folder;
  }
  return shared;
}

/** A test run that was killed leaves its server running; the folder's name says whose it was. */
function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir()).filter((each) => each.startsWith(PREFIX))) {
    const owner = Number(name.slice(PREFIX.length).split('-')[0]);
    if (!isAlive(owner)) removeDataFolder(join(tmpdir(), name));
  }
}

function postmasterOf(folder: string): number | null {
  const file = join(folder, 'pg/cluster/postmaster.pid');
  if (!existsSync(file)) return null;
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
  const cmdline = `/proc/${pid}/cmdline`;
  return existsSync(cmdline) && readFileSync(cmdline, 'utf8').includes(folder) ? pid : null;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
