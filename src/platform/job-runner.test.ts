import { describe, expect, it } from 'vitest';
import { createLog } from './log.ts';
import { startJobs } from './job-runner.ts';
import type { Job } from './job-runner.ts';
import { createMetrics } from './metrics.ts';

const clock = { now: () => Date.now(), monotonic: () => performance.now() };

function start(...jobs: Job<null>[]) {
  const metrics = createMetrics({ processMetrics: false });
  const runner = startJobs({ jobs, deps: null, clock, random: () => 0, log: createLog({ level: 'silent' }), metrics });
  return { runner, metrics };
}

function job(run: Job<null>['run'], changes: Partial<Job<null>> = {}): Job<null> {
  return { name: 'sweep', intervalMs: 1, timeoutMs: 1_000, batch: 10, run, ...changes };
}

describe('the job runner', () => {
  it('runs a job again and again, never twice at once', async () => {
    let under = 0;
    let most = 0;
    let runs = 0;
    const { runner } = start(
      job(async () => {
        most = Math.max(most, ++under);
        await new Promise((resolve) => setTimeout(resolve, 2));
        under--;
        runs++;
        return 0;
      }),
    );
    await expect.poll(() => runs).toBeGreaterThan(3);
    await runner.stop();
    expect(most).toBe(1);
  });

  it('follows a full batch with the next at once, so that a backlog does not wait for the interval', async () => {
    let left = 55;
    const { runner } = start(
      job(
        async (_deps, batch) => {
          const done = Math.min(left, batch);
          left -= done;
          return done;
        },
        { intervalMs: 3_600_000 },
      ),
    );
    await expect.poll(() => left).toBe(0);
    await runner.stop();
  });

  it('survives a run that fails, and counts it', async () => {
    let runs = 0;
    const { runner, metrics } = start(
      job(async () => {
        if (runs++ === 0) throw new Error('the database is away');
        return 0;
      }),
    );
    await expect.poll(() => runs).toBeGreaterThan(2);
    await runner.stop();
    expect(await metrics.render()).toMatch(/job_runs_total\{[^}]*job="sweep",outcome="failed"[^}]*\} 1\n/);
  });

  it('stops at once while waiting, and after the run while running', async () => {
    let ended = false;
    let began = false;
    const idle = start(job(async () => 0, { intervalMs: 3_600_000 }));
    const busy = start(
      job(async () => {
        began = true;
        await new Promise((resolve) => setTimeout(resolve, 20));
        ended = true;
        return 0;
      }),
    );
    await expect.poll(() => began).toBe(true);
    await Promise.all([idle.runner.stop(), busy.runner.stop()]);
    expect(ended).toBe(true);
  });
});
