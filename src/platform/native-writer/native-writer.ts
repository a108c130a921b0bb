import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Log } from '../log.ts';

/**
 * Sends ready bytes on many sockets in one call. Optional: whoever uses it has an ordinary way as well, and takes that for
 * whatever this one leaves.
 */
export interface NativeWriter {
  /**
   * `program` is a row of orders: descriptor, number of frames, and the index of each in `frames`. `results` gets one number per
   * order: how many bytes the kernel has taken (fewer than asked when its buffer is full), or minus the error number. A program
   * that is not valid sends nothing and throws `RangeError`. The caller vouches that each descriptor is open, belongs to the
   * socket it means, and that nothing written earlier is still on its way.
   */
  send(frames: readonly Buffer[], program: Int32Array, length: number, results: Int32Array): number;
}

/** Built once per source, Node version and processor, beside what else is derived from installed packages. */
const CACHE = resolve(import.meta.dirname, '../../../node_modules/.cache/native-writer');
const SOURCE = join(import.meta.dirname, 'native-writer.c');
const COMPILERS = ['cc', 'gcc', 'clang'] as const;
const FLAGS = ['-O2', '-fPIC', '-shared', '-fvisibility=hidden'];
/** A compiler that takes longer hangs. */
const BUILD_LIMIT_MS = 20_000;
const SELF_TEST_DESCRIPTOR = 0x7fffffff;

/**
 * Finds the writer or builds it where a C compiler exists. Null, and a line in the log, where it cannot be had: on other systems
 * than Linux, without a compiler, or where what was built does not load.
 */
export async function loadNativeWriter(log: Log, options: { cache?: string } = {}): Promise<NativeWriter | null> {
  if (process.platform !== 'linux') return null;
  try {
    const path = await builtWriter(options.cache ?? CACHE);
    if (path === null) {
      log.info({ event: 'native_writer_absent', reason: 'no C compiler' });
      return null;
    }
    return open(path);
  } catch (error) {
    log.warn({ event: 'native_writer_absent', reason: 'it cannot be built or loaded', err: error });
    return null;
  }
}

async function builtWriter(cache: string): Promise<string | null> {
  const source = await readFile(SOURCE);
  const key = createHash('sha256')
    .update(source)
    .update([process.versions.modules, process.arch, ...FLAGS].join(' '))
    .digest('hex')
    .slice(0, 16);
  const path = join(cache, `${key}.node`);
  if (await exists(path)) return path;
  await mkdir(cache, { recursive: true });
  // In a folder of its own and moved when it is whole: several processes may start at once.
  const folder = await mkdtemp(join(cache, 'build-'));
  try {
    const draft = join(folder, 'writer.node');
    if (!(await compile(draft))) return null;
    await rename(draft, path);
    return path;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function compile(output: string): Promise<boolean> {
  for (const compiler of COMPILERS) {
    try {
      await promisify(execFile)(compiler, [...FLAGS, '-o', output, SOURCE], { timeout: BUILD_LIMIT_MS });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return false;
}

function open(path: string): NativeWriter {
  const module = { exports: {} as NativeWriter };
  process.dlopen(module, path);
  const writer = module.exports;
  const results = new Int32Array(1);
  const orders = writer.send([Buffer.from('x')], Int32Array.of(SELF_TEST_DESCRIPTOR, 1, 0), 3, results);
  if (orders !== 1 || results[0]! >= 0) throw new Error('the native writer does not pass its self-test');
  return writer;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
