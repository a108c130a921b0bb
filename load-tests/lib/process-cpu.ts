import { readFileSync, readdirSync } from 'node:fs';

/** Ticks a second of the kernel's accounting, the same on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** What a process of a server is there for: the roles that its starter gave it, or the program's name when it is none of ours. */
type Process = Readonly<{ pid: number; parent: number; part: string; usedMs: number }>;
/** CPU time in ms by part. */
export type CpuByPart = Readonly<Record<string, number>>;

/**
 * User and system time of a process and everything it has started, all threads included, by part. Linux only. It is what the
 * work took, however long it had to wait for a processor: a busy neighbour makes it slower, and hardly dearer.
 */
export function groupCpu(rootPid: number): CpuByPart {
  const byParent = new Map<number, Process[]>();
  let root: Process | undefined;
  for (const name of readdirSync('/proc')) {
    const found = /^\d+$/.test(name) ? readProcess(Number(name)) : null;
    if (found === null) continue;
    if (found.pid === rootPid) root = found;
    byParent.set(found.parent, [...(byParent.get(found.parent) ?? []), found]);
  }
  if (root === undefined) throw new Error(`process ${rootPid} is gone`);
  const used: Record<string, number> = {};
  for (const group = [root]; group.length > 0;) {
    const { pid, part, usedMs } = group.pop()!;
    used[part] = (used[part] ?? 0) + usedMs;
    group.push(...(byParent.get(pid) ?? []));
  }
  return used;
}

/** Null: it ended between the listing and the look. */
function readProcess(pid: number): Process | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the program's name in brackets, which may hold anything.
    const nameEnd = text.lastIndexOf(')');
    const fields = text.slice(nameEnd + 2).split(' ');
    const program = text.slice(text.indexOf('(') + 1, nameEnd);
    const usedMs = ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND;
    return { pid, parent: Number(fields[1]), part: rolesOf(pid) ?? program, usedMs };
  } catch {
    return null;
  }
}

function rolesOf(pid: number): string | null {
  const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
  const program = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  if (!program.includes('src/main.ts')) return null;
  return environment.find((entry) => entry.startsWith('ROLES='))?.slice('ROLES='.length) ?? 'server';
}
