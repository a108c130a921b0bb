import { Worker } from 'node:worker_threads';
import type { Log } from '../platform/log.ts';
import type { SandboxVenue } from './tape.ts';

export type SandboxConfig = Readonly<{
  marketData: 'recording' | 'simulation';
  /** A folder in the recording format; required for `recording`. */
  replayDir: string | null;
  /** 1: recorded pace, N: N times faster, 0: as fast as clients take it. */
  speed: number;
  loop: boolean;
  seed: number;
  /** Null: every venue of the recording, or every simulated one. */
  venues: readonly string[] | null;
  /** Fault script, see `fault-script.ts`. */
  faults: string | null;
  host?: string;
}>;

export type LaunchedSandbox = Readonly<{ url: string; venues: readonly SandboxVenue[]; stop(): Promise<void> }>;

/** What the thread tells: that it serves, that it cannot, or a line for the log. */
export type ThreadNote =
  | Readonly<{ type: 'ready'; url: string; venues: readonly SandboxVenue[] }>
  | Readonly<{ type: 'failed'; message: string }>
  | Readonly<{ type: 'log'; level: 'info' | 'warn' | 'error'; fields: Record<string, unknown> }>;

const STOP_LIMIT_MS = 5_000;

/**
 * Runs the sandbox exchange in a thread of its own, so that playing a tape costs the gateway's event loop nothing.
 * Rejects with a reason a user can act on. `onLost` is called when the thread ends by itself later.
 */
export async function launchSandbox(
  options: SandboxConfig & { log: Log; onLost?: (error: Error) => void },
): Promise<LaunchedSandbox> {
  const { log, onLost, ...config } = options;
  const thread = new Worker(new URL('./thread.ts', import.meta.url), { workerData: { config, level: log.level } });
  let stopping = false;
  const gone = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
  const ready = await new Promise<Extract<ThreadNote, { type: 'ready' }>>((resolve, reject) => {
    thread.on('message', (note: ThreadNote) => {
      if (note.type === 'log') log[note.level](note.fields);
      else if (note.type === 'ready') resolve(note);
      else reject(new Error(note.message));
    });
    thread.once('error', reject);
    thread.once('exit', (code) => reject(new Error(`the sandbox exchange ended with code ${code}`)));
  });
  const lose = (error: Error): void => {
    if (!stopping) (onLost ?? ((lost) => log.error({ event: 'sandbox_lost', err: lost })))(error);
  };
  thread.on('error', lose);
  thread.once('exit', (code) => lose(new Error(`the sandbox exchange ended with code ${code}`)));
  return {
    url: ready.url,
    venues: ready.venues,
    async stop() {
      stopping = true;
      thread.postMessage('stop');
      const timer = setTimeout(() => void thread.terminate(), STOP_LIMIT_MS);
      await gone;
      clearTimeout(timer);
    },
  };
}
