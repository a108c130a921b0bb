import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { existingK6 } from '../../load-tests/lib/k6-path.ts';
import { startServer } from '../../load-tests/lib/server-process.ts';
import type { ServerProcess } from '../../load-tests/lib/server-process.ts';

const FOLDER = resolve(import.meta.dirname, '../../load-tests');
const k6 = existingK6(process.env);
let server: ServerProcess;

beforeAll(async () => {
  server = await startServer();
}, 120_000);
afterAll(() => server?.stop());

type Short = Readonly<{ scenario: string; shape: string; env: Readonly<Record<string, string>> }>;
const SHORT: readonly Short[] = [
  { scenario: 'market-fanout', shape: 'ramp', env: { VUS: '20', DURATION: '5' } },
  { scenario: 'market-fanout', shape: 'spike', env: { VUS: '40', DURATION: '5' } },
  { scenario: 'market-fanout', shape: 'soak', env: { VUS: '10', DURATION: '8' } },
  { scenario: 'reconnect', shape: 'scattered', env: { VUS: '10', DURATION: '6', CYCLES: '2', PAUSE_MAX_MS: '500' } },
  { scenario: 'reconnect', shape: 'storm', env: { VUS: '50', DURATION: '6', CYCLES: '2' } },
];

function run(command: string, words: readonly string[], env: Readonly<Record<string, string>>) {
  const child = spawn(command, words, {
    env: { ...process.env, BASE_URL: server.baseUrl, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return new Promise<{ code: number | null; text: string }>((done) => {
    child.once('close', (code) => done({ code, text }));
  });
}

// Times belong to the machine; that nothing is lost or refused must hold on any.
describe('short versions of the load scenarios: nothing is lost, refused or closed', () => {
  it.each(SHORT)('$scenario, $shape', async ({ scenario, shape, env }) => {
    const words = [resolve(FOLDER, 'run-node.ts'), scenario];
    const { code, text } = await run(process.execPath, words, { ...env, SHAPE: shape, JUDGE: 'correctness' });
    expect(code, text).toBe(0);
    expect(text).toContain('ok   seq_gaps');
  });

  it.skipIf(k6 === null).each(SHORT)(
    '$scenario, $shape, with k6 (skipped without one)',
    async ({ scenario, shape, env }) => {
      const words = ['run', '--quiet', '--include-system-env-vars', resolve(FOLDER, `${scenario}.ts`)];
      const { text } = await run(k6!, words, { ...env, SHAPE: shape });
      // Its own verdict is one on times as well: what did not come back in time fails there.
      const counts = [...text.matchAll(/(seq_gaps|refused_streams|malformed_frames)\.*: (\d+)/g)];
      expect(counts.map(([, name, count]) => `${name} ${count}`).toSorted(), text).toEqual([
        'malformed_frames 0',
        'refused_streams 0',
        'seq_gaps 0',
      ]);
    },
  );
});
