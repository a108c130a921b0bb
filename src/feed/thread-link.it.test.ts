import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

// A thread may be ended in the middle of its loading, and not every native module bears that: one that aborts ends the whole process.
it('a thread loads no native module', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    join(import.meta.dirname, 'thread-natives-contract.ts'),
  ]);
  expect(JSON.parse(stdout)).toEqual([]);
});
