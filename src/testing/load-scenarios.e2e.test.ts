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

type Short = Readonly<{ title: string; scenario: string; shape?: string; env: Readonly<Record<string, string>> }>;
const SHORT: readonly Short[] = [
  { title: 'market-fanout, ramp', scenario: 'market-fanout', shape: 'ramp', env: { VUS: '20', DURATION: '5' } },
  { title: 'market-fanout, spike', scenario: 'market-fanout', shape: 'spike', env: { VUS: '40', DURATION: '5' } },
  { title: 'market-fanout, soak', scenario: 'market-fanout', shape: 'soak', env: { VUS: '10', DURATION: '8' } },
  {
    title: 'reconnect, scattered',
    scenario: 'reconnect',
    shape: 'scattered',
    env: { VUS: '10', DURATION: '6', CYCLES: '2', PAUSE_MAX_MS: '500' },
  },
  { title: 'reconnect, storm', scenario: 'reconnect', shape: 'storm', env: { VUS: '50', DURATION: '6', CYCLES: '2' } },
  // What makes a client slow, and a server give it up, are seconds of the protocol.
  { title: 'slow-consumers', scenario: 'slow-consumers', env: { VUS: '20', DURATION: '20', SLOW: '4' } },
  {
    title: 'orders-market',
    scenario: 'orders-market',
    env: { VUS: '20', TRADERS: '6', RATE: '30', READY: '5', DURATION: '4' },
  },
];

function run(command: string, words: readonly string[], { shape = '', env }: Short) {
  const child = spawn(command, words, {
    env: {
      ...process.env,
      BASE_URL: server.baseUrl,
      OPS_URL: server.opsUrl,
      SHAPE: shape,
      JUDGE: 'correctness',
      ...env,
    },
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
  it.each(SHORT)('$title', async (short) => {
    const { code, text } = await run(process.execPath, [resolve(FOLDER, 'run-node.ts'), short.scenario], short);
    expect(code, text).toBe(0);
    expect(text).toContain('ok   seq_gaps');
  });

  it.skipIf(k6 === null).each(SHORT)('$title, with k6 (skipped without one)', async (short) => {
    const words = ['run', '--quiet', '--include-system-env-vars', resolve(FOLDER, `${short.scenario}.ts`)];
    const { code, text } = await run(k6!, words, short);
    expect(code, text).toBe(0);
    expect(text).toMatch(/✓ 'count==0' count=0/);
  });
});
