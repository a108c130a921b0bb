import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildConsole, isStale } from './build.ts';

const INITIAL_SCRIPT_LIMIT_BYTES = 250 * 1_024;
/** A page that is built twice as large as it is now is a decision, not an accident. */
const EXPECTED_SCRIPT_BYTES = 130 * 1_024;

let folder: string;
let bundle: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tidewire-bundle-'));
  bundle = join(folder, 'console');
  await buildConsole(bundle);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const page = (): string => readFileSync(join(bundle, 'index.html'), 'utf8');

describe('the bundle', () => {
  it('loads less script at first than a slow phone can bear, compressed', () => {
    const scripts = [...page().matchAll(/src="([^"]+\.js)"/g)].map((match) => match[1]!);
    expect(scripts).toHaveLength(1);
    const bytes = scripts.map((path) => gzipSync(readFileSync(join(bundle, path))).length).reduce((a, b) => a + b);
    expect(bytes).toBeLessThan(INITIAL_SCRIPT_LIMIT_BYTES);
    expect(bytes).toBeLessThan(EXPECTED_SCRIPT_BYTES);
  });

  it('has nothing inline and nothing from elsewhere, so that the strictest policy can stand', () => {
    expect(page()).not.toMatch(/<script(?![^>]*src=)|<style|\son[a-z]+=|style=|javascript:/);
    expect(page()).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  });

  it('brings each file in brotli and gzip, smaller than it is', () => {
    const files = readdirSync(join(bundle, 'assets')).filter((name) => /\.(?:js|css)$/.test(name));
    expect(files.length).toBeGreaterThan(1);
    for (const name of files) {
      const [plain, brotli, gzip] = ['', '.br', '.gz'].map((end) => readFileSync(join(bundle, 'assets', name + end)));
      expect(brotli!.length).toBeLessThan(gzip!.length);
      expect(gzip!.length).toBeLessThan(plain!.length);
    }
  });

  it('is the production one of each library, whatever the shell says', () => {
    const script = readdirSync(join(bundle, 'assets')).find((name) => name.endsWith('.js'))!;
    expect(/jsxDEV|process\.env/.test(readFileSync(join(bundle, 'assets', script), 'utf8'))).toBe(false);
  });

  it('knows itself to be fresh, and leaves no half-built folder behind', () => {
    expect(isStale(bundle)).toBe(false);
    expect(isStale(join(folder, 'none'))).toBe(true);
    expect(readdirSync(folder)).toEqual(['console']);
    expect(existsSync(join(bundle, 'index.html.br'))).toBe(true);
  });
});

describe('the source', () => {
  it('never turns text into markup or code: what comes from elsewhere stays text', () => {
    const root = import.meta.dirname;
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
      (file) => /\.tsx?$/.test(file) && !file.includes('.test.'),
    );
    expect(files.length).toBeGreaterThan(40);
    const guilty = files.filter((file) =>
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|\beval\(|new Function|javascript:/i.test(
        readFileSync(join(root, file), 'utf8'),
      ),
    );
    expect(guilty).toEqual([]);
  });
});
