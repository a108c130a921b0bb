import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { availableParallelism } from 'node:os';

const CACHE = resolve(import.meta.dirname, '../../../node_modules/.cache/fanout');

/** Compiles one of the C programs beside this file, once per source. */
export function compiled(name: 'receivers' | 'write-loop'): string {
  const source = join(import.meta.dirname, `${name}.c`);
  const key = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 12);
  const path = join(CACHE, `${name}-${key}`);
  if (existsSync(path)) return path;
  mkdirSync(CACHE, { recursive: true });
  execFileSync('cc', ['-O2', '-Wall', '-o', `${path}.draft`, source, '-lm'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  renameSync(`${path}.draft`, path);
  return path;
}

const canPin = availableParallelism() >= 2 && spawnSync('taskset', ['--version']).status === 0;

/** A command line that keeps server and receivers from sharing a core, where the machine has two. */
export function pinned(core: 0 | 1, command: readonly string[]): readonly string[] {
  return canPin ? ['taskset', '-c', String(core), ...command] : command;
}
