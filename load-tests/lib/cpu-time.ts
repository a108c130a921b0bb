import { readFileSync, readdirSync } from 'node:fs';

/** Ticks a second of the kernel's accounting, the same on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU time that a process's main thread has used, in ms; null where there is no /proc. Workers and helpers are not in it. */
export function mainThreadMs(pid: number): number | null {
  return usedMs(`/proc/${pid}/task/${pid}/stat`)?.usedMs ?? null;
}

/** CPU time of the children that `pid` has now, in ms: of a Postgres all its sessions and background workers. */
export function childrenMs(pid: number): number | null {
  try {
    let sum = 0;
    for (const name of readdirSync('/proc')) {
      const found = /^\d+$/.test(name) ? usedMs(`/proc/${name}/stat`) : null;
      if (found?.parent === pid) sum += found.usedMs;
    }
    return sum;
  } catch {
    // Not Linux: the benchmark then tells rates only.
    return null;
  }
}

function usedMs(file: string): { parent: number; usedMs: number } | null {
  try {
    const text = readFileSync(file, 'latin1');
    // The second field is the program's name in brackets, which may hold anything.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return {
      parent: Number(fields[1]),
      usedMs: ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND,
    };
  } catch {
    // It ended between the listing and the look.
    return null;
  }
}
