import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

/** A child that is spoken to in lines and answers each with a line of JSON. */
export class LineProcess {
  readonly ended: Promise<void>;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: string[] = [];
  readonly #waiting: { take: (line: string) => void; fail: (error: Error) => void }[] = [];

  constructor(command: readonly string[]) {
    this.#child = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const first = this.#waiting.shift();
      if (first === undefined) this.#lines.push(line);
      else first.take(line);
    });
    this.ended = new Promise((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.on('exit', (code) => {
      const error = new Error(`${command.join(' ')} ended with ${code}`);
      for (const { fail } of this.#waiting.splice(0)) fail(error);
    });
    // The exit tells.
    this.#child.stdin.on('error', () => undefined);
  }

  say(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  async answer<T>(): Promise<T> {
    const line = this.#lines.shift() ?? (await new Promise<string>((take, fail) => this.#waiting.push({ take, fail })));
    return JSON.parse(line) as T;
  }

  async ask<T>(line: string): Promise<T> {
    this.say(line);
    return this.answer<T>();
  }

  /** Takes no processor time until `wake`. */
  rest(): void {
    this.#child.kill('SIGSTOP');
  }

  wake(): void {
    this.#child.kill('SIGCONT');
  }

  stop(): void {
    this.wake();
    this.#child.kill('SIGKILL');
  }
}
