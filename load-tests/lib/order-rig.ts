import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Load, PassFigures } from './callers.ts';

export type RigWay = 'bare' | 'layer';
export type RigCensus = Readonly<{ open: number; fills: number }>;
/** The process that has the product's insides: `src/testing/placement-rig.ts`. One command at a time. */
export type OrderRig = Readonly<{
  /** A database of its own for the server under test, in the same Postgres. */
  databaseUrl: string;
  postmasterPid: number;
  /** Version and settings, for the report. */
  postgres: string;
  place(way: RigWay, load: Load): Promise<PassFigures>;
  fill(way: RigWay, load: Load): Promise<PassFigures>;
  /** What the server's database holds. */
  census(): Promise<RigCensus>;
  stop(): Promise<void>;
}>;

export async function startOrderRig(): Promise<OrderRig> {
  const child = spawn(process.execPath, [resolve(import.meta.dirname, '../../src/testing/placement-rig.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async <T>(): Promise<T> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the process with the database ended');
    return JSON.parse(value) as T;
  };
  const ask = <T>(command: object): Promise<T> => {
    child.stdin.write(`${JSON.stringify(command)}\n`);
    return answer<T>();
  };
  const about = await answer<{ databaseUrl: string; postmasterPid: number; postgres: string }>();
  return {
    ...about,
    place: (way, load) => ask({ op: 'place', way, load }),
    fill: (way, load) => ask({ op: 'fill', way, load }),
    census: () => ask({ op: 'census' }),
    async stop() {
      child.stdin.end();
      await exited;
    },
  };
}
