import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

test.runIf(compiler)('several processes that build it at once all get it, and the next finds it ready', async () => {
  const cache = folder();
  const all = await Promise.all([1, 2, 3].map(() => loadNativeWriter(log, { cache })));
  expect(all.every((writer) => writer !== null)).toBe(true);
  expect(await loadNativeWriter(log, { cache })).not.toBeNull();
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
