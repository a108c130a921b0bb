import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, mkdtemp, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
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
/** A build folder this old was left by a process that was killed. */
const ABANDONED_MS = 3_600_000;
const BUILD_PREFIX = 'build-';
const SUFFIX = '.node';
const HASH_CHARS = 16;
/** Whoever loads it trusts everybody who can write it. */
const MODE = 0o755;
const WRITABLE_BY_OTHERS = 0o022;
const SELF_TEST_DESCRIPTOR = 0x7fffffff;

export type NativeWriterOptions = Readonly<{ cache?: string; buildLimitMs?: number }>;

/**
 * Finds the writer or builds it where a C compiler exists. Null, and a line in the log, where it cannot be had: on other systems
 * than Linux, without a compiler, where nothing can be kept, or where what was built does not load.
 */
export async function loadNativeWriter(log: Log, options: NativeWriterOptions = {}): Promise<NativeWriter | null> {
  if (process.platform !== 'linux') return null;
  const { cache = CACHE, buildLimitMs = BUILD_LIMIT_MS } = options;
  try {
    const key = await keyOf(SOURCE);
    const known = await knownWriter(cache, key, log);
    if (known !== null) return known;
    const path = await build(cache, key, buildLimitMs);
    if (path !== null) return open(path);
    log.info({ event: 'native_writer_absent', reason: 'no C compiler' });
  } catch (error) {
    log.warn({ event: 'native_writer_absent', reason: 'it cannot be built or loaded', err: error });
  }
  return null;
}

async function keyOf(source: string): Promise<string> {
  return hashOf(await readFile(source), [process.versions.modules, process.arch, ...FLAGS].join(' '));
}

function hashOf(bytes: Buffer, context = ''): string {
  return createHash('sha256').update(bytes).update(context).digest('hex').slice(0, HASH_CHARS);
}

/** What was built before and is still what it was: loading a file that has lost its end would kill this process. */
async function knownWriter(cache: string, key: string, log: Log): Promise<NativeWriter | null> {
  await mkdir(cache, { recursive: true, mode: MODE });
  await checkOwner(cache);
  for (const name of await readdir(cache)) {
    if (!name.startsWith(`${key}-`)) continue;
    const path = join(cache, name);
    try {
      await checkOwner(path);
      if (name !== nameOf(key, await readFile(path))) throw new Error(`${name} is not what was built`);
      return open(path);
    } catch (error) {
      log.warn({ event: 'native_writer_rebuilt', err: error });
      await rm(path, { recursive: true, force: true });
    }
  }
  return null;
}

/** The name vouches for the content. */
function nameOf(key: string, bytes: Buffer): string {
  return `${key}-${hashOf(bytes)}${SUFFIX}`;
}

/** What is loaded runs with all our rights. Whoever owns this program has them anyway. */
async function checkOwner(path: string): Promise<void> {
  const { uid, mode } = await lstat(path);
  const trusted = [0, process.getuid!(), (await stat(SOURCE)).uid];
  if (trusted.includes(uid) && (mode & WRITABLE_BY_OTHERS) === 0) return;
  throw new Error(`${path} can be written by others`);
}

async function build(cache: string, key: string, limitMs: number): Promise<string | null> {
  await removeAbandoned(cache);
  // In a folder of its own and moved when it is whole: several processes may start at once.
  const folder = await mkdtemp(join(cache, BUILD_PREFIX));
  try {
    const draft = join(folder, `writer${SUFFIX}`);
    if (!(await compile(draft, limitMs))) return null;
    // Whatever the umask says.
    await chmod(draft, MODE);
    const path = join(cache, nameOf(key, await readFile(draft)));
    await rename(draft, path);
    return path;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function removeAbandoned(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith(BUILD_PREFIX)) continue;
    const folder = join(cache, name);
    // Another process may be faster.
    const since = await stat(folder).then(
      ({ mtimeMs }) => mtimeMs,
      () => Infinity,
    );
    if (Date.now() - since > ABANDONED_MS) await rm(folder, { recursive: true, force: true });
  }
}

/** False when there is no compiler; throws what the first says when none can do it. */
async function compile(output: string, limitMs: number): Promise<boolean> {
  let failure: unknown = null;
  for (const compiler of COMPILERS) {
    try {
      const limit = { timeout: limitMs, killSignal: 'SIGKILL' } as const;
      await promisify(execFile)(compiler, [...FLAGS, '-o', output, SOURCE], limit);
      return true;
    } catch (error) {
      if ((error as { killed?: boolean }).killed === true) throw error;
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') failure ??= error;
    }
  }
  if (failure !== null) throw failure;
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
