import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidewire-client-'));
  await run(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.client.json', '--outDir', join(folder, 'dist')], {
    cwd: root,
  });
}, 60_000);
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Every module that is loaded at run time with `file`, by import specifier. */
async function loaded(file: string, seen = new Map<string, string[]>()): Promise<Map<string, string[]>> {
  if (seen.has(file)) return seen;
  const text = await readFile(file, 'utf8');
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1]!);
  seen.set(file, specifiers);
  for (const specifier of specifiers)
    if (specifier.startsWith('.')) await loaded(resolve(dirname(file), specifier), seen);
  return seen;
}

test("what package.json promises as './client' is what the build writes", async () => {
  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  for (const path of [exports['./client'].types, exports['./client'].default]) {
    await expect(readFile(join(folder, path), 'utf8')).resolves.toContain('createClient');
  }
});

test('a browser can load the client: no package and no Node built-in comes with it', async () => {
  const modules = await loaded(join(folder, 'dist/client/index.js'));
  expect(modules.size).toBeGreaterThan(15);
  expect([...modules.values()].flat().filter((specifier) => !specifier.startsWith('.'))).toEqual([]);
});

test('plain Node loads the built client where nothing else is installed', async () => {
  const script = `import('${join(folder, 'dist/client/index.js')}').then((client) => console.log(Object.keys(client).sort().join()))`;
  const { stdout } = await run(process.execPath, ['-e', script], { cwd: folder });
  expect(stdout.trim()).toBe('ClientError,createClient,plainTransport,socketIoTransport');
});
