import { Worker } from 'node:worker_threads';
import type { Log } from '../platform/log.ts';
import type { SandboxVenue, TapeSource } from './tape.ts';

/** Enough for the books of ten recorded symbols several times over; past it the thread ends instead of the machine. */
const HEAP_LIMIT_MB = 1024;
/** A thread that has been asked to stop and has not within this time is ended. */
const STOP_LIMIT_MS = 2000;

/** Plain data: it crosses to another thread. */
export type SandboxConfig = Readonly<{
  marketData: 'recording' | 'simulation';
  /** Folder of recordings; needed for `recording`. */
  replayDir: string | null;
  /** 1: recorded pace, N: N times faster, 0: as fast as possible. */
  speed: number;
  loop: boolean;
  /** Of the simulation and of the faults. */
  seed: number;
  /** Null: the venues of the recording, or the four that the product starts with. */
  venues: readonly string[] | null;
  /** See `fault-script.ts`. */
  faults: string | null;
  /** Loopback unless told otherwise. */
  host?: string;
  port?: number;
}>;
export type LaunchedSandbox = Readonly<{
  url: string;
  venues: readonly SandboxVenue[];
  origins: Readonly<Partial<Record<SandboxVenue, TapeSource['origin']>>>;
  stop(): Promise<void>;
}>;

export type ToSandboxThread = Readonly<{ type: 'stop' }>;
export type FromSandboxThread = Readonly<
  | ({ type: 'ready' } & Omit<LaunchedSandbox, 'stop'>)
  | { type: 'failed'; message: string }
  | { type: 'log'; line: string }
>;
export type SandboxThreadData = SandboxConfig & Readonly<{ logLevel: string }>;

/**
 * Runs the sandbox exchange in a thread of its own, so that it takes no time from the loop that serves clients. Rejects with a
 * message for the person who configured it: an unusable folder, a bad fault rule, a taken port. `onLost` hears of a thread that
 * ends by itself later; without it the log does.
 */
export async function launchSandbox(
  config: SandboxConfig & { log: Log; onLost?: (error: Error) => void },
): Promise<LaunchedSandbox> {
  const { log, onLost, ...plain } = config;
  const workerData: SandboxThreadData = { ...plain, logLevel: log.level };
  const worker = new Worker(new URL('./launch-worker.ts', import.meta.url), {
    workerData,
    name: 'sandbox',
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MB },
  });
  let stopping = false;
  let serving = false;
  const lose = (error: Error): void => {
    if (!stopping && serving) (onLost ?? ((lost) => log.error({ event: 'sandbox_lost', err: lost })))(error);
    serving = false;
  };
  const ready = await new Promise<Omit<LaunchedSandbox, 'stop'>>((resolve, reject) => {
    worker.on('message', (message: FromSandboxThread) => {
      if (message.type === 'log') relay(log, message.line);
      else if (message.type === 'failed') reject(new Error(message.message));
      else resolve({ url: message.url, venues: message.venues, origins: message.origins });
    });
    worker.on('error', (error: Error) => {
      lose(error);
      reject(error);
    });
    worker.on('exit', (code) => {
      const error = new Error(`the sandbox exchange ended with code ${code}`);
      lose(error);
      reject(error);
    });
  }).catch(async (error: unknown) => {
    stopping = true;
    await worker.terminate();
    throw error;
  });
  serving = true;
  const stop = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    worker.postMessage({ type: 'stop' } satisfies ToSandboxThread);
    const timer = setTimeout(() => void worker.terminate(), STOP_LIMIT_MS);
    await gone;
    clearTimeout(timer);
  };
  return { ...ready, stop };
}

const LEVELS = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' } as const;

/** One log for the process: what the thread says comes out here, with the time at which it is heard. */
function relay(log: Log, line: string): void {
  const { level, time: _time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const name = LEVELS[level as keyof typeof LEVELS] ?? 'info';
  log[name](fields, ...(typeof msg === 'string' ? [msg] : []));
}
