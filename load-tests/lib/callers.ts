import { Histogram } from './histogram.ts';

/** One pass of a benchmark. `failures` are calls that were refused or broke; they count in nothing else. */
export type PassFigures = Readonly<{
  perSecond: number;
  p50: number;
  p99: number;
  failures: number;
  firstFailure: string | null;
  /** Milliseconds of CPU for each call done, by who used them; null where nobody can tell. */
  cpuMs: Readonly<Record<string, number>> | null;
}>;
/** CPU time used so far, by name, in ms. */
export type CpuMeter = () => Readonly<Record<string, number | null>>;
/** Does one thing for one caller; rejects when it was not done. */
export type Work = (caller: number) => Promise<void>;
export type Load = Readonly<{
  callers: number;
  seconds: number;
  /** Calls a second, at fixed times; without it every caller calls again as soon as it is answered. */
  offered?: number;
}>;

/**
 * Callers with one call each under way. At an offered rate, latency counts from the time a call was due: a call that waited
 * for a caller to become free was late as well, and leaving that out would flatter every stall.
 */
export async function runCallers(
  { callers, seconds, offered }: Load,
  work: Work,
  meter: CpuMeter = () => ({}),
): Promise<PassFigures> {
  const latencies = new Histogram();
  const before = meter();
  const beganMs = performance.now();
  const endMs = beganMs + seconds * 1_000;
  let done = 0;
  let failures = 0;
  let firstFailure: string | null = null;
  let taken = 0;
  const nextDueMs = (): number => (offered === undefined ? performance.now() : beganMs + (taken++ * 1_000) / offered);
  const call = async (caller: number): Promise<void> => {
    for (let dueMs = nextDueMs(); dueMs < endMs; dueMs = nextDueMs()) {
      const waitMs = dueMs - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      // A timer rounds up to whole milliseconds and fires late on a busy machine; neither is the server's.
      const startMs = waitMs > 0 ? performance.now() : dueMs;
      try {
        await work(caller);
        latencies.record(performance.now() - startMs);
        done += 1;
      } catch (error) {
        failures += 1;
        firstFailure ??= error instanceof Error ? error.message : String(error);
      }
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
  const perSecond = done / ((performance.now() - beganMs) / 1_000);
  const cpuMs = usedEach(before, meter(), Math.max(1, done));
  return { perSecond, p50: latencies.quantile(0.5), p99: latencies.quantile(0.99), failures, firstFailure, cpuMs };
}

function usedEach(before: ReturnType<CpuMeter>, after: ReturnType<CpuMeter>, calls: number): PassFigures['cpuMs'] {
  const used: Record<string, number> = {};
  for (const [name, end] of Object.entries(after)) {
    const start = before[name];
    if (start === null || start === undefined || end === null) return null;
    used[name] = (end - start) / calls;
  }
  return used;
}

export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
