import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { resolve } from 'node:path';
import { environmentOfChild } from '../config/load.ts';
import { backoffDelayMs } from '../kernel/backoff.ts';
import type { Log } from '../platform/log.ts';

const MAIN = resolve(import.meta.dirname, '../main.ts');
/** A process that cannot live is not started in a busy loop; one that lived is back in a moment. */
const RESTART_BACKOFF = { baseMs: 200, maxMs: 10_000, factor: 2, jitter: 0.2 };
/** Having lived this long, a process starts its count of failures anew. */
const STEADY_MS = 30_000;
const OPS_TIMEOUT_MS = 5_000;
/** Until it is ready, and from then on: a look costs two processes about a millisecond each, and an exit is told by itself. */
const READY_POLL_MS = { waiting: 500, ready: 2_000 } as const;
/** Beyond the child's own limit for stopping, before it is ended by force. */
const KILL_GRACE_MS = 2_000;

export type ServerChildSetup = Readonly<{
  name: string;
  words: readonly string[];
  /** Over this process's own environment. */
  env: Readonly<Record<string, string>>;
  log: Log;
  stopLimitMs: number;
  onRestart: () => void;
}>;

/** One server process of a group: kept alive until `stop`. */
export class ServerChild {
  readonly name: string;
  readonly #setup: ServerChildSetup;
  #process: ChildProcess | undefined;
  #opsUrl: string | undefined;
  #ready = false;
  #stopping = false;
  #failures = 0;
  #startedMs = 0;
  #restartTimer: NodeJS.Timeout | undefined;
  #readyTimer: NodeJS.Timeout | undefined;

  constructor(setup: ServerChildSetup) {
    this.name = setup.name;
    this.#setup = setup;
  }

  /** As of the last look, two seconds ago at most. */
  get ready(): boolean {
    return this.#ready;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  start(): void {
    const { words, env, log, name } = this.#setup;
    this.#startedMs = performance.now();
    const child = spawn(process.execPath, [...process.execArgv, MAIN, ...words], {
      env: environmentOfChild(env),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // Out of the terminal's reach: Ctrl-C is for whoever started the group, and a second signal would end it by force.
      detached: true,
    });
    this.#process = child;
    child.on('message', (message) => this.#onMessage(message));
    child.once('error', (error) => log.error({ event: 'process_not_started', process: name, err: error }));
    child.once('exit', (code, signal) => this.#onExit(code, signal));
    log.info({ event: 'process_started', process: name, childPid: child.pid });
  }

  /** Its metrics as text; empty while it cannot be asked. */
  async metrics(): Promise<string> {
    const answer = await this.#ask('/metrics');
    return answer === null ? '' : answer.text();
  }

  /** In order, and by force when it takes too long. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restartTimer);
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((done) => {
      child.once('exit', () => done());
    });
    child.kill('SIGTERM');
    const force = setTimeout(() => child.kill('SIGKILL'), this.#setup.stopLimitMs + KILL_GRACE_MS);
    await ended;
    clearTimeout(force);
  }

  /** What a server tells whoever started it with a channel. */
  #onMessage(message: unknown): void {
    const { opsUrl } = (message ?? {}) as { opsUrl?: unknown };
    if (typeof opsUrl !== 'string') return;
    this.#opsUrl = opsUrl;
    void this.#watchReadiness();
  }

  async #watchReadiness(): Promise<void> {
    clearTimeout(this.#readyTimer);
    const asked = this.#process;
    const answer = await this.#ask('/ready');
    if (this.#process !== asked || this.#opsUrl === undefined) return;
    this.#ready = answer?.status === 200;
    const pollMs = this.#ready ? READY_POLL_MS.ready : READY_POLL_MS.waiting;
    this.#readyTimer = setTimeout(() => void this.#watchReadiness(), pollMs);
  }

  /** Null: it does not answer. */
  async #ask(path: string): Promise<Response | null> {
    if (this.#opsUrl === undefined) return null;
    try {
      return await fetch(this.#opsUrl + path, { signal: AbortSignal.timeout(OPS_TIMEOUT_MS) });
    } catch {
      // Starting, hung or gone: its readiness says so, and its exit is noticed by itself.
      return null;
    }
  }

  #onExit(code: number | null, signal: NodeJS.Signals | null): void {
    this.#ready = false;
    this.#opsUrl = undefined;
    clearTimeout(this.#readyTimer);
    const { log, name, onRestart } = this.#setup;
    if (this.#stopping) return;
    this.#failures = performance.now() - this.#startedMs >= STEADY_MS ? 0 : this.#failures + 1;
    const afterMs = backoffDelayMs(RESTART_BACKOFF, this.#failures, Math.random);
    log.error({ event: 'process_ended', process: name, code, signal, restartAfterMs: afterMs });
    onRestart();
    this.#restartTimer = setTimeout(() => this.start(), afterMs);
  }
}
