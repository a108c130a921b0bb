import { assert } from '../kernel/assert.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Random } from '../kernel/random.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/**
 * Work that comes again and again: one call into a module that looks for what is due. It must be safe to run on several
 * processes at once and to be cut off at any moment; the database decides what is done.
 */
export type Job<D> = Readonly<{
  /** Constant name for logs and metrics, such as `expire-holds`. */
  name: string;
  /** Pause between the end of a run and the start of the next, milliseconds. */
  intervalMs: number;
  /** A run that takes longer is reported; it is not started again before it has ended. */
  timeoutMs: number;
  /** At most this many things in one run; a run that finds as many is followed by the next at once. */
  batch: number;
  /** Answers how many things were done, at most `batch`. */
  run(deps: D, batch: number): Promise<number>;
}>;

export type JobRunner = Readonly<{
  /** Resolves when no run is under way. */
  stop(): Promise<void>;
}>;

export type JobRunnerSetup<D> = Readonly<{
  jobs: readonly Job<D>[];
  deps: D;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
}>;

/** Processes that were started together should not all look at the same moment. */
const JITTER_SHARE = 0.2;
/** After this many full batches in a row there is a pause even so: one job must not take the database for itself. */
const FULL_BATCHES_LIMIT = 20;
const DURATION_BUCKETS_MS = [1, 5, 10, 50, 100, 500, 1_000, 5_000, 30_000];

/** Runs each job for itself, one run at a time, until stopped. A run that fails is logged and tried again at its next time. */
export function startJobs<D>(setup: JobRunnerSetup<D>): JobRunner {
  const names = setup.jobs.map((job) => job.name);
  assert(new Set(names).size === names.length, 'jobs: two have the same name');
  const ending = new AbortController();
  const instruments = {
    runs: setup.metrics.counter('job_runs_total', 'Runs of background jobs', ['job', 'outcome']),
    done: setup.metrics.counter('job_items_total', 'Things that background jobs did', ['job']),
    duration: setup.metrics.histogram('job_duration_ms', 'Time of a run', DURATION_BUCKETS_MS, ['job']),
  };
  const loops = setup.jobs.map((job) => loop(setup, job, instruments, ending.signal));
  return {
    async stop() {
      ending.abort();
      await Promise.all(loops);
    },
  };
}

type Instruments = Readonly<{
  runs: ReturnType<Metrics['counter']>;
  done: ReturnType<Metrics['counter']>;
  duration: ReturnType<Metrics['histogram']>;
}>;

async function loop<D>(setup: JobRunnerSetup<D>, job: Job<D>, instruments: Instruments, signal: AbortSignal) {
  let full = 0;
  await pause(job.intervalMs * setup.random(), signal);
  while (!signal.aborted) {
    const done = await runOnce(setup, job, instruments);
    full = done >= job.batch ? full + 1 : 0;
    if (full > 0 && full < FULL_BATCHES_LIMIT) continue;
    full = 0;
    await pause(job.intervalMs * (1 + JITTER_SHARE * (setup.random() - 0.5)), signal);
  }
}

async function runOnce<D>(setup: JobRunnerSetup<D>, job: Job<D>, instruments: Instruments): Promise<number> {
  const { clock, log } = setup;
  const beganMs = clock.monotonic();
  const late = setTimeout(
    () => log.warn({ event: 'job_late', job: job.name, timeoutMs: job.timeoutMs }),
    job.timeoutMs,
  );
  try {
    const done = await job.run(setup.deps, job.batch);
    instruments.runs.inc({ job: job.name, outcome: 'ok' });
    if (done > 0) instruments.done.inc({ job: job.name }, done);
    return done;
  } catch (error) {
    instruments.runs.inc({ job: job.name, outcome: 'failed' });
    log.error({ event: 'job_failed', job: job.name, err: error });
    return 0;
  } finally {
    clearTimeout(late);
    instruments.duration.observe({ job: job.name }, clock.monotonic() - beganMs);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}
