import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** In order of preference. A module proxy may withhold the newest; the scripts use nothing that the older one lacks. */
export const K6_MODULES = ['go.k6.io/k6/v2@v2.3.0', 'go.k6.io/k6@v1.8.1'];

/** Go 1.x, the x. From 1.21 on it fetches a newer one of itself where it may, and says so where it may not; before, it fails obscurely. */
const GO_AT_LEAST = 21;

export type K6Found = Readonly<{ ok: true; path: string } | { ok: false; message: string }>;

type Environment = Readonly<Record<string, string | undefined>>;

/** Outlives `npm ci`, because building takes minutes. */
function cacheOf(env: Environment): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'tidewire/k6');
}

/** k6 from PATH, from Go's own bin folder, from this project's cache; null when it is in none of them. */
export function existingK6(env: Environment): string | null {
  const name = process.platform === 'win32' ? 'k6.exe' : 'k6';
  const goPath = findGoPath();
  const folders = [...(env.PATH ?? '').split(delimiter), ...(goPath ? [join(goPath, 'bin')] : []), cacheOf(env)];
  const paths = folders.filter((folder) => folder !== '').map((folder) => join(folder, name));
  return paths.find((each) => existsSync(each) && isK6(each)) ?? null;
}

/** The same, else built with Go, once, into that cache. */
export function findK6(env: Environment): K6Found {
  const path = existingK6(env);
  if (path !== null) return { ok: true, path };
  if (!findGoPath()) return { ok: false, message: 'k6 is not on PATH, and there is no Go to build it with' };
  if (goVersion() < GO_AT_LEAST) {
    return { ok: false, message: `k6 is not on PATH, and building it needs Go 1.${GO_AT_LEAST} or later` };
  }
  const refusals: string[] = [];
  for (const module of K6_MODULES) {
    process.stderr.write(`building k6 (${module}), once ...\n`);
    const built = spawnSync('go', ['install', module], { env: { ...env, GOBIN: cacheOf(env) }, encoding: 'utf8' });
    const made = existingK6(env);
    if (built.status === 0 && made !== null) return { ok: true, path: made };
    refusals.push(built.stderr.trim());
  }
  return { ok: false, message: `k6 is not on PATH, and Go could not build it:\n${refusals.join('\n')}` };
}

/** The second number of Go's version; 0 when it does not say. */
function goVersion(): number {
  const { stdout } = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' });
  return Number(/^go1\.([0-9]+)/.exec(stdout ?? '')?.[1] ?? 0);
}

function findGoPath(): string | undefined {
  return spawnSync('go', ['env', 'GOPATH'], { encoding: 'utf8' }).stdout?.trim();
}

/** The npm registry holds a package of that name whose program only says that it is not k6. */
function isK6(path: string): boolean {
  const { status, stdout } = spawnSync(path, ['version'], { encoding: 'utf8' });
  return status === 0 && /^k6(\.exe)? v[0-9]/.test(stdout);
}
