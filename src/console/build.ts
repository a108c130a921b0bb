import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const ROOT = resolve(import.meta.dirname, '../..');
export const CONSOLE_BUNDLE = join(ROOT, 'dist/console');
/** Everything that ends up in the bundle. */
const SOURCES = ['src/console', 'src/client', 'src/protocol', 'src/kernel', 'package-lock.json'];
/** What made the bundle, beside it: rebuilt when this no longer matches. */
const STAMP = 'stamp.txt';
/** Builds that start in one moment: tests in several terminals, hardly ever more. */
const SWAP_ATTEMPTS = 5;
const COMPRESSIBLE = /\.(?:html|js|css|svg)$/;

/** Builds the console into `folder`, each file with its brotli and gzip twin, so that serving one costs no CPU. */
export async function buildConsole(folder: string): Promise<void> {
  const { build } = await import('vite');
  const fresh = `${folder}.${process.pid}.new`;
  const old = `${folder}.${process.pid}.old`;
  rmSync(fresh, { recursive: true, force: true });
  const stamp = sourceStamp();
  await build({
    root: import.meta.dirname,
    configFile: false,
    publicDir: false,
    logLevel: 'warn',
    // Said here and not left to NODE_ENV: whoever builds in a shell of their own, or in a test, gets the same bundle.
    mode: 'production',
    define: { 'process.env.NODE_ENV': '"production"' },
    resolve: { conditions: ['module', 'browser', 'production'] },
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact', development: false } },
    build: {
      outDir: fresh,
      emptyOutDir: true,
      target: 'es2022',
      // Inlined files would be data: addresses, which the page's policy does not allow for scripts and styles.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      reportCompressedSize: false,
    },
  });
  for (const file of bundledFiles(fresh)) addCompressedTwins(join(fresh, file));
  writeFileSync(join(fresh, STAMP), stamp);
  mkdirSync(resolve(folder, '..'), { recursive: true });
  swapIn(fresh, folder, old);
}

/** Two steps, because a folder cannot be renamed onto one that has content. Between them another build may come first: then ours goes in again. */
function swapIn(fresh: string, folder: string, old: string): void {
  for (let attempt = 1; ; attempt++) {
    try {
      if (existsSync(folder)) renameSync(folder, old);
      renameSync(fresh, folder);
      break;
    } catch (error) {
      if (attempt === SWAP_ATTEMPTS) throw error;
    } finally {
      rmSync(old, { recursive: true, force: true });
    }
  }
}

export function isStale(folder: string): boolean {
  const stamp = join(folder, STAMP);
  return !existsSync(stamp) || readFileSync(stamp, 'utf8') !== sourceStamp();
}

function addCompressedTwins(path: string): void {
  const content = readFileSync(path);
  writeFileSync(
    `${path}.br`,
    brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
  );
  writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
}

function bundledFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => COMPRESSIBLE.test(file));
}

/** Of names, sizes and times rather than contents: it is read at every start. */
function sourceStamp(): string {
  const hash = createHash('sha256');
  for (const source of SOURCES.map((each) => join(ROOT, each)).filter((each) => existsSync(each))) {
    const files = statSync(source).isDirectory()
      ? readdirSync(source, { recursive: true, encoding: 'utf8' })
          .filter((file) => !file.includes('.test.') && !file.startsWith('screenshots'))
          .toSorted()
          .map((file) => join(source, file))
      : [source];
    for (const file of files) {
      const { mtimeMs, size } = statSync(file);
      hash.update(`${file} ${size} ${mtimeMs}\n`);
    }
  }
  return hash.digest('hex');
}

/** `--if-stale`: only where needed, and an installation without the development packages keeps what it was shipped with. */
async function main(onlyIfStale: boolean): Promise<void> {
  if (onlyIfStale && !isStale(CONSOLE_BUNDLE)) return;
  try {
    await buildConsole(CONSOLE_BUNDLE);
  } catch (error) {
    const noVite = (error as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND';
    if (!onlyIfStale || !noVite) throw error;
    if (existsSync(CONSOLE_BUNDLE)) return;
    process.stderr.write(
      'The console is not built: run `npm ci && npm run build:console` once. Everything else works.\n',
    );
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(process.argv.includes('--if-stale'));
