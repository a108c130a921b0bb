import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';

const TEXT_KEPT_CHARS = 8_000;
const ERRORS_KEPT = 40;
const READY_LIMIT_MS = 90_000;
const RESTART_PAUSE_MS = 100;
const POLL_MS = 20;

/** `main`: `node src/main.ts` with the sandbox exchange. `walk`: the same gateway and worker over a scripted market. */
export type ServerKind = 'main' | 'walk';
const FILES: Readonly<Record<ServerKind, string>> = {
  main: resolve(import.meta.dirname, '../../main.ts'),
  walk: resolve(import.meta.dirname, 'server.ts'),
};

/** A server process that is started again whenever it ends, on the same port and data, as a service manager does. */
export type KeptServer = Readonly<{
  url: string;
  /** SIGKILL; resolves when it is gone, and starts the next one. `between`: before that. */
  kill(between?: () => Promise<void>): Promise<void>;
  /** Ended by itself, such as a start that found no database. */
  ownEnds(): number;
  /** What it wrote last. */
  text(): string;
  /** What it logged as an error, over all its lives; the last of them. */
  errors(): readonly string[];
  ready(): Promise<void>;
  stop(): Promise<void>;
}>;

export async function keepServer(kind: ServerKind, env: Readonly<Record<string, string>>): Promise<KeptServer> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const { PATH = '', HOME = '' } = process.env;
  const errors: string[] = [];
  let [text, ownEnds, stopping, killing] = ['', 0, false, false];
  const start = (): ChildProcess => {
    const child = spawn(process.execPath, [FILES[kind]], {
      cwd: import.meta.dirname,
      env: { PATH, HOME, HOST: '127.0.0.1', PORT: String(port), OPS_PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const take = (chunk: Buffer): void => {
      text = (text + chunk.toString()).slice(-TEXT_KEPT_CHARS);
      const worth = chunk
        .toString()
        .split('\n')
        .filter((line) => /"level":[56]0|^[^{]/.test(line));
      errors.push(...worth);
      errors.splice(0, errors.length - ERRORS_KEPT);
    };
    child.stdout!.on('data', take);
    child.stderr!.on('data', take);
    child.once('exit', () => {
      if (stopping || killing) return;
      ownEnds += 1;
      setTimeout(() => {
        if (!stopping && current === child) current = start();
      }, RESTART_PAUSE_MS);
    });
    return child;
  };
  let current = start();
  const gone = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  };
  return {
    url,
    async kill(between) {
      killing = true;
      await gone(current, 'SIGKILL');
      killing = false;
      await between?.();
      current = start();
    },
    ownEnds: () => ownEnds,
    text: () => text,
    errors: () => errors,
    ready: () => untilServing(url, () => text),
    async stop() {
      stopping = true;
      await gone(current, 'SIGKILL');
    },
  };
}

async function untilServing(url: string, text: () => string): Promise<void> {
  const deadlineMs = performance.now() + READY_LIMIT_MS;
  for (;;) {
    const answer = await fetch(`${url}/v1/venues`).catch(() => null);
    await answer?.arrayBuffer();
    if (answer?.status === 200) return;
    if (performance.now() > deadlineMs) throw new Error(`the server does not come up:\n${text()}`);
    await new Promise((settle) => setTimeout(settle, POLL_MS));
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((settle) => server.listen(0, '127.0.0.1', settle));
  const { port } = server.address() as AddressInfo;
  await new Promise((settle) => server.close(settle));
  return port;
}
