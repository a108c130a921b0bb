import { execFile, execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { createLog } from '../log.ts';
import { loadNativeWriter } from './native-writer.ts';

const log = createLog({ level: 'silent' });
const compiler = process.platform === 'linux' && spawnSync('cc', ['--version']).status === 0;
const FUZZ = join(import.meta.dirname, 'native-writer-fuzz.c');
const BLOCKING_BYTES = 8_000_000;

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A pair of connected sockets: ours as a server has it, theirs as its peer does. */
async function pair(): Promise<{ ours: Socket; theirs: Socket; fd: number }> {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const theirs = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const ours = await new Promise<Socket>((resolve) => server.once('connection', resolve));
  ours.on('error', () => undefined);
  ends.push(() => {
    ours.destroy();
    theirs.destroy();
    server.close();
  });
  return { ours, theirs, fd: (ours as unknown as { _handle: { fd: number } })._handle.fd };
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'native-writer-'));
  ends.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const LOADING = `
  const { loadNativeWriter } = await import(process.argv[3] + '/native-writer.ts');
  const log = { info: (line) => console.log(line.event), warn: (line) => console.log(line.event, line.err?.message) };
  const writer = await loadNativeWriter(log, { cache: process.argv[1], buildLimitMs: Number(process.argv[2]) });
  console.log(writer === null ? 'none' : 'loaded');
`;

/** What a process of its own says that starts with this cache: what goes wrong here ends processes. */
async function start(
  cache: string,
  env: Record<string, string> = {},
  { buildLimitMs = 20_000, program = import.meta.dirname } = {},
): Promise<string[]> {
  const args = ['--input-type=module', '-e', LOADING, cache, String(buildLimitMs), program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } });
  return stdout.trim().split('\n');
}

function built(cache: string): string[] {
  return readdirSync(cache).filter((name) => name.endsWith('.node'));
}

/** A folder with a `cc` that does what the script says. */
function compilerThat(script: string): string {
  const path = folder();
  writeFileSync(join(path, 'cc'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
}

test.runIf(compiler)('several processes that build it at once all get it, and the next finds it ready', async () => {
  const cache = folder();
  expect(await Promise.all([start(cache), start(cache), start(cache)])).toEqual([['loaded'], ['loaded'], ['loaded']]);
  // A compiler would be asked in vain.
  expect(await start(cache, { PATH: folder() })).toEqual(['loaded']);
  expect(readdirSync(cache)).toEqual(built(cache));
});

test.runIf(compiler)('what a crash left of it does not end the next process, which builds it anew', async () => {
  const cache = folder();
  await start(cache);
  const [name] = built(cache) as [string];
  const path = join(cache, name);
  const whole = readFileSync(path);
  const damages: (() => void)[] = [
    () => truncateSync(path, 0),
    () => truncateSync(path, 1_000),
    () => truncateSync(path, 9_000),
    // As after a loss of power: the length is there, the content is not.
    () => writeFileSync(path, whole.fill(0, 4_096, 8_192)),
    () => writeFileSync(path, 'not a library'),
  ];
  for (const damage of damages) {
    damage();
    expect(await start(cache)).toEqual(['native_writer_rebuilt ' + `${name} is not what was built`, 'loaded']);
    expect(await start(cache)).toEqual(['loaded']);
  }
});

test.runIf(compiler)('one that was built whole and does not load here is built anew', async () => {
  const cache = folder();
  await start(cache);
  const [key] = built(cache)[0]!.split('-');
  rmSync(cache, { recursive: true });
  // What a compiler made that is not for this system.
  expect((await start(cache, { PATH: `${compilerThat(COPY)}:${process.env.PATH}` })).at(-1)).toBe('none');
  expect(built(cache)[0]!.startsWith(`${key}-`)).toBe(true);
  const [rebuilt, end] = await start(cache);
  expect(rebuilt).toContain('native_writer_rebuilt');
  expect(end).toBe('loaded');
});
const COPY = 'for last; do :; done; while [ "$1" != -o ]; do shift; done; /bin/cp "$last" "$2"';

test.runIf(compiler)('a file or folder that others can write is not loaded', async () => {
  const cache = folder();
  await start(cache);
  const path = join(cache, built(cache)[0]!);
  chmodSync(path, 0o777);
  expect(await start(cache)).toEqual([`native_writer_rebuilt ${path} can be written by others`, 'loaded']);
  expect(statSync(path).mode & 0o022).toBe(0);
  chmodSync(cache, 0o777);
  expect(await start(cache)).toEqual([`native_writer_absent ${cache} can be written by others`, 'none']);
});

test.runIf(compiler && process.getuid!() === 0)(
  'whoever owns the program is believed: its installer builds, its user runs',
  async () => {
    const cache = folder();
    const program = folder();
    for (const file of ['native-writer.ts', 'native-writer.c']) {
      copyFileSync(join(import.meta.dirname, file), join(program, file));
      chownSync(join(program, file), 65_534, 65_534);
    }
    await start(cache, {}, { program });
    for (const path of [cache, join(cache, built(cache)[0]!)]) chownSync(path, 65_534, 65_534);
    expect(await start(cache, { PATH: folder() }, { program })).toEqual(['loaded']);
  },
);

test.runIf(compiler && process.getuid!() === 0)('what another user has put there is not loaded', async () => {
  const cache = folder();
  await start(cache);
  const path = join(cache, built(cache)[0]!);
  chownSync(path, 65_534, 65_534);
  expect(await start(cache)).toEqual([`native_writer_rebuilt ${path} can be written by others`, 'loaded']);
  expect(statSync(path).uid).toBe(0);
  chownSync(cache, 65_534, 65_534);
  expect(await start(cache)).toEqual([`native_writer_absent ${cache} can be written by others`, 'none']);
});

test.runIf(compiler)(
  'where nothing can be kept, or the compiler is broken or hangs, the server runs without',
  async () => {
    const file = join(folder(), 'file');
    writeFileSync(file, '');
    expect((await start(join(file, 'cache'))).at(-1)).toBe('none');
    for (const script of ['exit 0', 'echo broken >&2; exit 1', COPY, '/bin/sleep 10', 'exec /bin/sleep 10']) {
      const lines = await start(folder(), { PATH: `${compilerThat(script)}:/nowhere` }, { buildLimitMs: 1_000 });
      expect(lines[0], script).toContain('native_writer_absent');
      expect(lines.at(-1)).toBe('none');
    }
  },
);

test.runIf(compiler)('where one compiler is broken the next is asked', async () => {
  const path = `${compilerThat('exit 1')}:${process.env.PATH}`;
  if (spawnSync('gcc', ['--version']).status === 0) expect(await start(folder(), { PATH: path })).toEqual(['loaded']);
});

test.runIf(compiler)('what processes left that were killed while they built goes away', async () => {
  const cache = folder();
  mkdirSync(join(cache, 'build-old'));
  writeFileSync(join(cache, 'build-old', 'writer.node'), 'half');
  utimesSync(join(cache, 'build-old'), 1, 1);
  mkdirSync(join(cache, 'build-now'));
  expect(await start(cache)).toEqual(['loaded']);
  expect([existsSync(join(cache, 'build-old')), existsSync(join(cache, 'build-now'))]).toEqual([false, true]);
});

test.runIf(compiler)('each socket gets its own frames, whole and in order', async () => {
  const writer = (await loadNativeWriter(log))!;
  const [first, second] = [await pair(), await pair()];
  const came = new Map<Socket, string>();
  for (const { theirs } of [first, second]) {
    came.set(theirs, '');
    theirs.on('data', (chunk: Buffer) => came.set(theirs, came.get(theirs)! + chunk.toString()));
  }
  const results = new Int32Array(2);
  const frames = ['a', 'bb', 'ccc'].map((text) => Buffer.from(text));
  const program = Int32Array.of(first.fd, 3, 2, 0, 1, second.fd, 1, 1);
  expect(writer.send(frames, program, program.length, results)).toBe(2);
  expect([...results]).toEqual([6, 2]);
  await expect.poll(() => [...came.values()]).toEqual(['cccabb', 'bb']);
});

test.runIf(compiler)('a socket that is full, broken or closed is reported and holds nobody up', async () => {
  const writer = (await loadNativeWriter(log))!;
  const [full, healthy] = [await pair(), await pair()];
  full.theirs.pause();
  const results = new Int32Array(3);
  const frames = [Buffer.alloc(BLOCKING_BYTES), Buffer.from('x')];
  const closedFd = 0x7ffffff0;
  const program = Int32Array.of(full.fd, 1, 0, closedFd, 1, 1, healthy.fd, 1, 1);
  writer.send(frames, program, program.length, results);
  expect(results[0]).toBeGreaterThan(0);
  expect(results[0]).toBeLessThan(BLOCKING_BYTES);
  expect(results[1]).toBeLessThan(0);
  expect(results[2]).toBe(1);
  writer.send(frames, program, program.length, results);
  // EAGAIN.
  expect(results[0]).toBe(-11);
});

test.runIf(compiler)('a program that is not valid sends nothing and says so', async () => {
  const writer = (await loadNativeWriter(log))!;
  const { fd, theirs } = await pair();
  let came = 0;
  theirs.on('data', (chunk: Buffer) => (came += chunk.length));
  const frames = [Buffer.from('x')];
  const results = new Int32Array(1);
  for (const program of [
    [fd, 1, 1],
    [fd, 1, -1],
    [fd, 0, 0],
    [fd, 2, 0],
    [-1, 1, 0],
    [fd, 1],
    [fd, 1, 0, fd, 1, 0],
  ]) {
    expect(() => writer.send(frames, Int32Array.from(program), program.length, results), program.join()).toThrow(
      RangeError,
    );
  }
  expect(() => writer.send(frames, Int32Array.of(fd, 1, 0), 4, results)).toThrow(RangeError);
  expect(() => writer.send(['x' as never], Int32Array.of(fd, 1, 0), 3, results)).toThrow(RangeError);
  expect(() => writer.send(frames, new Float64Array([fd, 1, 0]) as never, 3, results)).toThrow(RangeError);
  writer.send(frames, Int32Array.of(fd, 1, 0), 3, results);
  await expect.poll(() => came).toBe(1);
});

test('where there is no compiler the server runs without', async () => {
  const path = process.env.PATH;
  process.env.PATH = folder();
  try {
    expect(await loadNativeWriter(log, { cache: folder() })).toBeNull();
  } finally {
    process.env.PATH = path;
  }
});

test.runIf(compiler)('no program, valid or not, reads or writes beyond its arrays or reports what is not so', () => {
  const program = join(folder(), 'fuzz');
  const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  execFileSync('cc', ['-g', '-O1', ...sanitizers, '-o', program, FUZZ]);
  for (const seed of ['1', '2', '3']) {
    expect(execFileSync(program, [seed, '5000']).toString()).toBe('5000 rounds\n');
  }
});
