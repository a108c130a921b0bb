import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { sharedDataFolder } from './data-folder.ts';

const ROOT = resolve(import.meta.dirname, '../..');

type Line = Readonly<Record<string, unknown>>;
export type Exit = Readonly<{ code: number | null; signal: NodeJS.Signals | null; ms: number }>;

/** `node src/main.ts` as people run it, with an environment of its own. Two that run at once need a DATABASE_URL or DATA_DIR each. */
export interface ServerProcess {
  readonly pid: number;
  /** Everything written so far. */
  text(): string;
  /** Resolves with the first log line of this event; rejects when the process ends without it. */
  event(name: string, limitMs?: number): Promise<Line>;
  readonly exited: Promise<Exit>;
  kill(signal: NodeJS.Signals): void;
}

export function startServerProcess(
  env: Readonly<Record<string, string>>,
  words: readonly string[] = [],
): ServerProcess {
  const startedMs = performance.now();
  const { PATH = '', HOME = '' } = process.env;
  const child: ChildProcess = spawn(process.execPath, [resolve(ROOT, 'src/main.ts'), ...words], {
    // Not the repository: a developer's own .env must not decide what a test sees.
    cwd: resolve(ROOT, 'src/testing'),
    env: { PATH, HOME, HOST: '127.0.0.1', PORT: '0', OPS_PORT: '0', DATA_DIR: sharedDataFolder(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  const waiting = new Set<() => void>();
  const take = (chunk: Buffer): void => {
    text += chunk.toString();
    for (const look of waiting) look();
  };
  child.stdout!.on('data', take);
  child.stderr!.on('data', take);
  const exited = new Promise<Exit>((done) => {
    child.once('close', (code, signal) => {
      done({ code, signal, ms: performance.now() - startedMs });
      for (const look of waiting) look();
    });
  });
  return {
    pid: child.pid!,
    text: () => text,
    event: (name, limitMs = 60_000) =>
      new Promise((done, fail) => {
        const end = (settle: () => void): void => {
          clearTimeout(timer);
          waiting.delete(look);
          settle();
        };
        const look = (): void => {
          const line = findEvent(text, name);
          if (line !== undefined) end(() => done(line));
          else if (child.exitCode !== null)
            end(() => fail(new Error(`ended before "${name}":\n${text.slice(-4_000)}`)));
        };
        const timer = setTimeout(() => {
          end(() => fail(new Error(`no "${name}" in ${limitMs} ms:\n${text.slice(-4_000)}`)));
        }, limitMs);
        waiting.add(look);
        look();
      }),
    exited,
    kill: (signal) => void child.kill(signal),
  };
}

function findEvent(text: string, name: string): Line | undefined {
  for (const line of text.split('\n')) {
    if (!line.startsWith('{') || !line.endsWith('}') || !line.includes(`"event":"${name}"`)) continue;
    return JSON.parse(line) as Line;
  }
  return undefined;
}
