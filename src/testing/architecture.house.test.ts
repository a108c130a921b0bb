import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findViolations, importsOf, sourceFiles, treeEdges } from './architecture.ts';

const ROOT = resolve(import.meta.dirname, '../..');

describe('dependency rules', () => {
  it('hold in the whole tree', () => {
    const edges = treeEdges(ROOT);
    expect(edges.length).toBeGreaterThan(50);
    expect(findViolations(edges)).toEqual([]);
  });

  // Each rule is proved by a violation planted for it: a rule that cannot fire is not a rule.
  const PLANTED = [
    ['layer src/kernel/', 'src/kernel/money.ts', `import { x } from '../protocol/errors.ts';`],
    ['kernel-has-no-packages', 'src/kernel/money.ts', `import { z } from 'zod';`],
    ['layer src/protocol/', 'src/protocol/x.ts', `import { x } from '../platform/log.ts';`],
    ['layer src/config/', 'src/config/x.ts', `import { x } from '../platform/log.ts';`],
    ['layer src/platform/', 'src/platform/x.ts', `import { x } from '../modules/market/index.ts';`],
    ['layer src/modules/', 'src/modules/market/x.ts', `import { x } from '../../gateway/ws/hub.ts';`],
    ['layer src/modules/', 'src/modules/market/x.ts', `import { x } from '../../config/schema.ts';`],
    ['layer src/feed/', 'src/feed/x.ts', `import { x } from '../gateway/ws/hub.ts';`],
    ['layer src/sandbox/', 'src/sandbox/x.ts', `import { x } from '../feed/index.ts';`],
    ['layer src/gateway/http/', 'src/gateway/http/x.ts', `import { x } from '../ws/hub.ts';`],
    ['layer src/gateway/ws/', 'src/gateway/ws/x.ts', `import { x } from '../http/app.ts';`],
    ['layer src/client/', 'src/client/x.ts', `import { x } from '../platform/log.ts';`],
    ['client-runs-in-browsers', 'src/client/x.ts', `import { x } from 'node:fs';`],
    ['layer src/console/', 'src/console/x.tsx', `import { x } from '../gateway/http/app.ts';`],
    ['layer src/console/', 'src/console/x.tsx', `import { x } from '../modules/market/index.ts';`],
    ['console-runs-in-browsers', 'src/console/x.tsx', `import { x } from 'node:fs';`],
    ['console-runs-in-browsers', 'src/console/x.tsx', `import { z } from 'zod';`],
    ['layer workers/', 'workers/x.ts', `import { x } from '../src/gateway/ws/hub.ts';`],
    ['layer load-tests/', 'load-tests/x.ts', `import { x } from '../src/gateway/ws/hub.ts';`],
    ['layer src/main.ts', 'src/main.ts', `import { x } from './gateway/ws/hub.ts';`],
    ['file-has-a-layer', 'src/other/x.ts', `import { x } from '../kernel/assert.ts';`],
    ['modules-use-doors', 'src/feed/x.ts', `import { x } from '../modules/market/sequencer.ts';`],
    ['modules-use-doors', 'src/modules/orders/x.ts', `import { x } from '../market/sequencer.ts';`],
    ['module-order', 'src/modules/market/x.ts', `import { x } from '../orders/index.ts';`],
    ['no-tests-in-product', 'src/feed/x.ts', `import { x } from '../testing/architecture.ts';`],
    ['home-of ccxt', 'src/gateway/ws/x.ts', `import ccxt from 'ccxt';`],
    ['home-of socket.io', 'src/gateway/http/x.ts', `import { Server } from 'socket.io';`],
    ['home-of @socket.io/redis-adapter', 'src/feed/x.ts', `import { a } from '@socket.io/redis-adapter';`],
    ['home-of fastify', 'src/gateway/ws/x.ts', `import { fastify } from 'fastify';`],
    ['home-of ioredis', 'src/gateway/ws/x.ts', `import { Redis } from 'ioredis';`],
    ['home-of pino', 'src/feed/x.ts', `import { pino } from 'pino';`],
    ['home-of prom-client', 'src/feed/x.ts', `import { Gauge } from 'prom-client';`],
    ['home-of drizzle-orm', 'src/gateway/http/x.ts', `import { sql } from 'drizzle-orm';`],
    ['home-of preact', 'src/client/x.ts', `import { h } from 'preact';`],
    ['home-of lightweight-charts', 'src/client/x.ts', `import { createChart } from 'lightweight-charts';`],
    ['home-of vite', 'src/console/x.tsx', `import { build } from 'vite';`],
    ['home-of postgres', 'src/modules/ledger/x.ts', `import postgres from 'postgres';`],
    ['layer src/kernel/', 'src/kernel/x.ts', `const x = await import('../protocol/errors.ts');`],
  ] as const;
  it.each(PLANTED)('%s fires on a violation planted in %s', (rule, file, text) => {
    expect(findViolations(importsOf(file, text)).map((violation) => violation.rule)).toContain(rule);
  });
});

describe('lint rules', () => {
  const PLANTED = [
    [
      'import(no-cycle)',
      {
        'src/a.ts': `import { b } from './b.ts';\nexport const a = () => b;\n`,
        'src/b.ts': `import { a } from './a.ts';\nexport const b = () => a;\n`,
      },
    ],
    ['node(no-process-env)', { 'src/feed/a.ts': `export const port = process.env.PORT;\n` }],
    ['typescript(no-explicit-any)', { 'src/a.ts': `export const a: any = 1;\n` }],
    ['typescript(no-floating-promises)', { 'src/a.ts': `export function a(): void {\n  Promise.resolve(1);\n}\n` }],
    ['import(no-default-export)', { 'src/a.ts': `export default 1;\n` }],
    ['eslint(no-empty)', { 'src/a.ts': `export function a(): void {\n  try {\n    a();\n  } catch {}\n}\n` }],
    ['eslint(no-console)', { 'src/a.ts': `console.log(1);\nexport {};\n` }],
    ['eslint(max-lines)', { 'src/a.ts': 'export {};\n' + 'void 0;\n'.repeat(401) }],
    ['eslint(max-lines-per-function)', { 'src/a.ts': `export function a(): void {\n${'  void 0;\n'.repeat(71)}}\n` }],
  ] as const;
  it.each(PLANTED)('%s fires', (rule, files) => {
    const folder = mkdtempSync(join(tmpdir(), 'tidewire-planted-'));
    try {
      for (const name of ['.oxlintrc.json', 'tsconfig.json'])
        writeFileSync(join(folder, name), readFileSync(join(ROOT, name)));
      symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
      for (const [file, text] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, file)), { recursive: true });
        writeFileSync(join(folder, file), text);
      }
      const run = spawnSync(
        join(ROOT, 'node_modules/.bin/oxlint'),
        ['--type-aware', '--no-ignore', '--deny-warnings', 'src'],
        { cwd: folder, encoding: 'utf8' },
      );
      expect(run.stdout).toContain(rule);
      expect(run.status).not.toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the tree', () => {
  const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
    .split('\n')
    .filter(Boolean);

  it('has nothing at the top level that the design does not name', () => {
    const allowed =
      /^(\..+|package\.json|package-lock\.json|tsconfig.*\.json|vitest\.config\.ts|src|drizzle|workers|load-tests|docker-compose\.yml|Dockerfile|README\.md|CHANGELOG\.md|LICENSE)$/;
    expect([...new Set(tracked.map((file) => file.split('/')[0]!))].filter((name) => !allowed.test(name))).toEqual([]);
  });

  it('has no file named after nothing', () => {
    expect(sourceFiles(ROOT).filter((file) => /\/(utils?|helpers?|common|misc|types)\.ts$/.test(file))).toEqual([]);
  });

  it('carries no recorded traffic and nothing heavy', () => {
    expect(tracked.filter((file) => /\.(jsonl|gz|zst)$/.test(file))).toEqual([]);
  });
});

describe('the lockfile', () => {
  type Lock = {
    packages: Record<string, { resolved?: string; link?: boolean; optionalDependencies?: Record<string, string> }>;
  };
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as Lock;

  it('names no download address', () => {
    expect(
      Object.entries(lock.packages)
        .filter(([, entry]) => entry.resolved?.startsWith('http'))
        .map(([path]) => path),
    ).toEqual([]);
  });

  // npm writes a lockfile without the platform packages it could not find, and `npm ci` then fails on other machines.
  it('has an entry for every platform package', () => {
    const present = new Set(Object.keys(lock.packages).map((path) => path.split('node_modules/').at(-1)!));
    const missing = Object.entries(lock.packages).flatMap(([path, entry]) =>
      Object.keys(entry.optionalDependencies ?? {})
        .filter((name) => !present.has(name))
        .map((name) => `${path}: ${name}`),
    );
    expect(missing).toEqual([]);
  });
});
