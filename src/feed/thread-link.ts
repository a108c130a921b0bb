import { Worker } from 'node:worker_threads';
import type { FromThread, ThreadSettings, ToThread } from './thread-protocol.ts';

/** Heap of one venue's thread. ccxt takes some 60 MB, a hundred full-depth books 300 MB; past this the thread ends and is replaced. */
const HEAP_LIMIT_MB = 1024;
/**
 * `bufferutil`, which ccxt brings along for `ws`, aborts the whole process when its thread is ended while it loads: within 25 s of
 * ending threads that load `ws`, each of three times. It only masks frames faster, and a feed sends next to none.
 */
const THREAD_ENV = { WS_NO_BUFFER_UTIL: '1' };
/** A thread that has been asked to stop and has not within this time is ended. */
const STOP_MS = 1_000;

/** The main thread's end of one venue's thread. After `end` nothing of it is heard any more. */
export class ThreadLink {
  readonly #worker: Worker;
  #ended = false;

  constructor(
    settings: ThreadSettings,
    listener: Readonly<{ onMessage: (message: FromThread) => void; onEnd: (reason: string) => void }>,
  ) {
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: settings,
      name: `feed-${settings.settings.venue}`,
      // Neither our secrets nor our flags are an exchange library's business.
      env: THREAD_ENV,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MB },
    });
    let reason = 'the thread ended by itself';
    this.#worker.on('message', (message: FromThread) => {
      if (!this.#ended) listener.onMessage(message);
    });
    this.#worker.on('error', (error: Error) => {
      reason = `${error.name}: ${error.message}`.slice(0, 300);
    });
    this.#worker.on('exit', () => {
      if (this.#ended) return;
      this.#ended = true;
      listener.onEnd(reason);
    });
  }

  send(message: ToThread): void {
    if (!this.#ended) this.#worker.postMessage(message);
  }

  /** The last resort against a thread that hangs; also works in the middle of an endless loop. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#worker.terminate();
  }

  /** Lets it close its connections first. */
  async stop(): Promise<void> {
    if (this.#ended) return;
    this.send({ type: 'stop' });
    this.#ended = true;
    const gone = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
    const timer = setTimeout(() => void this.#worker.terminate(), STOP_MS);
    await gone;
    clearTimeout(timer);
  }
}
