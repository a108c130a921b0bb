import type { Log } from '../platform/log.ts';

/** What has been started, to be stopped in reverse. One part that fails to stop does not keep the others running. */
export class StopStack {
  readonly #log: Log;
  readonly #parts: { name: string; stop: () => Promise<void> | void }[] = [];
  #stopping: Promise<void> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  push(name: string, stop: () => Promise<void> | void): void {
    this.#parts.push({ name, stop });
  }

  /** May be called twice; both calls wait for the one stop. */
  stopAll(): Promise<void> {
    this.#stopping ??= this.#stopInReverse();
    return this.#stopping;
  }

  async #stopInReverse(): Promise<void> {
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      try {
        await part.stop();
        this.#log.debug({ event: 'part_stopped', part: part.name });
      } catch (error) {
        this.#log.error({ event: 'part_stop_failed', part: part.name, err: error });
      }
    }
  }
}
